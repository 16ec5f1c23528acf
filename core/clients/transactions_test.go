package clients_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	smp "github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func transactional(t *testing.T, addr, id string, opts ...kgo.Opt) *kgo.Client {
	return franzClient(t, addr, append([]kgo.Opt{kgo.TransactionalID(id), kgo.TransactionTimeout(30 * time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
}

// inTransaction begins one and writes a value to each partition.
func inTransaction(t *testing.T, c *kgo.Client, topic string, partitions int32, value string) error {
	t.Helper()
	require.NoError(t, c.BeginTransaction())
	var rs []*kgo.Record
	for p := range partitions {
		rs = append(rs, &kgo.Record{Topic: topic, Partition: p, Value: []byte(value)})
	}
	return c.ProduceSync(bounded(t), rs...).FirstErr()
}

// readCommitted reads a topic as far as it is decided, by partition.
func readCommitted(t *testing.T, addr, topic string, partitions int32) [][]string {
	t.Helper()
	ends, err := admin(t, addr).ListCommittedOffsets(bounded(t), topic)
	require.NoError(t, err)
	at, assign := map[int32]int64{}, map[int32]kgo.Offset{}
	for p := range partitions {
		assign[p] = kgo.NewOffset().AtStart()
	}
	// Control records show how far the reader has come.
	c := franzClient(t, addr, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assign}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	got := make([][]string, partitions)
	ctx := bounded(t)
	behind := func() bool {
		for p := range partitions {
			if end, _ := ends.Lookup(topic, p); at[p] < end.Offset {
				return true
			}
		}
		return false
	}
	for behind() {
		fs := c.PollFetches(ctx)
		require.NoError(t, fs.Err0())
		fs.EachRecord(func(r *kgo.Record) {
			at[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				got[r.Partition] = append(got[r.Partition], string(r.Value))
			}
		})
	}
	return got
}

// TestTransactions: a reader of committed records sees the transactions that
// were committed, whole and in order, and nothing of those that were aborted.
func TestTransactions(t *testing.T) {
	addr, topic := shared(t), topicName(t)
	const partitions, rounds = 3, 20
	createTopic(t, addr, topic, partitions)
	c := transactional(t, addr, topic)
	var want []string
	for i := range rounds {
		v := fmt.Sprint("value ", i)
		require.NoError(t, inTransaction(t, c, topic, partitions, v))
		commit := kgo.TransactionEndTry(i%3 != 1)
		require.NoError(t, c.EndTransaction(bounded(t), commit))
		if commit {
			want = append(want, v)
		}
	}
	for p, got := range readCommitted(t, addr, topic, partitions) {
		require.Equal(t, want, got, "partition %d", p)
	}
	require.Len(t, franzRead(t, addr, topic, 0, rounds), rounds, "a reader of uncommitted records sees all")
}

// TestTransactionFenced: a second instance takes the id over in the middle of
// the first one's transaction. The first can neither write nor commit any more,
// to no partition, and nothing of it is ever seen.
func TestTransactionFenced(t *testing.T) {
	addr, topic := shared(t), topicName(t)
	createTopic(t, addr, topic, 2)
	first := transactional(t, addr, topic)
	require.NoError(t, inTransaction(t, first, topic, 1, "first's"))
	second := transactional(t, addr, topic)
	require.NoError(t, inTransaction(t, second, topic, 1, "second's"))

	err := first.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Partition: 0, Value: []byte("zombie's")}).FirstErr()
	require.True(t, isFenced(err), "%v", err)
	err = first.EndTransaction(bounded(t), kgo.TryCommit)
	require.Error(t, err)
	require.NoError(t, second.EndTransaction(bounded(t), kgo.TryCommit))
	require.NoError(t, inTransaction(t, second, topic, 2, "second's again"))
	require.NoError(t, second.EndTransaction(bounded(t), kgo.TryCommit))
	require.Equal(t, [][]string{{"second's", "second's again"}, {"second's again"}}, readCommitted(t, addr, topic, 2))
}

func isFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.InvalidProducerIDMapping)
}

// TestTransactionTimeout: who says nothing until the timeout has passed is
// aborted, and holds up readers no longer.
func TestTransactionTimeout(t *testing.T) {
	dir, topic := t.TempDir(), topicName(t)
	b := own(t, dir, "--set", "transaction.abort.timed.out.transaction.cleanup.interval.ms=50")
	createTopic(t, b.addr, topic, 1)
	c := transactional(t, b.addr, topic, kgo.TransactionTimeout(200*time.Millisecond))
	require.NoError(t, inTransaction(t, c, topic, 1, "late"))
	a := admin(t, b.addr)
	require.Eventually(t, func() bool {
		d, err := a.DescribeTransactions(bounded(t), topic)
		return err == nil && d[topic].State == "CompleteAbort"
	}, patience, 20*time.Millisecond)
	require.Error(t, c.EndTransaction(bounded(t), kgo.TryCommit))
	values(t, b.addr, topic, "after")
	require.Equal(t, [][]string{{"after"}}, readCommitted(t, b.addr, topic, 1))
	require.NoError(t, b.end(syscall.SIGTERM))
}

// TestTransactionKill: the broker is killed in the middle of a transaction, which
// its producer then commits or aborts, or which a new instance takes over.
func TestTransactionKill(t *testing.T) {
	dir, topic := t.TempDir(), topicName(t)
	b := own(t, dir)
	addr := b.addr
	createTopic(t, addr, topic, 2)
	var want []string
	for round, how := range []string{"commit", "abort", "take over", "commit"} {
		c := transactional(t, addr, topic)
		done := fmt.Sprint("done ", round)
		require.NoError(t, inTransaction(t, c, topic, 2, done))
		require.NoError(t, c.EndTransaction(bounded(t), kgo.TryCommit))
		want = append(want, done)
		v := fmt.Sprint(how, " ", round)
		require.NoError(t, inTransaction(t, c, topic, 2, v))
		require.NoError(t, b.end(syscall.SIGKILL))
		b = own(t, dir, "--listen", addr)
		require.Equal(t, [][]string{want, want}, readCommitted(t, addr, topic, 2))
		switch how {
		case "commit":
			require.NoError(t, c.EndTransaction(bounded(t), kgo.TryCommit))
			want = append(want, v)
		case "abort":
			require.NoError(t, c.EndTransaction(bounded(t), kgo.TryAbort))
		}
		c.Close()
		if how == "take over" {
			continue // the next round's client does it
		}
		require.Equal(t, [][]string{want, want}, readCommitted(t, addr, topic, 2))
	}
	require.NoError(t, b.end(syscall.SIGTERM))
}

// TestSaramaTransactions: another client's view of the same.
func TestSaramaTransactions(t *testing.T) {
	addr, topic := shared(t), topicName(t)
	createTopic(t, addr, topic, 1)
	cfg := saramaConfig()
	cfg.Version = smp.MaxVersion
	cfg.Producer.Idempotent, cfg.Net.MaxOpenRequests = true, 1
	cfg.Producer.RequiredAcks = smp.WaitForAll
	cfg.Producer.Return.Successes = true
	cfg.Producer.Transaction.ID = topic
	p, err := smp.NewSyncProducer([]string{addr}, cfg)
	require.NoError(t, err)
	defer p.Close()
	var want []string
	for i := range 6 {
		require.NoError(t, p.BeginTxn())
		v := fmt.Sprint("value ", i)
		_, _, err := p.SendMessage(&smp.ProducerMessage{Topic: topic, Value: smp.StringEncoder(v)})
		require.NoError(t, err)
		if i%2 == 0 {
			require.NoError(t, p.CommitTxn())
			want = append(want, v)
		} else {
			require.NoError(t, p.AbortTxn())
		}
	}
	require.Equal(t, [][]string{want}, readCommitted(t, addr, topic, 1))
	reader := saramaConfig()
	reader.Version = smp.MaxVersion
	reader.Consumer.IsolationLevel = smp.ReadCommitted
	var got []string
	for _, r := range saramaReadAs(t, addr, topic, 0, len(want), reader) {
		got = append(got, string(r.Value))
	}
	require.Equal(t, want, got)
}

// TestConsumeTransformProduce: members of a group that come and go, and a broker
// that is killed, copy a topic exactly once.
func TestConsumeTransformProduce(t *testing.T) {
	dir, from, to := t.TempDir(), topicName(t), topicName(t)+"-copy"
	set := []string{"--set", "group.initial.rebalance.delay.ms=0"}
	b := own(t, dir, set...)
	addr := b.addr
	createTopic(t, addr, from, 2)
	createTopic(t, addr, to, 1)
	const n = 300
	var vs []string
	for i := range n {
		vs = append(vs, fmt.Sprint(i))
	}
	values(t, addr, from, vs...)

	ctx := bounded(t)
	copied := 0
	for member := 0; copied < n; member++ {
		require.Less(t, member, 100, "%d of %d", copied, n)
		s, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(addr), kgo.TransactionalID(from), kgo.ConsumerGroup(from),
			kgo.ConsumeTopics(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.SessionTimeout(6*time.Second), kgo.TransactionTimeout(20*time.Second),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		require.NoError(t, err)
		for round := 0; round < 3 && copied < n; round++ {
			fs := s.PollRecords(ctx, 40)
			require.NoError(t, fs.Err0())
			if fs.NumRecords() == 0 {
				continue
			}
			require.NoError(t, s.Begin())
			fs.EachRecord(func(r *kgo.Record) {
				s.Produce(ctx, &kgo.Record{Topic: to, Value: r.Value}, nil)
			})
			if member == 1 && round == 1 {
				require.NoError(t, s.Client().Flush(ctx))
				require.NoError(t, b.end(syscall.SIGKILL))
				b = own(t, dir, append(set, "--listen", addr)...)
			}
			// Each third ends in a failure of the member's own.
			ok, err := s.End(ctx, kgo.TransactionEndTry(round != 2))
			if err != nil {
				t.Logf("member %d round %d: %v", member, round, err)
				break
			}
			if ok {
				copied += fs.NumRecords()
			}
		}
		s.Close()
	}
	got := readCommitted(t, addr, to, 1)[0]
	require.Len(t, got, n)
	seen := map[string]int{}
	for _, v := range got {
		seen[v]++
	}
	require.Len(t, seen, n, "each once")
	require.NoError(t, b.end(syscall.SIGTERM))
}
