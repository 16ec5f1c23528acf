package load

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCeiling(t *testing.T) {
	for _, client := range Clients() {
		t.Run(client, func(t *testing.T) {
			var c CeilingResult
			for d := 400 * time.Millisecond; c.Rate == 0 && d < time.Minute; d *= 2 { // a busy machine may take longer to acknowledge anything
				var err error
				c, err = Ceiling(context.Background(), small(client), d)
				require.NoError(t, err)
			}
			require.Positive(t, c.Rate)
			require.Positive(t, c.CPUNs)
			require.True(t, c.Shared)
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Ceiling(ctx, small("lean"), time.Hour)
	require.ErrorIs(t, err, context.Canceled)
}

// BenchmarkCeiling is what each client reaches in closed loop against a Sink:
// records and bytes a second, and the CPU of both ends together.
func BenchmarkCeiling(b *testing.B) {
	for _, c := range []struct {
		client, codec string
		size, batch   int
		producers     int
	}{
		{"kgo", "none", 1024, 64 << 10, 1},
		{"kgo", "lz4", 1024, 64 << 10, 1},
		{"lean", "none", 1024, 16 << 10, 1},
		{"lean", "none", 1024, 64 << 10, 1},
		{"lean", "none", 1024, 1 << 20, 1},
		{"lean", "none", 100, 64 << 10, 1},
		{"lean", "lz4", 1024, 64 << 10, 1},
	} {
		b.Run(fmt.Sprintf("client=%s/codec=%s/record=%d/batch=%d", c.client, c.codec, c.size, c.batch), func(b *testing.B) {
			sink, err := NewSink([]Topic{{"t", 4}})
			require.NoError(b, err)
			defer sink.Close()
			s := Spec{
				Client: c.client, Brokers: []string{sink.Addr()}, Topics: []Topic{{"t", 4}},
				Payload:      Payload{Generator: JSONEvents, Size: Size{Mean: c.size}, PoolBytes: 16 << 20},
				Producers:    Producers{Count: c.producers, Acks: AcksLeader, BatchBytes: c.batch, Compression: c.codec, Retries: -1},
				Phases:       []Phase{{Kind: Warmup, Len: 300 * time.Millisecond}, {Kind: Steady, Len: 1500 * time.Millisecond}},
				SkipReadBack: true,
			}
			var rate, bytes, cpu, allocs float64
			for range b.N {
				res, err := Run(context.Background(), s)
				require.NoError(b, err)
				ph := res.Phases[1]
				rate = float64(ph.Acked.Records) / ph.Len.Seconds()
				bytes = float64(ph.Acked.Bytes) / ph.Len.Seconds()
				cpu = float64(ph.Usage.CPU) / float64(ph.Acked.Records)
				allocs = float64(ph.Usage.Allocs) / float64(ph.Acked.Records)
			}
			b.ReportMetric(rate, "records/s")
			b.ReportMetric(bytes/1e6, "MB/s")
			b.ReportMetric(cpu, "cpu-ns/record")
			b.ReportMetric(allocs, "allocs/record")
			b.ReportMetric(0, "ns/op")
		})
	}
}
