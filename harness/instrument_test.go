package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"millrace/core"
	"millrace/results"
)

// behind starts a broker whose clients all go through a TCP proxy, and answers
// the proxy's address. back gets what passes from the broker to a client, and may
// change it in place.
func behind(t *testing.T, back func(b []byte)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := core.Defaults()
	cfg.Listen, cfg.DataDir, cfg.Logger = "127.0.0.1:0", t.TempDir(), quiet
	require.NoError(t, core.Knobs(&cfg).Set("advertised.listeners", l.Addr().String()))
	b, err := core.Start(context.Background(), cfg)
	require.NoError(t, err)
	var conns sync.Map
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			broker, err := net.Dial("tcp", b.Addr())
			if err != nil {
				client.Close()
				continue
			}
			conns.Store(client, true)
			conns.Store(broker, true)
			serving.Go(func() { _, _ = io.Copy(broker, client); broker.Close() })
			serving.Go(func() {
				defer client.Close()
				chunk := make([]byte, 64<<10)
				for {
					n, err := broker.Read(chunk)
					if back != nil {
						back(chunk[:n])
					}
					if _, werr := client.Write(chunk[:n]); err != nil || werr != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		serving.Wait()
		require.NoError(t, b.Stop(context.Background()))
	})
	return l.Addr().String()
}

// TestFlippedBit: a proxy that flips one bit of one record on its way to a
// consumer ends the run with exit code 13, and both the errors and the account
// say where; the same proxy without a fault does neither.
func TestFlippedBit(t *testing.T) {
	const mark = "somewhere in this line a bit will fall over"
	file := filepath.Join(t.TempDir(), "lines")
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat(mark+"\n", 100)), 0o644))
	for _, client := range []string{"kgo", "lean"} {
		for _, flip := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/flip=%v", client, flip), func(t *testing.T) {
				t.Parallel()
				var seen atomic.Int64
				addr := behind(t, func(b []byte) {
					n := bytes.Count(b, []byte(mark))
					if before := seen.Add(int64(n)) - int64(n); flip && before < 1800 && before+int64(n) >= 1800 {
						b[bytes.Index(b, []byte(mark))+7] ^= 2
					}
				})
				s := shortScenario(t, "client="+client, "payload.generator=file", "payload.file="+file, "producers.compression=none")
				run, err := Run(deadline(t), options(t, s, "external:"+addr))
				require.NoError(t, err)
				l, errors := run.Trial.Ledger, int64(0)
				for _, ph := range run.Trial.Phases { // on a busy machine it may be read in the drain
					errors += ph.Errors
				}
				notes := strings.Join(run.Trial.Notes, "\n")
				if !flip {
					require.Zero(t, l.Violations()+errors)
					require.NotEqual(t, results.ExitViolation, ExitCode(run, nil))
					require.NotContains(t, notes, "consume:")
					return
				}
				require.Equal(t, results.Violation, run.Verdict.Outcome)
				require.Equal(t, results.ExitViolation, ExitCode(run, nil))
				require.Contains(t, run.Verdict.Reason, "damaged")
				require.Positive(t, l.Corrupt)
				require.Equal(t, l.Corrupt, l.Violations())
				require.Positive(t, errors)
				require.Equal(t, run.Trial.Steady.Errors == 0, run.Verdict.Goals[3].Outcome == results.Pass, "errors == 0")
				require.Regexp(t, `consume: topic a partition [01] offset \d+: `, notes)
				require.Regexp(t, `^corrupt: a-[01] offset \d+, `, l.Examples[0])
			})
		}
	}
}
