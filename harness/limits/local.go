package limits

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"millrace/batching"
)

// appendLimit is where an appended file is cut back to nothing, outside the
// count, and grows anew: the pages that this frees are the ones that are taken
// next, so that memory is warm once the first file was written. A file that is
// only written over again would take no new page at all and be twice as fast as
// a log can be.
const appendLimit = 256 * mib

// appended is a file that grows to a limit, time after time.
type appended struct {
	h          *host
	f          *os.File
	off, limit int64
}

// appended is the one file of the measurement, written once before it counts.
func (h *host) appended() (*appended, error) {
	if h.log != nil {
		return h.log, nil
	}
	f, err := os.OpenFile(filepath.Join(h.dir, "append"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	a := &appended{h: h, f: f, limit: appendLimit}
	if h.round < 10*time.Millisecond {
		a.limit = 16 * mib // a test
	}
	block := make([]byte, mib)
	for a.off < a.limit {
		if err := a.write(block); err != nil {
			f.Close()
			return nil, err
		}
	}
	h.log = a
	return a, nil
}

func (a *appended) write(b []byte) error {
	if a.off >= a.limit {
		if err := a.h.aside(func() error { return a.f.Truncate(0) }); err != nil {
			return err
		}
		a.off = 0
	}
	_, err := a.f.WriteAt(b, a.off)
	a.off += int64(len(b))
	return err
}

// appendFile writes at a growing position, as a segment is written, with the
// page cache's promise only.
func appendFile(h *host, size int64) (moved, error) {
	a, err := h.appended()
	if err != nil {
		return moved{}, err
	}
	block := make([]byte, size)
	return h.loop(size, func() error { return a.write(block) })
}

// syncFile appends and calls fdatasync each time, as a log does that syncs every
// group of batches.
func syncFile(h *host, size int64) (moved, error) {
	f, err := os.OpenFile(filepath.Join(h.dir, fmt.Sprintf("sync-%d", size)), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return moved{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block, off := make([]byte, size), int64(0)
	var calls []time.Duration
	m, err := h.loop(size, func() error {
		if _, err := f.WriteAt(block, off); err != nil {
			return err
		}
		off += size
		began := time.Now()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return fmt.Errorf("fdatasync: %w", err)
		}
		calls = append(calls, time.Since(began))
		return nil
	})
	m.calls = calls
	return m, err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(h *host, size int64) (moved, error) {
	block, sum := make([]byte, size), uint32(0)
	const batch = 64 // calls between looks at the clock
	m, err := h.loop(size*batch, func() error {
		for range batch {
			sum = crc32.Update(sum, castagnoli, block)
		}
		return nil
	})
	block[0] = byte(sum) // the sum is used
	return m, err
}

// codecBlock is how much of the payload a codec gets at once: a batch of the
// size that scenarios use.
const codecBlock = 64 << 10

func codecProbes() []probe {
	var t []probe
	for _, c := range batching.Codecs() {
		if c == batching.None {
			continue
		}
		t = append(t,
			probe{"codec", c.String() + " compress", codecBlock, func(h *host, size int64) (moved, error) { return compress(h, size, c) }},
			probe{"codec", c.String() + " decompress", codecBlock, func(h *host, size int64) (moved, error) { return decompress(h, size, c) }})
	}
	return t
}

// blocks cuts the payload into pieces of at most size bytes.
func blocks(payload []byte, size int64) [][]byte {
	var out [][]byte
	for int64(len(payload)) >= size {
		out = append(out, payload[:size])
		payload = payload[size:]
	}
	if len(out) == 0 {
		out = append(out, payload)
	}
	return out
}

func compress(h *host, size int64, c batching.Codec) (moved, error) {
	in := blocks(h.payload, size)
	var dst []byte
	var i, before, after int
	m, err := h.loop(int64(len(in[0])), func() (err error) {
		b := in[i%len(in)]
		i++
		dst, err = c.Compress(dst[:0], b, 0)
		before, after = before+len(b), after+len(dst)
		return err
	})
	m.ratio = float64(after) / float64(max(before, 1))
	return m, err
}

// decompress counts the bytes that come out.
func decompress(h *host, size int64, c batching.Codec) (moved, error) {
	var in [][]byte
	for _, b := range blocks(h.payload, size) {
		z, err := c.Compress(nil, b, 0)
		if err != nil {
			return moved{}, err
		}
		in = append(in, z)
	}
	var dst []byte
	i := 0
	return h.loop(int64(len(blocks(h.payload, size)[0])), func() (err error) {
		dst, err = c.Decompress(dst[:0], in[i%len(in)], int(2*size))
		i++
		return err
	})
}
