package diskio

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"millrace/batching"
)

// DumpOptions says how much Dump shows.
type DumpOptions struct {
	Records bool // each record too
	JSON    bool // an object a line
}

// Dump writes what lies in dir, a partition's directory or one that holds
// some, batch by batch, in lines of at most 80 characters, faults among them
// where they were met. It changes nothing. The error says that dir could not be
// read or w not be written to.
func Dump(w io.Writer, fs FS, dir string, o DumpOptions) error {
	var v visitor = &textDump{w: w, records: o.Records}
	if o.JSON {
		v = &jsonDump{enc: json.NewEncoder(w), records: o.Records}
	}
	_, err := inspect(fs, dir, v)
	return err
}

const dumpWidth = 80

type textDump struct {
	w       io.Writer
	records bool
	batches int64
	count   int64
}

var _ visitor = (*textDump)(nil)

func (d *textDump) segment(path string, size int64) error {
	d.batches, d.count = 0, 0
	_, err := fmt.Fprintf(d.w, "%s  %d bytes\n%12s %11s %6s %9s %-6s %5s  %s\n", shorten(path), size,
		"base offset", "position", "recs", "bytes", "codec", "epoch", "newest record (UTC)")
	return err
}

func (d *textDump) batch(pos int64, b batching.Batch) error {
	d.batches++
	d.count += int64(b.Count())
	_, err := fmt.Fprintf(d.w, "%12d %11d %6d %9d %-6s %5d  %s\n", b.BaseOffset(), pos, b.Count(), b.Size(),
		b.Codec(), b.LeaderEpoch(), timestamp(b.MaxTimestamp()))
	if err == nil && b.ProducerID() >= 0 {
		_, err = fmt.Fprintf(d.w, "%12s producer %d epoch %d sequence %d..%d%s\n", "", b.ProducerID(), b.ProducerEpoch(),
			b.BaseSequence(), b.LastSequence(), flags(b))
	}
	if err != nil || !d.records || b.IsControl() {
		return err
	}
	for r, err := range b.Records(inspectLimit) {
		if err != nil {
			return nil // inspect has told of it
		}
		if _, err := fmt.Fprintln(d.w, recordLine(b, r)); err != nil {
			return err
		}
	}
	return nil
}

func recordLine(b batching.Batch, r batching.Record) string {
	s := fmt.Sprintf("%14d  ", b.Offset(r))
	if r.Key != nil {
		s += "key " + clip(oneLine(r.Key), 20) + "  "
	}
	if len(r.Headers) > 0 {
		s += fmt.Sprintf("%d headers  ", len(r.Headers))
	}
	if r.Value == nil {
		return s + "null"
	}
	return clip(s+fmt.Sprintf("%d bytes: ", len(r.Value))+oneLine(r.Value[:min(len(r.Value), dumpWidth)]), dumpWidth)
}

func (d *textDump) fault(path string, pos int64, err error) error {
	// Not clipped: the place and the reason are what the reader came for.
	_, werr := fmt.Fprintf(d.w, "FAULT %s:\n      %v\n", placeOf(shorten(path), pos), err)
	return werr
}

func (d *textDump) done() error {
	_, err := fmt.Fprintf(d.w, "%12s %d batches, %d records\n\n", "", d.batches, d.count)
	return err
}

func flags(b batching.Batch) string {
	var f []string
	if b.IsTransactional() {
		f = append(f, "transactional")
	}
	if b.IsControl() {
		f = append(f, "control")
		if m, ok, err := b.Marker(); ok && err == nil {
			f = append(f, fmt.Sprint(m))
		}
	}
	if len(f) == 0 {
		return ""
	}
	return " " + strings.Join(f, " ")
}

func timestamp(ms int64) string {
	if ms < 0 {
		return "none"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000")
}

type jsonDump struct {
	enc     *json.Encoder
	records bool
	file    string
}

var _ visitor = (*jsonDump)(nil)

type jsonSegment struct {
	Segment string `json:"segment"`
	Bytes   int64  `json:"bytes"`
}

type jsonBatch struct {
	Segment       string       `json:"segment"`
	Position      int64        `json:"position"`
	BaseOffset    int64        `json:"baseOffset"`
	LastOffset    int64        `json:"lastOffset"`
	Bytes         int          `json:"bytes"`
	Count         int          `json:"count"`
	Codec         string       `json:"codec"`
	CRC           uint32       `json:"crc"`
	LeaderEpoch   int32        `json:"leaderEpoch"`
	TimestampType string       `json:"timestampType"`
	MaxTimestamp  int64        `json:"maxTimestamp"`
	ProducerID    int64        `json:"producerId"`
	ProducerEpoch int16        `json:"producerEpoch"`
	BaseSequence  int32        `json:"baseSequence"`
	Transactional bool         `json:"transactional,omitempty"`
	Control       bool         `json:"control,omitempty"`
	Records       []jsonRecord `json:"records,omitempty"`
}

// jsonRecord holds key and values as base64, which JSON strings could not hold
// without loss.
type jsonRecord struct {
	Offset    int64        `json:"offset"`
	Timestamp int64        `json:"timestamp"`
	Key       []byte       `json:"key"`
	Value     []byte       `json:"value"`
	Headers   []jsonHeader `json:"headers,omitempty"`
}

type jsonHeader struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

type jsonFault struct {
	Fault    string `json:"fault"`
	File     string `json:"file"`
	Position int64  `json:"position"`
}

func (d *jsonDump) segment(path string, size int64) error {
	d.file = path
	return d.enc.Encode(jsonSegment{path, size})
}

func (d *jsonDump) batch(pos int64, b batching.Batch) error {
	j := jsonBatch{
		Segment: d.file, Position: pos, BaseOffset: b.BaseOffset(), LastOffset: b.LastOffset(),
		Bytes: b.Size(), Count: b.Count(), Codec: b.Codec().String(), CRC: b.CRC(), LeaderEpoch: b.LeaderEpoch(),
		TimestampType: b.TimestampType().String(), MaxTimestamp: b.MaxTimestamp(),
		ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence(),
		Transactional: b.IsTransactional(), Control: b.IsControl(),
	}
	if d.records {
		for r, err := range b.Records(inspectLimit) {
			if err != nil {
				break // inspect has told of it
			}
			jr := jsonRecord{Offset: b.Offset(r), Timestamp: b.Timestamp(r),
				Key: clone(r.Key), Value: clone(r.Value)}
			for _, h := range r.Headers {
				jr.Headers = append(jr.Headers, jsonHeader{string(h.Key), clone(h.Value)})
			}
			j.Records = append(j.Records, jr)
		}
	}
	return d.enc.Encode(j)
}

// clone keeps null null.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

func (d *jsonDump) fault(path string, pos int64, err error) error {
	return d.enc.Encode(jsonFault{err.Error(), path, pos})
}

func (d *jsonDump) done() error { return nil }
