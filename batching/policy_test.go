package batching

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// produced is a good batch of an idempotent producer under c, with base
// timestamp 1000 and greatest 1500.
func produced(t testing.TB, c Codec) []byte {
	t.Helper()
	b := NewBuilder(Options{Codec: c, Transactional: true})
	b.SetProducer(4, 1, 10)
	require.NoError(t, b.Append(1000, []byte("k"), []byte("v"), nil))
	require.NoError(t, b.Append(1500, []byte("k2"), []byte("v2"), nil))
	require.NoError(t, b.Append(1200, []byte("k3"), nil, nil))
	raw, err := b.Build(nil)
	require.NoError(t, err)
	return raw
}

func TestPolicyTakesGoodBatchesAsTheyAre(t *testing.T) {
	for _, c := range Codecs() {
		for d := range Depths() {
			raw := produced(t, c)
			before := string(raw)
			p := Policy{Depth: Depth(d), MaxBytes: len(raw), Keys: true, Earliest: 1000, Latest: 1500}
			v, err := p.Check(raw)
			require.NoError(t, err)
			require.Equal(t, before, string(raw))
			require.Equal(t, raw, v.Bytes())
		}
	}
}

func TestPolicyRefuses(t *testing.T) {
	set := func(at int, b ...byte) []byte { return sealed(patched(produced(t, None), at, b...)) }
	attributes := func(a byte) []byte { return set(atAttributes+1, a) }
	good := produced(t, None)
	type bounds = Policy
	for name, c := range map[string]struct {
		raw    []byte
		policy Policy
		// What each depth says: "" is nothing.
		crc, records, none error
		field              string
	}{
		"nothing":              {nil, bounds{}, ErrRecords, ErrRecords, ErrRecords, "records"},
		"torn":                 {good[:70], bounds{}, ErrTruncated, ErrTruncated, ErrTruncated, "batch"},
		"magic 1":              {patched(good, atMagic, 1), bounds{}, ErrOldFormat, ErrOldFormat, ErrOldFormat, "magic"},
		"magic 9":              {patched(good, atMagic, 9), bounds{}, ErrMagic, ErrMagic, ErrMagic, "magic"},
		"two batches":          {append(good[:len(good):len(good)], good...), bounds{}, ErrRecords, ErrRecords, ErrRecords, "bytes after the batch"},
		"too large":            {good, bounds{MaxBytes: len(good) - 1}, ErrTooLarge, ErrTooLarge, ErrTooLarge, "batch"},
		"damaged":              {patched(good, len(good)-3, 'x'), bounds{}, ErrCRC, ErrCRC, nil, "crc"},
		"damaged count":        {patched(good, atCount, be32(-9)...), bounds{}, ErrCRC, ErrCRC, ErrRecords, ""},
		"no records":           {set(atCount, be32(0)...), bounds{}, ErrRecords, ErrRecords, ErrRecords, "recordCount"},
		"count below delta":    {set(atLastOffsetDelta, be32(9)...), bounds{}, ErrRecords, ErrRecords, ErrRecords, "recordCount"},
		"codec 6":              {attributes(0x16), bounds{}, ErrCodec, ErrCodec, ErrCodec, "attributes"},
		"zstd too early":       {produced(t, Zstd), bounds{NoZstd: true}, ErrCodec, ErrCodec, ErrCodec, "attributes"},
		"control":              {attributes(0x30), bounds{}, ErrRecords, ErrRecords, ErrRecords, "attributes"},
		"delete horizon":       {attributes(0x50), bounds{}, ErrRecords, ErrRecords, ErrRecords, "attributes"},
		"log append time":      {attributes(0x18), bounds{}, ErrTimestamp, ErrTimestamp, ErrTimestamp, "attributes"},
		"no producer":          {set(atProducerID, be64(-1)...), bounds{}, ErrRecords, ErrRecords, ErrRecords, "producerId"},
		"no epoch":             {set(atProducerEpoch, 0xff, 0xff), bounds{}, ErrRecords, ErrRecords, ErrRecords, "producerEpoch"},
		"no sequence":          {set(atBaseSequence, be32(-1)...), bounds{}, ErrRecords, ErrRecords, ErrRecords, "baseSequence"},
		"header early":         {good, bounds{Earliest: 1001}, ErrTimestamp, ErrTimestamp, ErrTimestamp, "baseTimestamp"},
		"header late":          {good, bounds{Latest: 1499}, ErrTimestamp, ErrTimestamp, ErrTimestamp, "maxTimestamp"},
		"record late":          {set(atMaxTimestamp, be64(1100)...), bounds{Latest: 1499}, nil, ErrTimestamp, nil, "timestamp"},
		"no key":               {sample(t, None), bounds{Keys: true}, ErrRecords, ErrRecords, ErrRecords, "keyLength"},
		"bytes left over":      {leftOver(t), bounds{}, nil, ErrRecords, nil, "bytes after the last record"},
		"offset out of order":  {set(HeaderSize+3, 2), bounds{}, nil, ErrRecords, nil, "offsetDelta"},
		"a record's length":    {set(HeaderSize, 0xff), bounds{}, nil, ErrRecords, nil, "length"},
		"cannot be decoded":    {attributes(0x10 | byte(Gzip)), bounds{}, nil, ErrCorrupt, nil, "gzip data"},
		"decodes to too much":  {produced(t, Zstd), bounds{Limit: 30}, nil, ErrTooLarge, nil, "zstd data"},
		"count past the bytes": {set(atLastOffsetDelta, append(be32(1<<30-1), set(atCount, be32(1<<30)...)[27:61]...)...), bounds{}, ErrRecords, ErrRecords, ErrRecords, "recordCount"},
	} {
		t.Run(name, func(t *testing.T) {
			for depth, want := range map[Depth]error{DepthCRC: c.crc, DepthRecords: c.records, DepthNone: c.none} {
				p := c.policy
				p.Depth = depth
				_, err := p.Check(append([]byte(nil), c.raw...))
				if want == nil {
					require.NoError(t, err, depth)
					continue
				}
				require.ErrorIs(t, err, want, depth)
				var e *Error
				require.ErrorAs(t, err, &e)
				if c.field != "" {
					require.Equal(t, c.field, e.Field, depth)
				}
			}
		})
	}
}

// leftOver is a batch with a byte after its last record.
func leftOver(t testing.TB) []byte {
	raw := append(produced(t, None), 0)
	require.NoError(t, finish(raw))
	return raw
}

func TestPolicyLetsTimelessRecordsPass(t *testing.T) {
	b := NewBuilder(Options{})
	require.NoError(t, b.Append(-1, nil, []byte("v"), nil))
	raw, err := b.Build(nil)
	require.NoError(t, err)
	_, err = (&Policy{Depth: DepthRecords, Earliest: 1000, Latest: 2000}).Check(raw)
	require.NoError(t, err)
}

func TestPolicyCorrectsMaxTimestamp(t *testing.T) {
	for _, c := range Codecs() {
		raw := sealed(patched(produced(t, c), atMaxTimestamp, be64(math.MaxInt64)...))
		v, err := (&Policy{}).Check(raw)
		require.NoError(t, err)
		require.EqualValues(t, math.MaxInt64, v.MaxTimestamp(), "crc believes the header")
		v, err = (&Policy{Depth: DepthRecords}).Check(raw)
		require.NoError(t, err)
		require.EqualValues(t, 1500, v.MaxTimestamp())
		require.Equal(t, produced(t, c), raw)
	}
}

func TestDepthNames(t *testing.T) {
	require.Equal(t, []string{"crc", "records", "none"}, Depths())
	for _, name := range Depths() {
		d, err := ParseDepth(name)
		require.NoError(t, err)
		require.Equal(t, name, d.String())
	}
	_, err := ParseDepth("deep")
	require.EqualError(t, err, `validate.depth "deep": want crc, records or none`)
}
