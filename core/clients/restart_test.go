package clients_test

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRestart: topics, their settings and every acknowledged record outlive a
// stop and a kill, and writing goes on where it ended.
func TestRestart(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"stop": syscall.SIGTERM, "kill": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			dir, topic, retention := t.TempDir(), topicName(t), "123456789"
			b := own(t, dir)
			a := admin(t, b.addr)
			created, err := a.CreateTopic(bounded(t), 2, 1, map[string]*string{"retention.ms": &retention}, topic)
			require.NoError(t, err)
			cluster, err := a.BrokerMetadata(bounded(t))
			require.NoError(t, err)
			const rounds, each = 3, 100
			var epochs []int32
			for round := range rounds {
				c := franzClient(t, b.addr, kgo.RecordPartitioner(kgo.ManualPartitioner()))
				for i := range each {
					v := fmt.Sprintf("round %d record %d", round, i)
					require.NoError(t, c.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr())
				}
				c.Close()
				require.NoError(t, b.end(sig))
				b = own(t, dir)
				a = admin(t, b.addr)
				topics, err := a.ListTopics(bounded(t), topic)
				require.NoError(t, err)
				require.Equal(t, created.ID, topics[topic].ID)
				require.Len(t, topics[topic].Partitions, 2)
				epochs = append(epochs, topics[topic].Partitions[0].LeaderEpoch)
				configs, err := a.DescribeTopicConfigs(bounded(t), topic)
				require.NoError(t, err)
				require.Equal(t, retention, configValue(t, configs, topic, "retention.ms"))
				after, err := a.BrokerMetadata(bounded(t))
				require.NoError(t, err)
				require.Equal(t, cluster.Cluster, after.Cluster)

				n := (round + 1) * each
				rs := franzRead(t, b.addr, topic, 0, n)
				require.Len(t, rs, n)
				for i, r := range rs {
					require.Equal(t, int64(i), r.Offset)
					require.Equal(t, fmt.Sprintf("round %d record %d", i/each, i%each), string(r.Value))
				}
			}
			require.Less(t, epochs[0], epochs[1], "the leader epoch grows with every start")
			require.Less(t, epochs[1], epochs[2])
			require.NoError(t, b.end(syscall.SIGTERM))
		})
	}
}

// TestIdempotentThroughKills: producers write to several partitions while the
// broker is killed again and again. Each value is there once, in the order in
// which it was written.
func TestIdempotentThroughKills(t *testing.T) {
	t.Parallel()
	const partitions, each, kills = 3, 2000, 3
	dir, topic := t.TempDir(), topicName(t)
	b := own(t, dir)
	addr := b.addr
	createTopic(t, addr, topic, partitions)
	c := franzClient(t, addr, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(4096),
		kgo.ProducerLinger(time.Millisecond), kgo.RecordRetries(1<<30))
	first := kgo.AbortingFirstErrPromise(c)
	ctx := bounded(t)
	done := make(chan error, 1)
	go func() {
		for i := range each {
			for p := range int32(partitions) {
				c.Produce(ctx, &kgo.Record{Topic: topic, Partition: p, Value: strconv.AppendInt(nil, int64(i), 10)}, first.Promise())
			}
			if i%10 == 0 {
				time.Sleep(10 * time.Millisecond) // so that the kills come in between
			}
		}
		done <- c.Flush(ctx)
	}()
	for k := range kills {
		atLeast(t, addr, topic, int64((k+1)*each/(kills+2)))
		require.NoError(t, b.end(syscall.SIGKILL))
		b = own(t, dir, "--listen", addr)
	}
	require.NoError(t, <-done)
	require.NoError(t, first.Err())
	at := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		at[p] = kgo.NewOffset().AtStart()
	}
	r := franzClient(t, addr, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}))
	next := map[int32]int{}
	for n := 0; n < partitions*each; {
		fs := r.PollFetches(ctx)
		require.NoError(t, fs.Err())
		fs.EachRecord(func(r *kgo.Record) {
			require.Equal(t, strconv.Itoa(next[r.Partition]), string(r.Value), "partition %d offset %d", r.Partition, r.Offset)
			next[r.Partition]++
			n++
		})
	}
	require.NoError(t, b.end(syscall.SIGTERM))
}

// TestInUse: a data directory belongs to one broker at a time, and so does a
// port; the second one says so.
func TestInUse(t *testing.T) {
	dir := t.TempDir()
	b := own(t, dir)
	_, err := start(dir)
	require.Error(t, err)
	require.Contains(t, err.Error(), dir)
	createTopic(t, b.addr, topicName(t), 1) // the first one is unharmed
	require.NoError(t, b.end(syscall.SIGTERM))
}
