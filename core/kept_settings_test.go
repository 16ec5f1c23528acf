package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/batching"
)

// TestKafkasTopicSettings: each is taken and refused as Kafka does, and what has
// a meaning here takes effect.
func TestKafkasTopicSettings(t *testing.T) {
	good := map[string]string{
		"preallocate": "true", "compression.type": "gzip", "compression.gzip.level": "9", "segment.jitter.ms": "5000",
		"file.delete.delay.ms": "0", "flush.messages": "1", "flush.ms": "0", "local.retention.ms": "-2",
		"leader.replication.throttled.replicas": "0:1,1:1", "follower.replication.throttled.replicas": "*",
		"remote.storage.enable": "false", "unclean.leader.election.enable": "TRUE",
	}
	s, err := Defaults().topicSettings(good)
	require.NoError(t, err)
	require.True(t, s.disk.Preallocate)
	require.Equal(t, 9, s.level)
	require.Equal(t, 5*time.Second, s.disk.SegmentJitter)
	for name, value := range map[string]string{
		"compression.gzip.level": "0", "compression.lz4.level": "18", "compression.zstd.level": "23",
		"segment.jitter.ms": "-1", "file.delete.delay.ms": "-1", "flush.messages": "0", "flush.ms": "soon",
		"local.retention.ms": "-3", "leader.replication.throttled.replicas": "1", "remote.storage.enable": "true",
		"unclean.leader.election.enable": "1", "remote.log.copy.disable": "",
		"segment.prealloc": "maybe",
	} {
		_, err := Defaults().topicSettings(map[string]string{name: value})
		require.ErrorContains(t, err, name, "%s=%s", name, value)
	}
}

func TestCompressionLevels(t *testing.T) {
	c := Defaults().Topic
	for _, codec := range []batching.Codec{batching.None, batching.Gzip, batching.Snappy, batching.LZ4, batching.Zstd} {
		require.Zero(t, c.level(codec), codec)
	}
	c.ZstdLevel, c.Lz4Level = -131072, 12
	require.Equal(t, 1, c.level(batching.Zstd))
	require.Equal(t, 12, c.level(batching.LZ4))
}
