package load

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"math/rand/v2"
	"sort"

	"millrace/batching"
)

// template is a batch made before the run. Sending it means writing a new
// 61-byte header in front of its records, which are sent as they lie: no record
// is touched. Templates are shared by all producers and never change.
type template struct {
	part  int // within its topic, where the key says; -1: any
	codec batching.Codec
	n     int      // records
	bytes []int32  // key and value bytes of the first i+1 records
	sums  []uint32 // contentSum of the first i+1 records
	cuts  []cut    // what of it can be sent, ascending by records; the last is all
	ends  []int32  // uncompressed: where record i ends, so that any cut can be made
}

// cut is the first n records of a template as they are sent.
type cut struct {
	n       int
	records []byte
	crc     uint32 // CRC-32C of records
	shift   uint32 // crcShift of their length
}

// cutSteps is in how many sizes a compressed template can be sent: where the
// first of its records has lingered, what is due must be sent, and a compressed
// block cannot be cut. There are smaller cuts by halves below one step.
const cutSteps = 8

// compressedPool bounds what compressed templates are made of, before
// compression: each is kept in cutSteps sizes, 4.5 times the memory.
const compressedPool = 8 << 20

var leanCodecs = map[string]batching.Codec{
	"": batching.None, "none": batching.None, "gzip": batching.Gzip,
	"snappy": batching.Snappy, "lz4": batching.LZ4, "zstd": batching.Zstd,
}

// newTemplates makes batches of at most size bytes before compression from the
// pool's values, each once, with the headers. With keys the records are sorted to partitions as
// they would be by clients, so that the templates, sent in turn, load the
// partitions as the keys do.
func newTemplates(p *pool, keys *keySet, codec batching.Codec, size int, seed uint64, headers ...batching.Header) ([]*template, error) {
	rng := rand.New(rand.NewPCG(seed, 0x74656d706c617465)) // "template"
	open := map[int]*maker{}
	var out []*template
	total := 0
	finish := func(part int, m *maker) error {
		t, err := m.template(part, codec)
		if err == nil && t != nil {
			out = append(out, t)
		}
		return err
	}
	for i := range p.len() {
		if codec != batching.None && total > compressedPool {
			break
		}
		part, key := -1, []byte(nil)
		if keys != nil {
			k := keys.draw(rng, int64(i))
			part, key = int(keys.parts[k]), keys.key(k)
		}
		m := open[part]
		if m == nil {
			m = &maker{b: batching.NewBuilder(batching.Options{})}
			open[part] = m
		}
		v := p.value(i)
		if m.b.Count() > 0 && m.b.Len()+m.b.RecordSize(0, key, v, headers) > size {
			if err := finish(part, m); err != nil {
				return nil, err
			}
		}
		if err := m.add(key, v, headers); err != nil {
			return nil, fmt.Errorf("value %d of %d bytes: %w", i, len(v), err)
		}
		total += len(v)
	}
	parts := make([]int, 0, len(open))
	for part := range open {
		parts = append(parts, part)
	}
	sort.Ints(parts)
	for _, part := range parts {
		// What is left is no full batch; it counts only where there is no other.
		if m := open[part]; len(out) == 0 || part >= 0 && !loaded(out, part) {
			if err := finish(part, m); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func loaded(list []*template, part int) bool {
	for _, t := range list {
		if t.part == part {
			return true
		}
	}
	return false
}

// maker gathers the records of one template.
type maker struct {
	b     *batching.Builder
	sum   uint32
	size  int32
	bytes []int32
	sums  []uint32
	ends  []int32
}

func (m *maker) add(key, value []byte, headers []batching.Header) error {
	if err := m.b.Append(0, key, value, headers); err != nil {
		return err
	}
	m.sum = addContent(m.sum, key, value)
	m.size += int32(len(key) + len(value))
	m.bytes, m.sums = append(m.bytes, m.size), append(m.sums, m.sum)
	m.ends = append(m.ends, int32(m.b.Len()-batching.HeaderSize))
	return nil
}

// template is what was gathered, and empties the maker; nil where that is
// nothing.
func (m *maker) template(part int, codec batching.Codec) (*template, error) {
	t := &template{part: part, codec: codec, n: m.b.Count(), bytes: m.bytes, sums: m.sums, ends: m.ends}
	raw, err := m.b.Build(nil)
	*m = maker{b: m.b}
	if err != nil || t.n == 0 {
		return nil, err
	}
	records := raw[batching.HeaderSize:]
	sizes := []int{t.n}
	if codec != batching.None {
		sizes = cutSizes(t.n)
	}
	for _, n := range sizes {
		c := cut{n: n, records: records[:t.ends[n-1]]}
		if codec != batching.None {
			if c.records, err = codec.Compress(nil, c.records, 0); err != nil {
				return nil, err
			}
		}
		c.crc = crc32.Checksum(c.records, castagnoli)
		c.shift = crcShift(len(c.records))
		t.cuts = append(t.cuts, c)
	}
	return t, nil
}

// cutSizes are the sizes in which a compressed template of n records is kept,
// ascending, from 1 to n.
func cutSizes(n int) (sizes []int) {
	for k := n / cutSteps; k > 0; k /= 2 {
		sizes = append(sizes, k)
	}
	for i, j := 0, len(sizes)-1; i < j; i, j = i+1, j-1 {
		sizes[i], sizes[j] = sizes[j], sizes[i]
	}
	for step := 1; step <= cutSteps; step++ {
		if k := max(n*step/cutSteps, 1); len(sizes) == 0 || k > sizes[len(sizes)-1] {
			sizes = append(sizes, k)
		}
	}
	return sizes
}

// cut is the template's first records, at most n and as many as can be sent.
func (t *template) cut(n int) cut {
	if n >= t.n {
		return t.cuts[len(t.cuts)-1]
	}
	if t.codec == batching.None {
		records := t.cuts[0].records[:t.ends[n-1]]
		return cut{n, records, crc32.Checksum(records, castagnoli), crcShift(len(records))}
	}
	return t.cuts[sort.Search(len(t.cuts), func(i int) bool { return t.cuts[i].n > n })-1]
}

// header writes the batch header for a cut and answers the batch's CRC. The
// layout is drawn in package batching. The records were made with one
// timestamp, so that base and greatest timestamp are both the batch's own.
//
// A batch is told by fields that a broker neither reads nor changes where there
// is no producer id: the epoch says which producer it is, the base sequence
// counts its records in the partition, as an idempotent producer's would,
// modulo 2^31. Being in the header they need no decompressing, and nothing is
// added to the records.
func (c cut) header(dst *[batching.HeaderSize]byte, codec batching.Codec, producer int, seq, timestamp int64) (crc uint32) {
	be := binary.BigEndian
	be.PutUint64(dst[0:], 0)
	be.PutUint32(dst[8:], uint32(batching.HeaderSize-batching.LogOverhead+len(c.records)))
	be.PutUint32(dst[12:], ^uint32(0)) // leader epoch: none
	dst[16] = 2
	be.PutUint16(dst[21:], uint16(codec))
	be.PutUint32(dst[23:], uint32(c.n-1))
	be.PutUint64(dst[27:], uint64(timestamp))
	be.PutUint64(dst[35:], uint64(timestamp))
	be.PutUint64(dst[43:], ^uint64(0)) // producer id: none
	be.PutUint16(dst[51:], uint16(producer))
	be.PutUint32(dst[53:], uint32(seq)&seqMask)
	be.PutUint32(dst[57:], uint32(c.n))
	crc = crcJoin(crc32.Checksum(dst[21:], castagnoli), c.crc, c.shift)
	be.PutUint32(dst[17:], crc)
	return crc
}

// seqMask is the part of a sequence number that a header holds.
const seqMask = 1<<31 - 1

// unwrap is the sequence number nearest to top that a header's field can mean.
func unwrap(field int32, top int64) int64 {
	delta := (int64(field) - top) & seqMask
	if delta > seqMask/2 {
		delta -= seqMask + 1
	}
	return top + delta
}

// addContent continues a contentSum by one record.
func addContent(sum uint32, key, value []byte) uint32 {
	return crc32.Update(crc32.Update(sum, castagnoli, key), castagnoli, value)
}

// contentSum is the CRC-32C of the keys and values of records: what stays the
// same where a broker compresses a batch anew or changes its timestamps.
func contentSum(records iter.Seq2[batching.Record, error]) (sum uint32, err error) {
	for rec, err := range records {
		if err != nil {
			return 0, err
		}
		sum = addContent(sum, rec.Key, rec.Value)
	}
	return sum, nil
}
