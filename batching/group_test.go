package batching

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGroupCloses(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	for name, c := range map[string]struct {
		group Group
		sizes []int // one comes each millisecond, from 0 on
		// closed is the millisecond, before anything more comes, at which it
		// is closed; -1: never.
		closed int
		full   bool
	}{
		"empty":             {Group{MaxBytes: 1, MaxCount: 1}, nil, -1, false},
		"by bytes":          {Group{MaxBytes: 100, MaxWait: -1}, []int{60, 40}, 1, true},
		"not by bytes":      {Group{MaxBytes: 100, MaxWait: -1}, []int{60, 39}, -1, false},
		"by one too large":  {Group{MaxBytes: 100, MaxWait: -1}, []int{500}, 0, true},
		"by count":          {Group{MaxCount: 3, MaxWait: -1}, []int{1, 1, 1}, 2, true},
		"not by count":      {Group{MaxCount: 3, MaxWait: -1}, []int{1, 1}, -1, false},
		"by wait":           {Group{MaxBytes: 100, MaxCount: 9, MaxWait: 5 * time.Millisecond}, []int{1, 1, 1}, 5, false},
		"at once":           {Group{}, []int{1}, 0, false},
		"never":             {Group{MaxWait: -1}, []int{1 << 40, 1 << 40}, -1, false},
		"the first's wait":  {Group{MaxWait: 5 * time.Millisecond}, []int{1, 1, 1, 1}, 5, false},
		"bytes before wait": {Group{MaxBytes: 3, MaxWait: 5 * time.Millisecond}, []int{1, 1, 1}, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // a Reset group is as good as new
				g := &c.group
				closed := -1
				for ms := range 20 {
					if ms < len(c.sizes) {
						g.Add(at(ms), c.sizes[ms])
					}
					if closed < 0 && g.Closed(at(ms)) {
						closed = ms
					}
				}
				require.Equal(t, c.closed, closed)
				require.Equal(t, c.full, g.Full())
				require.Equal(t, len(c.sizes), g.Count())
				deadline, ok := g.Deadline()
				require.Equal(t, len(c.sizes) > 0 && g.MaxWait >= 0, ok)
				if ok {
					require.Equal(t, at(0).Add(g.MaxWait), deadline)
				}
				g.Reset()
				require.Zero(t, g.Count()+g.Bytes())
				require.False(t, g.Closed(at(1<<20)))
			}
		})
	}
}

func TestGroupFits(t *testing.T) {
	g := Group{MaxBytes: 100, MaxCount: 2, MaxWait: -1}
	require.True(t, g.Fits(1000), "an empty one takes anything")
	g.Add(time.Time{}, 60)
	require.True(t, g.Fits(40))
	require.False(t, g.Fits(41))
	g.Add(time.Time{}, 1)
	require.False(t, g.Fits(1), "count")
	g = Group{}
	g.Add(time.Time{}, 1<<40)
	require.True(t, g.Fits(1<<40), "no limits")
}
