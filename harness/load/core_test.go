package load_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/core"
	"millrace/harness/load"
)

// TestRunAgainstCore drives our own broker, in this process, with every client,
// in codecs and shapes that touch different paths of it.
func TestRunAgainstCore(t *testing.T) {
	cfg := core.Defaults()
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	b, err := core.Start(context.Background(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Stop(context.Background())) }()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	require.NoError(t, err)
	defer cl.Close()

	for _, client := range load.Clients() {
		for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			t.Run(client+"/"+codec, func(t *testing.T) {
				topic := client + "-" + codec
				_, err := kadm.NewClient(cl).CreateTopic(context.Background(), 3, 1, nil, topic)
				require.NoError(t, err)
				res, err := load.Run(context.Background(), load.Spec{
					Client: client, Brokers: []string{b.Addr()},
					Topics:    []load.Topic{{Name: topic, Partitions: 3}},
					Payload:   load.Payload{Generator: load.JSONEvents, Size: load.Size{Mean: 300}, PoolBytes: 128 << 10},
					Keys:      load.Keys{Distribution: load.Zipf, Count: 100},
					Producers: load.Producers{Count: 2, Acks: load.AcksAll, Linger: 20 * time.Millisecond, BatchBytes: 16 << 10, Compression: codec, Retries: -1},
					Consumers: load.Consumers{Groups: 2, Members: 2, MaxWait: 100 * time.Millisecond},
					Phases: []load.Phase{
						{Kind: load.Steady, Len: 200 * time.Millisecond, Pacer: load.Constant(10000)},
						{Kind: load.Drain, Len: 20 * time.Second},
					},
				})
				require.NoError(t, err)
				require.True(t, res.Drained)
				l := res.Ledger
				require.EqualValues(t, 2000, l.Acknowledged)
				require.EqualValues(t, 4000, l.Seen)
				require.True(t, l.Checked)
				require.Zero(t, l.Violations()+l.Unchecked+l.Foreign+l.Unacked, "%+v", l)
				require.EqualValues(t, 4000, res.Phases[0].Latency[load.EndToEnd].Count())
			})
		}
	}
}
