package limits

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"millrace/batching"
)

// Every probe of the table runs, and its figures hang together.
func TestMeasureRunsEveryProbe(t *testing.T) {
	dir := t.TempDir()
	var told int
	var before, after unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(unix.Getpid(), &before))
	defer func() {
		require.NoError(t, unix.SchedGetaffinity(unix.Getpid(), &after))
		require.Equal(t, before, after, "the process may run where it might before")
	}()
	l, err := Measure(context.Background(), Options{
		Dir: dir, Payload: bytes.Repeat([]byte(`{"event":"page_view","user":"u-81723","ms":17}`), 4000),
		Congestion: "reno", Warm: 4 << 20, Round: 2 * time.Millisecond, Rounds: 2,
		Progress: func(int, int, string) { told++ },
	})
	require.NoError(t, err)
	require.Len(t, l.Paths, len(table()), "%v", l.Notes)
	require.Equal(t, len(l.Paths), told)
	require.EqualValues(t, 4<<20, l.WarmedBytes)
	require.Positive(t, l.Memory)
	groups := map[string]int{}
	for _, p := range l.Paths {
		groups[p.Group]++
		require.Positive(t, p.Rate, p.Name)
		require.LessOrEqual(t, p.Low, p.Rate, p.Name)
		require.GreaterOrEqual(t, p.High, p.Rate, p.Name)
		require.Equal(t, p.Group == "fdatasync", p.P50Ns > 0, p.Name)
		if p.Ratio != 0 {
			require.Less(t, p.Ratio, 1.0, "%s: the payload repeats itself", p.Name)
		}
	}
	require.Equal(t, 2*len(senders), groups["loopback"])
	require.Equal(t, 3*len(receivers), groups["receive"])
	require.Equal(t, 2*(len(batching.Codecs())-1), groups["codec"])
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "what was written is removed")
}

func TestMeasureEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	l, err := Measure(ctx, Options{Dir: t.TempDir(), Payload: make([]byte, 100), Round: time.Millisecond, Rounds: 1,
		Progress: func(done, _ int, _ string) {
			if done == 3 {
				cancel()
			}
		}})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, l.Paths, 3)
}

func TestMeasureSaysWhereItCannotWrite(t *testing.T) {
	_, err := Measure(context.Background(), Options{Dir: "/nonexistent", Payload: []byte("x")})
	require.ErrorContains(t, err, "/nonexistent")
}
