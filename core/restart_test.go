package core

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
)

// idempotentBatch is a batch of one producer.
func idempotentBatch(t testing.TB, id int64, sequence int32, values ...string) []byte {
	builder := batching.NewBuilder(batching.Options{})
	builder.SetProducer(id, 0, sequence)
	for _, v := range values {
		require.NoError(t, builder.Append(time.Now().UnixMilli(), nil, []byte(v), nil))
	}
	b, err := builder.Build(nil)
	require.NoError(t, err)
	return b
}

func newProducerID(p *peer) int64 {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.ProducerID, req.ProducerEpoch = -1, -1
	resp := ask[*kmsg.InitProducerIDResponse](p, 4, req)
	require.Zero(p.t, resp.ErrorCode)
	return resp.ProducerID
}

// TestRestart: what a clean stop must bring back.
func TestRestart(t *testing.T) {
	cfg := testConfig(t)
	b := start(t, cfg)
	p := dial(t, b)
	id := createTopic(t, p, "t", 2, "retention.ms", "3600000")
	createTopic(t, p, "gone", 1)
	mustProduce(p, "gone", 0, "x")
	mustProduce(p, "t", 0, "a", "b")
	producer := newProducerID(p)
	require.Equal(t, int64(0), produceBatchTo(p, "t", 1, idempotentBatch(t, producer, 0, "p", "q")))
	cluster := ask[*kmsg.DescribeClusterResponse](p, 0, kmsg.NewPtrDescribeClusterRequest()).ClusterID
	deleteTopic(p, "gone")
	deleteTo(p, "t", 0, 1)
	stop(t, b)

	b = start(t, cfg)
	p = dial(t, b)
	require.Equal(t, cluster, ask[*kmsg.DescribeClusterResponse](p, 0, kmsg.NewPtrDescribeClusterRequest()).ClusterID)
	topics := ask[*kmsg.MetadataResponse](p, 12, kmsg.NewPtrMetadataRequest()).Topics
	require.Len(t, topics, 1)
	require.Equal(t, [16]byte(id), topics[0].TopicID)
	require.Len(t, topics[0].Partitions, 2)
	require.Equal(t, int32(1), topics[0].Partitions[0].LeaderEpoch, "grows at each start")
	require.NoDirExists(t, filepath.Join(cfg.DataDir, "gone-0"))

	got := fetchOne(p, "t", 0, 1)
	require.Equal(t, []string{"a", "b"}, values(t, got.RecordBatches), "offset 1 lies in the batch of a")
	require.Equal(t, int64(1), got.LogStartOffset, "the start that DeleteRecords has told")
	require.Equal(t, kerr.OffsetOutOfRange.Code, fetchOne(p, "t", 0, 0).ErrorCode)

	old := fetchRequest("t", 0, 1)
	old.Topics[0].Partitions[0].CurrentLeaderEpoch = 0
	require.Equal(t, kerr.FencedLeaderEpoch.Code, ask[*kmsg.FetchResponse](p, 12, old).Topics[0].Partitions[0].ErrorCode)

	// The last batch of a producer is still known, and its ids are not given
	// out again.
	again := produceOne(p, "t", 1, idempotentBatch(t, producer, 0, "p", "q"))
	require.Zero(t, again.ErrorCode)
	require.Equal(t, int64(0), again.BaseOffset)
	require.Equal(t, int64(2), produceBatchTo(p, "t", 1, idempotentBatch(t, producer, 2, "r")))
	require.Greater(t, newProducerID(p), producer)

	// The old epoch ended where the new one began.
	require.Equal(t, int64(2), mustProduce(p, "t", 0, "c"))
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = "t"
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.CurrentLeaderEpoch = 1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	end := ask[*kmsg.OffsetForLeaderEpochResponse](p, 4, req).Topics[0].Partitions[0]
	require.Equal(t, int32(0), end.LeaderEpoch)
	require.Equal(t, int64(2), end.EndOffset)
}

func produceBatchTo(p *peer, topic string, partition int32, records []byte) int64 {
	p.t.Helper()
	got := produceOne(p, topic, partition, records)
	require.Zero(p.t, got.ErrorCode, "%v", deref(got.ErrorMessage))
	return got.BaseOffset
}

func deleteTopic(p *peer, name string) {
	p.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{name}
	require.Zero(p.t, ask[*kmsg.DeleteTopicsResponse](p, 5, req).Topics[0].ErrorCode)
}

func deleteTo(p *peer, topic string, partition int32, offset int64) {
	p.t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = partition, offset
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	require.Zero(p.t, ask[*kmsg.DeleteRecordsResponse](p, 2, req).Topics[0].Partitions[0].ErrorCode)
}

// TestLongNames: the longest name a topic may have leaves room for what is done
// with its directory.
func TestLongNames(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	name := strings.Repeat("n", maxTopicName)
	for range 2 {
		createTopic(t, p, name, 1)
		require.Zero(t, mustProduce(p, name, 0, "x"))
		deleteTopic(p, name)
	}
}

// brokerDir is set in a process that TestKill starts: it is a broker, and only
// that.
const brokerDir = "MILLRACE_TEST_BROKER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(brokerDir); dir != "" {
		cfg := Defaults()
		cfg.Listen, cfg.DataDir = "127.0.0.1:0", dir
		b, err := Start(context.Background(), cfg)
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(b.Addr())
		<-b.Done()
		return
	}
	os.Exit(m.Run())
}

// startChild runs a broker in a process of its own and answers its address.
func startChild(t *testing.T, dir string) (cmd *exec.Cmd, addr string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.NotContains(t, line, "error")
	return cmd, strings.TrimSpace(line)
}

// TestKill: kill -9 in the middle of a producer's run loses nothing that was
// acknowledged, repeats nothing, and the producer can go on.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := int64(0)
	var producer int64
	for round := range 3 {
		cmd, addr := startChild(t, dir)
		p := dialAddr(t, addr)
		if round == 0 {
			createTopic(t, p, "t", 1)
			producer = newProducerID(p)
		}
		for range 50 {
			batch := idempotentBatch(t, producer, int32(acked), fmt.Sprint(acked), fmt.Sprint(acked+1))
			require.Equal(t, acked, produceBatchTo(p, "t", 0, batch))
			acked += 2
		}
		// One more, whose answer nobody waits for.
		req := produceRequest("t", 0, -1, idempotentBatch(t, producer, int32(acked), fmt.Sprint(acked), fmt.Sprint(acked+1)))
		req.SetVersion(9)
		p.send(req)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()

		cmd, addr = startChild(t, dir)
		p = dialAddr(t, addr)
		// Sent again: stored now, or known as a duplicate.
		require.Equal(t, acked, produceBatchTo(p, "t", 0, idempotentBatch(t, producer, int32(acked), fmt.Sprint(acked), fmt.Sprint(acked+1))))
		acked += 2
		var got []string
		for int64(len(got)) < acked {
			more := values(t, fetchOne(p, "t", 0, int64(len(got))).RecordBatches)
			require.NotEmpty(t, more)
			got = append(got, more...)
		}
		for i, v := range got {
			require.Equal(t, fmt.Sprint(i), v)
		}
		require.Len(t, got, int(acked))
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
	}
}
