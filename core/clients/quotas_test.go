package clients_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// throttles adds up what the broker tells a client to wait.
type throttles struct{ told atomic.Int64 }

func (h *throttles) OnBrokerThrottle(_ kgo.BrokerMetadata, d time.Duration, _ bool) {
	h.told.Add(int64(d))
}

// TestFranzQuotas: a client over its quota is told to wait, one of another name
// is not, and nothing is lost or late for good.
func TestFranzQuotas(t *testing.T) {
	addr, topic, ctx := shared(t), topicName(t), bounded(t)
	createTopic(t, addr, topic, 1)
	a := admin(t, addr)
	limit := func(entity, key string, rate float64, remove bool) {
		done, err := a.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
			Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &entity}},
			Ops:    []kadm.AlterClientQuotaOp{{Key: key, Value: rate, Remove: remove}},
		}})
		require.NoError(t, err)
		for _, d := range done {
			require.NoError(t, d.Err)
		}
	}
	slow, free := topic+"-slow", topic+"-free"
	for _, key := range []string{"producer_byte_rate", "consumer_byte_rate"} {
		limit(slow, key, 1<<20, false)
		defer limit(slow, key, 0, true)
	}

	const records, size = 120, 100_000 // 12 MB, of which a window of Kafka's 11 s lets pass 11.5
	for _, id := range []string{free, slow} {
		var told throttles
		k := franzClient(t, addr, kgo.ClientID(id), kgo.WithHooks(&told), kgo.ProducerBatchCompression(kgo.NoCompression()))
		for i := range records {
			k.Produce(ctx, &kgo.Record{Topic: topic, Value: bytes.Repeat([]byte{byte(i)}, size)}, nil)
		}
		require.NoError(t, k.Flush(ctx))
		require.Equal(t, id == slow, told.told.Load() > 0, "produce, %s: told to wait %v", id, time.Duration(told.told.Load()))
	}
	for _, id := range []string{free, slow} {
		var told throttles
		k := franzClient(t, addr, kgo.ClientID(id), kgo.WithHooks(&told), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
		// What is over its quota by a second waits for a second: the first word of it suffices.
		for read := 0; read < 2*records && told.told.Load() == 0; {
			fs := k.PollFetches(ctx)
			require.NoError(t, fs.Err())
			fs.EachRecord(func(r *kgo.Record) {
				require.Equal(t, int64(read), r.Offset)
				require.Equal(t, bytes.Repeat([]byte{byte(read % records)}, size), r.Value)
				read++
			})
		}
		require.Equal(t, id == slow, told.told.Load() > 0, "fetch, %s: told to wait %v", id, time.Duration(told.told.Load()))
	}
}
