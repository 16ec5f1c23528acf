package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
)

// TestAlternatives takes every alternative of every knob that changes how bytes
// move through the same rounds: append, read back from several places, long
// poll, restart. Joining a knob's table enrols an alternative here.
func TestAlternatives(t *testing.T) {
	d := Defaults()
	var settings []map[string]string
	for _, name := range []string{"buffer.pool", "append.mode", "cold.read", "validate.depth"} {
		for _, v := range Knobs(&d).Lookup(name).Alternatives {
			settings = append(settings, map[string]string{name: v})
		}
	}
	for _, engine := range Knobs(&d).Lookup("net.engine").Alternatives {
		for _, policy := range Knobs(&d).Lookup("sync.policy").Alternatives {
			settings = append(settings, map[string]string{"net.engine": engine, "sync.policy": policy})
			settings = append(settings, map[string]string{"net.engine": engine, "sync.policy": policy, "append.mode": "grouped"})
		}
		for _, path := range Knobs(&d).Lookup("read.path").Alternatives {
			settings = append(settings, map[string]string{"net.engine": engine, "read.path": path, "net.loops": "2"})
		}
	}
	for _, s := range settings {
		var name []string
		for _, k := range slices.Sorted(maps.Keys(s)) {
			name = append(name, k+"="+s[k])
		}
		t.Run(strings.Join(name, ","), func(t *testing.T) {
			cfg := testConfig(t)
			require.NoError(t, Knobs(&cfg).Apply(s))
			rounds(t, cfg)
		})
	}
}

func rounds(t *testing.T, cfg Config) {
	b := start(t, cfg)
	p, waiter := dial(t, b), dial(t, b)
	createTopic(t, p, "t", 2, "segment.bytes", "65536")
	var want []string
	for i := range 30 {
		v := fmt.Sprintf("%d %s", i, strings.Repeat("x", i*300))
		require.Equal(t, int64(i), produceBatch(p, "t", oneBatch(t, batching.Options{}, v)))
		want = append(want, v)
	}
	for _, from := range []int64{0, 7, 29} {
		got := fetchOne(p, "t", 0, from)
		require.Equal(t, int64(30), got.HighWatermark)
		require.Equal(t, want[from], values(t, got.RecordBatches)[0])
	}
	require.Equal(t, want, fetchAll(p, "t", 0))

	req := long(fetchRequest("t", 1, 0))
	waiter.send(req)
	parked(t, b, 1)
	mustProduce(p, "t", 1, "woken")
	frame, err := waiter.read()
	require.NoError(t, err)
	require.Contains(t, string(frame), "woken")

	// Two partitions in one request, and one that nobody answers.
	both := produceRequest("t", 0, -1, oneBatch(t, batching.Options{}, "last"))
	second := kmsg.NewProduceRequestTopicPartition()
	second.Partition, second.Records = 1, oneBatch(t, batching.Options{}, "last")
	both.Topics[0].Partitions = append(both.Topics[0].Partitions, second)
	got := ask[*kmsg.ProduceResponse](p, 9, both).Topics[0].Partitions
	require.Equal(t, []int64{30, 1}, []int64{got[0].BaseOffset, got[1].BaseOffset})
	quiet := produceRequest("t", 0, 0, oneBatch(t, batching.Options{}, "unanswered"))
	quiet.SetVersion(9)
	p.send(quiet)
	want = append(want, "last", "unanswered")
	eventually(t, "the unanswered record", func() bool { return fetchOne(p, "t", 0, 0).HighWatermark == 32 })

	stop(t, b)
	b = start(t, cfg)
	require.Equal(t, want, fetchAll(dial(t, b), "t", 0))
}
