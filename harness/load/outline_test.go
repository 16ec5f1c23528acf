package load

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/batching"
	"millrace/core/wire"
)

// fetched is an answer to Fetch with its length in front, of partitions with
// these record bytes; nil: null.
func fetched(topics ...[][]byte) []byte {
	var r wire.FetchResponse
	for i, parts := range topics {
		t := r.AddTopic()
		t.Name = []byte("topic-" + string(rune('a'+i)))
		for k, records := range parts {
			p := t.AddPartition()
			p.Index, p.HighWatermark, p.RecordsLen = int32(k), 1000, len(records)
			if records == nil {
				p.RecordsLen = -1
			}
			if k == 1 {
				p.StartAborted()
				p.Aborted = append(p.Aborted, wire.AbortedTxn{ProducerID: 7, FirstOffset: 3}, wire.AbortedTxn{ProducerID: 8})
			}
		}
	}
	dst := binary.BigEndian.AppendUint32(make([]byte, 4), 77)
	head := len(dst)
	body := r.Append(dst, fetchVersion)
	out := append([]byte{}, body[:head]...)
	at := head
	for i := range r.Topics {
		for k := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[k]
			out = append(out, body[at:p.RecordsAt]...)
			out = append(out, topics[i][k]...)
			at = p.RecordsAt
		}
	}
	out = append(out, body[at:]...)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

// someBatches are n batches of three records with values of a size.
func someBatches(t testing.TB, n, size int) (all []byte) {
	b := batching.NewBuilder(batching.Options{})
	for i := range n {
		for range 3 {
			require.NoError(t, b.Append(1, []byte("k"), bytes.Repeat([]byte{byte(i)}, size), nil))
		}
		batch, err := b.Build(nil)
		require.NoError(t, err)
		all = append(all, batch...)
	}
	return all
}

// TestOutline: what a reader of whole answers decodes, and the headers of all
// batches, are there, however the bytes arrive; what belongs to the records was
// not copied from a TCP socket.
func TestOutline(t *testing.T) {
	small, large := someBatches(t, 5, 10), someBatches(t, 4, 40_000)
	answers := [][]byte{
		fetched(),
		fetched([][]byte{nil, {}, small, large}, [][]byte{large, small}),
		fetched([][]byte{large[:len(large)-7], small[:len(small)-20], small[:30], small[:61], large[:62]}),
		fetched([][]byte{large}),
		fetched([][]byte{nil, nil}, nil, [][]byte{small}),
		fetched([][]byte{bytes.Repeat([]byte{0xff}, 3000), small}), // no batch
	}
	check := func(t *testing.T, o *outline, next func([]byte)) {
		for i, answer := range answers {
			next(answer)
			got, err := o.next()
			require.NoError(t, err, "answer %d", i)
			require.Len(t, got, len(answer)-4)
			var want, is wire.FetchResponse
			require.NoError(t, want.Decode(fetchVersion, answer[8:]))
			require.NoError(t, is.Decode(fetchVersion, got[4:]))
			require.Len(t, is.Topics, len(want.Topics))
			for i := range want.Topics {
				require.Equal(t, want.Topics[i].Name, is.Topics[i].Name)
				require.Len(t, is.Topics[i].Partitions, len(want.Topics[i].Partitions))
				for k := range want.Topics[i].Partitions {
					w, g := want.Topics[i].Partitions[k], is.Topics[i].Partitions[k]
					for at := 0; ; {
						b, err := batching.View(w.Records[at:])
						if err != nil {
							break
						}
						require.Equal(t, b.Bytes()[:batching.HeaderSize], g.Records[at:at+batching.HeaderSize])
						at += b.Size()
					}
					w.Records, g.Records = nil, nil
					require.Equal(t, w, g)
				}
			}
		}
	}
	for name, cut := range map[string]func(io.Reader) io.Reader{
		"at once":      func(r io.Reader) io.Reader { return r },
		"half by half": iotest.HalfReader,
		"byte by byte": iotest.OneByteReader,
	} {
		t.Run(name, func(t *testing.T) {
			var in bytes.Buffer
			src := cut(&in)
			o := &outline{src: src, skip: skipRead(src), buf: make([]byte, 1<<10), limit: 1 << 20}
			check(t, o, func(answer []byte) { in.Write(answer) })
		})
	}
	t.Run("socket", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		near, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer near.Close()
		far, err := l.Accept()
		require.NoError(t, err)
		defer far.Close()
		require.NoError(t, near.SetDeadline(time.Now().Add(time.Minute)))
		o := newOutline(&socket{near, newSockets(nil)}, 1<<20)
		check(t, o, func(answer []byte) {
			go func() {
				for len(answer) > 0 { // in pieces that no header keeps to
					n := min(len(answer), 7001)
					_, _ = far.Write(answer[:n])
					answer = answer[n:]
				}
			}()
		})
		// A value's bytes are 0 to 3 in large; what was not copied is what lay there.
		for i := range o.buf {
			o.buf[i] = 0xaa
		}
		go func() { _, _ = far.Write(answers[3]) }()
		got, err := o.next()
		require.NoError(t, err)
		require.Greater(t, bytes.Count(got, []byte{0xaa}), len(got)*9/10)
		require.Zero(t, testing.AllocsPerRun(20, func() {
			_, _ = far.Write(answers[3])
			_, _ = o.next()
		}))
		// The peer goes, within a frame and between two.
		_, _ = far.Write(answers[3][:50_000])
		far.Close()
		_, err = o.next()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		_, err = o.next()
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestOutlineRefuses(t *testing.T) {
	answer := fetched([][]byte{someBatches(t, 1, 10)})
	for want, in := range map[string][]byte{
		"outside 0 to 1024": {0, 0, 4, 1},
		"a frame of -1":     {0xff, 0xff, 0xff, 0xff},
		"unexpected EOF":    answer[:len(answer)-1],
		"9 bytes came behind the answer to the only request": append(answer[:len(answer):len(answer)], 1, 2, 3, 4, 5, 6, 7, 8, 9),
	} {
		src := bytes.NewReader(in)
		o := &outline{src: src, skip: skipRead(src), buf: make([]byte, 1<<10), limit: 1 << 10}
		_, err := o.next()
		require.ErrorContains(t, err, want)
	}
	// A claimed length takes no memory before its bytes arrive.
	src := bytes.NewReader([]byte{0x3f, 0xff, 0xff, 0xff, 1, 2, 3})
	o := &outline{src: src, skip: skipRead(src), buf: make([]byte, 1<<10), limit: 1 << 30}
	_, err := o.next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.LessOrEqual(t, len(o.buf), 1<<10)
}

// FuzzOutline: no answer makes it panic, wait for more than its length, or see
// another structure than the decoder of the whole.
func FuzzOutline(f *testing.F) {
	small := someBatches(f, 3, 10)
	f.Add(fetched([][]byte{small, nil}, [][]byte{small[:70]})[4:])
	f.Add(fetched()[4:])
	f.Fuzz(func(t *testing.T, frame []byte) {
		all := binary.BigEndian.AppendUint32(nil, uint32(len(frame)))
		src := iotest.HalfReader(bytes.NewReader(append(all, frame...)))
		o := &outline{src: src, skip: skipRead(src), buf: make([]byte, 512), limit: 1 << 20}
		got, err := o.next()
		if len(frame) > 1<<20 {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Len(t, got, len(frame))
		if len(frame) < 4 {
			return
		}
		var want, is wire.FetchResponse
		if want.Decode(fetchVersion, frame[4:]) != nil {
			return
		}
		require.NoError(t, is.Decode(fetchVersion, got[4:]))
		require.Len(t, is.Topics, len(want.Topics))
	})
}
