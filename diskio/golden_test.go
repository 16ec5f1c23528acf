package diskio

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"millrace/batching"

	"github.com/stretchr/testify/require"
)

// kafkaDir copies what Kafka wrote to where a test may write.
func kafkaDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/kafka-3.9.0")))
	return dir
}

// TestKafkaDirectory: a directory that Kafka closed is good to us as it is:
// nothing to scan, nothing wrong, nothing strange, every record there.
func TestKafkaDirectory(t *testing.T) {
	root := kafkaDir(t)
	v, err := Verify(OS(), root)
	require.NoError(t, err)
	require.Empty(t, v.Faults)
	require.Equal(t, int64(2000), v.Records)
	require.Equal(t, 4, v.Segments)

	d, err := OpenDir(OS(), root)
	require.NoError(t, err)
	defer d.Close()
	require.True(t, d.Clean())
	require.Equal(t, "1", d.Meta("node.id"))
	require.Equal(t, "AAAAAAAAAAAAAAAAAAAAAQ", d.Meta("cluster.id"))
	parts, others, err := d.Partitions()
	require.NoError(t, err)
	require.Equal(t, []Partition{{"events", 0}}, parts)
	require.Empty(t, others)
	points, err := d.Offsets(RecoveryPoints)
	require.NoError(t, err)
	require.Equal(t, map[Partition]int64{{"events", 0}: 2000}, points)
	for _, c := range []Checkpoint{StartOffsets, CleanerOffsets} {
		empty, err := d.Offsets(c)
		require.NoError(t, err)
		require.Empty(t, empty)
	}
	id, err := ReadPartitionMetadata(OS(), d.LogDir(parts[0]))
	require.NoError(t, err)
	require.Equal(t, "2MwPGE6kQseWUJ6pJFQewQ", id.String())

	for _, clean := range []bool{true, false} {
		l := openLog(t, OS(), d.LogDir(parts[0]), Defaults(), Options{Clean: clean, RecoveryPoint: 2000})
		r := l.Recovery()
		require.Equal(t, clean, r.Clean)
		require.Empty(t, r.Cut)
		require.Empty(t, r.Stray)
		require.Empty(t, r.Removed)
		require.Equal(t, int64(2000), l.End())
		require.Equal(t, []Epoch{{0, 0}}, l.Epochs().All())
		n := 0
		require.NoError(t, l.Scan(0, l.End(), func(b batching.Batch) error {
			for rec, err := range b.Records(0) {
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("key%d", (n%400+1)%10), string(rec.Key))
				require.Equal(t, int64(n), b.Offset(rec))
				n++
			}
			return nil
		}))
		require.Equal(t, 2000, n)
		require.NoError(t, l.Close())
	}
}

// TestRebuildsKafkasIndexes: the indexes that we build from Kafka's segments are,
// byte for byte, those that Kafka wrote.
func TestRebuildsKafkasIndexes(t *testing.T) {
	root := kafkaDir(t)
	dir := filepath.Join(root, "events-0")
	names, err := filepath.Glob(filepath.Join(dir, "*index"))
	require.NoError(t, err)
	require.Len(t, names, 8)
	for _, n := range names {
		require.NoError(t, os.Remove(n))
	}
	cfg := Defaults()
	cfg.IndexIntervalBytes = 512
	// Once as a clean stop with its indexes lost, one rebuilt when first
	// looked into; once in a full recovery.
	for _, clean := range []bool{true, false} {
		l := openLog(t, OS(), dir, cfg, Options{Clean: clean})
		for at := int64(0); at < 2000; at += 100 {
			sp, err := l.Read(at+1, 1, 2000)
			require.NoError(t, err)
			require.LessOrEqual(t, sp.FirstOffset(), at+1)
			require.Greater(t, sp.NextOffset(), at+1)
			sp.Release()
		}
		require.NoError(t, l.Close())
		for _, n := range names {
			want, err := os.ReadFile(filepath.Join("testdata/kafka-3.9.0/events-0", filepath.Base(n)))
			require.NoError(t, err)
			got, err := os.ReadFile(n)
			require.NoError(t, err)
			require.Equal(t, want, got, filepath.Base(n))
			require.NoError(t, os.Remove(n))
		}
	}
}
