package load

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func framed(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = binary.BigEndian.AppendUint32(all, uint32(len(p)))
		all = append(all, p...)
	}
	return all
}

func TestFrames(t *testing.T) {
	big := bytes.Repeat([]byte{7}, 200<<10)
	parts := [][]byte{[]byte("a"), {}, big, []byte("bc"), big, big, []byte("d")}
	for name, src := range map[string]io.Reader{
		"at once":      bytes.NewReader(framed(parts...)),
		"half by half": iotest.HalfReader(bytes.NewReader(framed(parts...))),
		"with the end": iotest.DataErrReader(bytes.NewReader(framed(parts...))),
	} {
		f := newFrames(src, 1<<10, 1<<20)
		for i, want := range parts {
			got, err := f.next()
			require.NoError(t, err, "%s frame %d", name, i)
			require.True(t, bytes.Equal(want, got), "%s frame %d", name, i)
		}
		_, err := f.next()
		require.ErrorIs(t, err, io.EOF, name)
		require.LessOrEqual(t, len(f.buf), 512<<10)
	}
	// A claimed length takes no memory before its bytes arrive.
	f := newFrames(bytes.NewReader([]byte{0x3f, 0xff, 0xff, 0xff, 1, 2, 3}), 1<<10, 1<<30)
	_, err := f.next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Len(t, f.buf, 1<<10)
	for _, bad := range [][]byte{{0xff, 0xff, 0xff, 0xff}, {0, 0, 4, 1}} {
		_, err = newFrames(bytes.NewReader(bad), 16, 1<<10).next()
		require.ErrorContains(t, err, "outside 0 to 1024")
	}
}

// FuzzFrames: whatever the bytes and however they arrive, the frames are those
// that a reader of the whole would cut.
func FuzzFrames(f *testing.F) {
	f.Add(framed([]byte("abc"), nil, []byte("defg")), 3)
	f.Add([]byte{0, 0, 0}, 1)
	f.Fuzz(func(t *testing.T, all []byte, size int) {
		const limit = 1 << 16
		in := newFrames(iotest.HalfReader(bytes.NewReader(all)), 4+min(max(size, 0), 100), limit)
		for rest := all; ; {
			got, err := in.next()
			if len(rest) < 4 || binary.BigEndian.Uint32(rest) > limit || len(rest) < 4+int(binary.BigEndian.Uint32(rest)) {
				require.Error(t, err)
				return
			}
			n := 4 + int(binary.BigEndian.Uint32(rest))
			require.NoError(t, err)
			require.Equal(t, rest[4:n], append([]byte{}, got...))
			rest = rest[n:]
		}
	})
}

// FuzzSink: no request makes the sink panic.
func FuzzSink(f *testing.F) {
	f.Add([]byte(newPrefix(partition{"t", 0}, 1).append(nil, 0))[4:])
	f.Add([]byte{0, 18, 0, 3, 0, 0, 0, 1, 0, 1, 'x', 0})
	s, err := NewSink([]Topic{{"t", 2}})
	require.NoError(f, err)
	f.Cleanup(s.Close)
	f.Fuzz(func(_ *testing.T, frame []byte) {
		_, _ = (&sinkConn{s: s}).handle(nil, frame)
	})
}

func FuzzStamp(f *testing.F) {
	var b [stampSize]byte
	stamp{1, 2, 3, 4}.put(&b, 5, []byte("k"))
	f.Add(b[:], []byte("k"), []byte("v"))
	f.Fuzz(func(t *testing.T, b, key, value []byte) {
		s, ours, sound := parseStamp(b, 1, key, value)
		if !ours || !sound {
			return
		}
		p := &pool{}
		p.add(value)
		var again [stampSize]byte
		s.put(&again, p.sums[0], key)
		again[6], again[7] = b[6], b[7]
		if b[6] == 0 && b[7] == 0 {
			require.Equal(t, b, again[:])
		}
	})
}
