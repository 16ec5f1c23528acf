package core

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
)

// TestRefusalOfAnEndingTransaction: a batch that comes while the transaction
// before it is still being ended. Produce v12 says so, which only its clients know
// to be soon over; others are told what they try again.
func TestRefusalOfAnEndingTransaction(t *testing.T) {
	require.Equal(t, kerr.ConcurrentTransactions.Code, source{version: 12}.refusal(kerr.ConcurrentTransactions))
	require.Equal(t, kerr.NotEnoughReplicas.Code, source{version: 11}.refusal(kerr.ConcurrentTransactions))
}
