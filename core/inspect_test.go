package core

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestInspect: what a stopped broker leaves is sound and can be read, and
// damage is found.
func TestInspect(t *testing.T) {
	cfg := testConfig(t)
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 2)
	mustProduce(p, "t", 0, "a", "b")
	mustProduce(p, "t", 1, "c")
	stop(t, b)

	got, err := VerifyLog(cfg.DataDir)
	require.NoError(t, err)
	require.Empty(t, got.Faults)
	require.Equal(t, 2, got.Partitions)
	require.Equal(t, int64(3), got.Records)

	var out bytes.Buffer
	require.NoError(t, DumpLog(&out, filepath.Join(cfg.DataDir, journalDir), DumpOptions{Records: true}))
	require.Contains(t, out.String(), "topic.created")

	file := filepath.Join(cfg.DataDir, "t-0", "00000000000000000000.log")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	text[len(text)-1] ^= 1
	require.NoError(t, os.WriteFile(file, text, 0o600))
	got, err = VerifyLog(cfg.DataDir)
	require.NoError(t, err)
	require.Len(t, got.Faults, 1)
	require.Contains(t, got.Faults[0], "t-0")
}
