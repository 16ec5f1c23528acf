package knob

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type sample struct {
	on   bool
	n    int
	size int64
	wait time.Duration
	idle time.Duration
	path string
	text string
}

func declare(v *sample) *Set {
	s := &Set{}
	s.Bool(&v.on, "cold.start", "warm or not")
	s.Int(&v.n, "net.loops", "event loops", Range(0, 64))
	s.Bytes(&v.size, "segment.bytes", "size at which a segment rolls", Range(1<<10, 1<<31-1), PerTopic(), Kafka("log.segment.bytes"))
	s.Duration(&v.wait, "flush.ms", "longest time before a flush", Within(-1, time.Hour))
	s.Duration(&v.idle, "idle", "no bound")
	s.Enum(&v.path, "read.path", []string{"sendfile", "copy", "mmap"}, "how a span reaches the socket")
	s.String(&v.text, "name", "free text")
	return s
}

func TestSetReadsEveryKindAndGivesItBack(t *testing.T) {
	v := sample{size: 1 << 30, path: "sendfile", wait: -1}
	s := declare(&v)
	for _, c := range []struct{ name, in, value, wire string }{
		{"cold.start", "true", "true", "true"},
		{"net.loops", "2", "2", "2"},
		{"segment.bytes", "64KiB", "64KiB", "65536"},
		{"segment.bytes", "1.5 MB", "1536KiB", "1572864"},
		{"log.segment.bytes", "4097", "4097", "4097"},
		{"flush.ms", "1500", "1.5s", "1500"},
		{"flush.ms", "1h", "1h", "3600000"},
		{"flush.ms", "-1", "-1", "-1"},
		{"idle", "forever", "forever", "9223372036854775807"},
		{"read.path", "mmap", "mmap", "mmap"},
		{"name", "x y", "x y", "x y"},
	} {
		require.NoError(t, s.Set(c.name, c.in), c)
		k := s.Lookup(c.name)
		require.Equal(t, c.value, k.Value(), c)
		require.Equal(t, c.wire, k.Wire(), c)
		require.NoError(t, s.Set(c.name, k.Value()), "the text form must read back")
		require.Equal(t, c.value, k.Value(), c)
	}
	require.Equal(t, sample{true, 2, 4097, -1, math.MaxInt64, "mmap", "x y"}, v)
	require.Equal(t, map[string]string{
		"cold.start": "true", "net.loops": "2", "segment.bytes": "4097", "idle": "forever", "read.path": "mmap", "name": "x y",
	}, s.Changed())
}

func TestSetNamesTheFault(t *testing.T) {
	v := sample{size: 1 << 30, path: "sendfile"}
	s := declare(&v)
	before := v
	for _, c := range []struct{ name, in, want string }{
		{"cold.start", "yes", `cold.start: "yes" is neither true nor false`},
		{"net.loops", "65", `net.loops: 65 is outside 0 to 64`},
		{"net.loops", "two", `net.loops: "two" is no whole number`},
		{"segment.bytes", "12QB", `segment.bytes: "12QB" is no size (write 64KiB, 1MiB or a count of bytes)`},
		{"segment.bytes", "1", `segment.bytes: 1 is outside 1KiB to 2147483647`},
		{"flush.ms", "2h", `flush.ms: 2h is outside -1 to 1h`},
		{"flush.ms", "soon", `flush.ms: "soon" is no duration (write 5ms, 30s, 2h, 7d)`},
		{"read.path", "sendfil", `read.path: "sendfil" is none of sendfile, copy, mmap (did you mean "sendfile"?)`},
		{"read.pat", "copy", `unknown knob "read.pat" (did you mean "read.path"?)`},
		{"q", "1", `unknown knob "q"`},
	} {
		require.EqualError(t, s.Set(c.name, c.in), c.want)
	}
	require.Equal(t, before, v, "a refused value changes nothing")
	err := s.Apply(map[string]string{"net.loops": "99", "read.pat": "copy", "name": "kept"})
	require.ErrorContains(t, err, "net.loops")
	require.ErrorContains(t, err, "read.pat")
	require.Equal(t, "kept", v.text)
}

func TestValidateListsEveryFault(t *testing.T) {
	s := declare(&sample{})
	s.Rule(func() error { return errors.New("first") })
	s.Rule(func() error { return nil })
	s.Rule(func() error { return errors.New("second") })
	require.EqualError(t, s.Validate(), "first\nsecond")
}

func TestDeclaringTwiceIsOurBug(t *testing.T) {
	s := declare(&sample{})
	require.PanicsWithValue(t, "BUG: knob name declared twice", func() { s.String(new(string), "name", "") })
}

func TestParseBytesEdges(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "-1": -1, "1KiB": 1024, "1 kb": 1024, "0.5GiB": 1 << 29, "9223372036854775807": math.MaxInt64} {
		got, err := ParseBytes(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "KiB", "1e400", "NaN", "Inf", "9223372036854775807KiB", "9e18KiB", "1 KiBB", "--1"} {
		_, err := ParseBytes(in)
		require.Error(t, err, in)
	}
}

func TestParseDurationEdges(t *testing.T) {
	for in, want := range map[string]time.Duration{"0": 0, "5": 5 * time.Millisecond, "7d": 168 * time.Hour, "-1": -1,
		"9223372036854775807": math.MaxInt64, "forever": math.MaxInt64, "250us": 250 * time.Microsecond} {
		got, err := ParseDuration(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "-2", "5 parsecs", "999999999d", "-3d"} {
		_, err := ParseDuration(in)
		require.Error(t, err, in)
	}
}

// FuzzUnits: what is read is written in a form that reads back the same.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"64KiB", "1.5MB", "5ms", "7d", "-1", "1h30m", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseBytes(s); err == nil {
			again, err := ParseBytes(FormatBytes(n))
			require.NoError(t, err)
			require.Equal(t, n, again)
		}
		if d, err := ParseDuration(s); err == nil {
			again, err := ParseDuration(FormatDuration(d))
			require.NoError(t, err)
			require.Equal(t, d, again)
		}
	})
}
