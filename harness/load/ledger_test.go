package load

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// tape is what a target delivers of one partition: producer and sequence
// number of each record, in order of offset.
type tape [][2]int64

// play sends n records from each of two producers, acknowledges those for
// which acked says so, and reads the tape back.
func play(n int64, acked func(producer, seq int64) bool, t tape, ends []int64) LedgerReport {
	l := newLedger([]Topic{{"t", 1}}, 2, 1, true)
	for p := range int64(2) {
		s := l.streams[0][p]
		s.take(n)
		for seq := range n {
			if acked(p, seq) {
				s.ack(seq, 1, -1) // offsets have a test of their own
			} else {
				s.fail(1)
			}
		}
	}
	for offset, r := range t {
		l.readings[0][0].saw(int(r[0]), r[1], 1, int64(offset))
	}
	return l.report(ends)
}

func inOrder(n int64) (t tape) {
	for seq := range n {
		t = append(t, [2]int64{0, seq}, [2]int64{1, seq})
	}
	return t
}

func all(int64, int64) bool { return true }

func TestLedgerFaults(t *testing.T) {
	const n = 100
	end := []int64{2 * n}
	cut := func(t tape, i int) tape { return append(append(tape{}, t[:i]...), t[i+1:]...) }
	dup := func(t tape, i, at int) tape {
		return append(append(append(tape{}, t[:at]...), t[i]), t[at:]...)
	}
	swap := func(t tape, i, j int) tape {
		t = append(tape{}, t...)
		t[i], t[j] = t[j], t[i]
		return t
	}
	good := inOrder(n)
	for _, c := range []struct {
		name  string
		acked func(p, s int64) bool
		tape  tape
		ends  []int64
		want  LedgerReport
	}{
		{"nothing wrong", all, good, end, LedgerReport{}},
		{"one lost", all, cut(good, 50), []int64{2*n - 1}, LedgerReport{Lost: 1}},
		{"the last lost", all, good[:2*n-3], []int64{2*n - 3}, LedgerReport{Lost: 3}},
		{"the first lost", all, good[1:], []int64{2*n - 1}, LedgerReport{Lost: 1}},
		{"all lost", all, nil, []int64{0}, LedgerReport{Lost: 2 * n}},
		{"reading ended early", all, good[:60], end, LedgerReport{Unchecked: 2*n - 60}},
		{"ended early with a gap", all, cut(good, 20)[:60], end, LedgerReport{Lost: 1, Unchecked: 2*n - 61}},
		{"target gone", all, good[:60], nil, LedgerReport{Unchecked: 2*n - 60}},
		{"twice at once", all, dup(good, 50, 51), end, LedgerReport{Duplicated: 1}},
		{"twice later", all, dup(good, 50, 150), end, LedgerReport{Duplicated: 1}},
		{"three times", all, dup(dup(good, 50, 150), 50, 190), end, LedgerReport{Duplicated: 1}},
		{"swapped", all, swap(good, 50, 52), end, LedgerReport{Reordered: 1}},
		{"producers may interleave", all, swap(good, 50, 51), end, LedgerReport{}},
		{"unacknowledged lost", func(p, s int64) bool { return p != 0 || s != 25 }, cut(good, 50), end, LedgerReport{Failed: 1}},
		{"unacknowledged seen", func(p, s int64) bool { return p != 0 || s != 25 }, good, end, LedgerReport{Failed: 1, Unacked: 1}},
		{"unacknowledged twice", func(p, s int64) bool { return p != 0 || s != 25 }, dup(good, 50, 90), end, LedgerReport{Failed: 1, Unacked: 1}},
		{"unacknowledged late", func(p, s int64) bool { return p != 0 || s != 25 }, swap(good, 50, 52), end, LedgerReport{Failed: 1, Unacked: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := play(n, c.acked, c.tape, c.ends)
			c.want.Checked = got.Checked
			c.want.Sent, c.want.Acknowledged, c.want.Seen = 2*n, 2*n-c.want.Failed, int64(len(c.tape))
			require.Equal(t, c.want.Violations() > 0, len(got.Examples) > 0)
			for _, e := range got.Examples {
				require.Equal(t, "t", e.Topic)
			}
			got.Examples = nil
			require.Equal(t, c.want, got)
		})
	}
	rep := play(n, all, cut(good, 50), []int64{2*n - 1})
	require.Equal(t, []Example{{Kind: "lost", Topic: "t", Offset: 51, Producer: 0, Sequence: 25}}, rep.Examples,
		"the example says which record, and the offset of the next of that producer")
	rep = play(n, all, dup(good, 50, 150), end)
	require.Equal(t, []Example{{Kind: "duplicated", Topic: "t", Offset: 150, Producer: 0, Sequence: 25}}, rep.Examples)
}

func TestLedgerDamage(t *testing.T) {
	l := newLedger([]Topic{{"a", 2}, {"b", 1}}, 1, 2, true)
	for p := range l.parts {
		l.streams[p][0].take(10)
		l.streams[p][0].ack(0, 10, 9)
	}
	for g := range 2 {
		for p := range l.parts {
			r := l.readings[g][p]
			r.saw(0, 0, 5, 0)
			switch {
			case g == 1 && p == 2: // told by its place
				require.True(t, r.plausible(0, 5))
				require.False(t, r.plausible(0, 6))
				require.False(t, r.plausible(1, 5))
				require.False(t, r.plausible(-1, 5))
				r.sawDamaged(true, 0, 5, 1, 5)
			case g == 0 && p == 0: // not to be told: then it is missing too
				r.sawDamaged(false, 0, 0, 1, 5)
			default:
				r.saw(0, 5, 1, 5)
			}
			r.saw(0, 6, 4, 6)
			r.sawForeign(3, 10)
		}
	}
	require.True(t, l.caughtUp())
	require.EqualValues(t, 1, l.lag())
	rep := l.report([]int64{13, 13, 13})
	require.EqualValues(t, 2, rep.Corrupt)
	require.EqualValues(t, 1, rep.Lost)
	require.EqualValues(t, 18, rep.Foreign)
	require.EqualValues(t, 3, rep.Violations())
	require.Equal(t, []Example{
		{Kind: "corrupt", Group: 0, Topic: "a", Offset: 5, Producer: -1, Sequence: -1},
		{Kind: "corrupt", Group: 1, Topic: "b", Offset: 5, Producer: 0, Sequence: 5},
		{Kind: "lost", Group: 0, Topic: "a", Offset: 6, Producer: 0, Sequence: 5},
	}, rep.Examples)
}

func TestLedgerProgress(t *testing.T) {
	l := newLedger([]Topic{{"t", 1}}, 1, 2, true)
	s := l.streams[0][0]
	require.EqualValues(t, 0, s.take(10))
	require.EqualValues(t, 10, s.take(5))
	require.EqualValues(t, 15, l.open())
	s.ack(0, 10, 9)
	s.fail(5)
	require.Zero(t, l.open())
	require.EqualValues(t, 10, l.lag())
	l.readings[0][0].saw(0, 0, 10, 0)
	require.False(t, l.caughtUp())
	l.readings[1][0].saw(0, 0, 10, 0)
	require.True(t, l.caughtUp())
	require.Zero(t, l.lag())
}

func TestLedgerWithoutReaders(t *testing.T) {
	l := newLedger([]Topic{{"t", 1}}, 1, 0, true)
	l.streams[0][0].take(3)
	l.streams[0][0].ack(0, 3, 2)
	rep := l.report(nil)
	require.False(t, rep.Checked)
	require.EqualValues(t, 3, rep.Unchecked)
	require.Zero(t, rep.Violations())
}

// TestLedgerOfManyFaults: faults strewn at random are all counted, each as
// what it is.
func TestLedgerOfManyFaults(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		const n = 20000
		l := newLedger([]Topic{{"t", 1}}, 1, 1, true)
		s, r := l.streams[0][0], l.readings[0][0]
		s.take(n)
		s.ack(0, n, n-1)
		var lost, twice, late, bad, offset int64
		for seq := int64(0); seq < n; seq++ {
			offset++
			switch rng.IntN(200) {
			case 0:
				lost++
			case 1:
				twice++
				r.saw(0, seq, 1, offset)
				r.saw(0, seq, 1, offset)
			case 2:
				bad++
				r.sawDamaged(true, 0, seq, 1, offset)
			case 3:
				if seq+1 < n {
					late++
					r.saw(0, seq+1, 1, offset)
					r.saw(0, seq, 1, offset)
					seq++
					continue
				}
				fallthrough
			default:
				r.saw(0, seq, 1, offset)
			}
		}
		rep := l.report([]int64{r.next})
		require.Equal(t, [4]int64{lost, twice, late, bad}, [4]int64{rep.Lost, rep.Duplicated, rep.Reordered, rep.Corrupt}, "seed %d", seed)
	}
}

func TestBatchLog(t *testing.T) {
	b := batchLog{passed: make([]int64, 2), limit: 5}
	for i := range int64(5) {
		b.push(sentBatch{seq: i * 10, n: 10, crc: uint32(i)})
	}
	find := func(g int, seq int64) int {
		s, ok := b.find(g, seq)
		if !ok {
			return -1
		}
		return int(s.crc)
	}
	require.Equal(t, 0, find(0, 0))
	require.Equal(t, 0, find(1, 9), "the other group has not read it yet")
	require.Equal(t, -1, find(0, 5), "both have")
	require.Equal(t, 4, find(0, 49))
	require.Equal(t, 2, find(1, 20))
	require.Equal(t, -1, find(1, 50))
	for i := range int64(10) {
		b.push(sentBatch{seq: 50 + i*10, n: 10, crc: uint32(5 + i)})
	}
	require.Equal(t, -1, find(1, 30), "forgotten")
	require.Equal(t, 12, find(1, 120))
	require.EqualValues(t, 7, b.forgot)
	none := batchLog{limit: 5}
	none.push(sentBatch{n: 1})
	require.Empty(t, none.list)
	// However long it runs, it does not grow.
	long := batchLog{passed: make([]int64, 1), limit: 1 << 20}
	for i := range int64(100000) {
		long.push(sentBatch{seq: i, n: 1})
		_, ok := long.find(0, i)
		require.True(t, ok)
	}
	require.Less(t, cap(long.list), 8192)
}

func BenchmarkLedger(b *testing.B) {
	for _, batch := range []int64{1, 64} {
		name := "batch=1"
		if batch > 1 {
			name = "batch=64"
		}
		b.Run(name, func(b *testing.B) {
			l := newLedger([]Topic{{"t", 1}}, 1, 1, true)
			s, r := l.streams[0][0], l.readings[0][0]
			b.ReportAllocs()
			for i := int64(0); i < int64(b.N); i += batch {
				seq := s.take(batch)
				s.ack(seq, batch, seq+batch-1)
				r.saw(0, seq, batch, seq)
			}
		})
	}
}

// A log that ends before what was acknowledged has lost it, also where it had
// been read before.
func TestLedgerOfALogThatForgot(t *testing.T) {
	l := newLedger([]Topic{{"t", 1}}, 1, 1, true)
	s, r := l.streams[0][0], l.readings[0][0]
	s.take(10)
	s.ack(0, 10, 9)
	for seq := range int64(8) {
		r.saw(0, seq, 1, seq)
	}
	rep := l.report([]int64{5})
	require.EqualValues(t, 5, rep.Lost, "5, 6, 7 were read and are gone, 8 and 9 were never seen: %+v", rep)
	require.Contains(t, rep.Examples, Example{Kind: "lost", Topic: "t", Producer: -1, Sequence: -1, Offset: 5})
	rep = l.report([]int64{10})
	require.Zero(t, rep.Lost, "all is still there, and two records are not read yet: %+v", rep)
	require.EqualValues(t, 2, rep.Unchecked)
}

// Records acknowledged at other offsets than they are read at are found, few or
// many, and the run does not wait for offsets that will never be.
func TestLedgerOfWrongOffsets(t *testing.T) {
	for name, c := range map[string]struct {
		shift func(seq int64) int64
		want  int64
	}{
		"right":        {func(int64) int64 { return 0 }, 0},
		"all":          {func(int64) int64 { return 1000 }, 1},
		"one of many":  {func(seq int64) int64 { return -(seq / 50 * (99 - seq) / 49) }, 1},
		"only the end": {func(seq int64) int64 { return seq / 99 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger([]Topic{{"t", 1}}, 1, 1, true)
			s, r := l.streams[0][0], l.readings[0][0]
			s.take(100)
			for seq := range int64(100) {
				s.ack(seq, 1, seq+c.shift(seq))
				r.saw(0, seq, 1, seq)
			}
			require.True(t, l.caughtUp())
			rep := l.report([]int64{100})
			require.Equal(t, c.want, rep.Misplaced, "%+v", rep)
			require.Equal(t, c.want, rep.Violations())
			require.Len(t, rep.Examples, int(c.want))
		})
	}
}
