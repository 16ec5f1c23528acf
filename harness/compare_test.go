package harness

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTargetLabels: names that leave room for the figures, and tell targets apart.
func TestTargetLabels(t *testing.T) {
	require.Equal(t, []string{"child", "external:10.0.0.1:9092", "kafka", "command:b/kafka.yaml"},
		targetLabels([]string{"child", "external:10.0.0.1:9092", "command:a/kafka.yaml", "command:b/kafka.yaml"}))
}
