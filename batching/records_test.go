package batching

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// withRecords is an uncompressed batch whose payload is what is given, which
// its header says are count records.
func withRecords(t testing.TB, count int32, payload ...byte) Batch {
	t.Helper()
	raw := header{count: count, lastOffsetDelta: count - 1, producerID: -1, producerEpoch: -1, baseSequence: -1}.append(nil)
	raw = append(raw, payload...)
	require.NoError(t, finish(raw))
	return Batch{raw}
}

func TestRecordsRefuse(t *testing.T) {
	// Zig-zag: 12 is 6, 14 is 7, 1 is -1, 3 is -2.
	for name, c := range map[string]struct {
		payload []byte
		want    Error
	}{
		"nothing":            {nil, Error{Field: "length", At: 0, Got: 0, Want: "a varint"}},
		"endless length":     {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0, 0}, Error{Field: "length", At: 0, Got: 7, Want: "a varint"}},
		"length of 33 bits":  {[]byte{0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0}, Error{Field: "length", At: 0, Got: 7, Want: "a varint"}},
		"negative length":    {[]byte{1, 0, 0, 0, 1, 1, 0}, Error{Field: "length", At: 0, Got: -1, Want: "what its fields take, within the records"}},
		"length too small":   {[]byte{10, 0, 0, 0, 1, 1, 0}, Error{Field: "length", At: 0, Got: 5, Want: "what its fields take, within the records"}},
		"length past end":    {[]byte{14, 0, 0, 0, 1, 1, 0}, Error{Field: "length", At: 0, Got: 7, Want: "what its fields take, within the records"}},
		"endless timestamp":  {[]byte{12, 0, 0xff, 0xff, 0xff, 0xff, 0xff}, Error{Field: "timestampDelta", At: 2, Got: 5, Want: "a varlong"}},
		"endless offset":     {[]byte{12, 0, 0, 0xff, 0xff, 0xff, 0xff}, Error{Field: "offsetDelta", At: 3, Got: 4, Want: "a varint"}},
		"key of -2":          {[]byte{12, 0, 0, 0, 3, 1, 0}, Error{Field: "keyLength", At: 4, Got: 3, Want: "a varint from -1 to what is left"}},
		"key past end":       {[]byte{12, 0, 0, 0, 6, 1, 0}, Error{Field: "keyLength", At: 4, Got: 3, Want: "a varint from -1 to what is left"}},
		"value of -2":        {[]byte{12, 0, 0, 0, 1, 3, 0}, Error{Field: "valueLength", At: 5, Got: 2, Want: "a varint from -1 to what is left"}},
		"value past end":     {[]byte{12, 0, 0, 0, 1, 4, 0}, Error{Field: "valueLength", At: 5, Got: 2, Want: "a varint from -1 to what is left"}},
		"no header count":    {[]byte{12, 0, 0, 0, 1, 2, 0}, Error{Field: "headerCount", At: 7, Got: 0, Want: "0 to what the bytes left can hold"}},
		"negative headers":   {[]byte{12, 0, 0, 0, 1, 1, 1}, Error{Field: "headerCount", At: 6, Got: -1, Want: "0 to what the bytes left can hold"}},
		"a billion headers":  {[]byte{20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x07}, Error{Field: "headerCount", At: 6, Got: 1<<30 - 1, Want: "0 to what the bytes left can hold"}},
		"null header key":    {[]byte{16, 0, 0, 0, 1, 1, 2, 1, 1}, Error{Field: "header keyLength", At: 7, Got: 2, Want: "a varint from 0 to what is left"}},
		"header value of -2": {[]byte{16, 0, 0, 0, 1, 1, 2, 0, 3}, Error{Field: "header valueLength", At: 8, Got: 1, Want: "a varint from -1 to what is left"}},
		"record too long":    {[]byte{14, 0, 0, 0, 1, 1, 0, 0}, Error{Field: "bytes after the record's last field", At: 7, Got: 1, Want: "none"}},
		"bytes left over":    {[]byte{12, 0, 0, 0, 1, 1, 0, 9}, Error{Record: 1, Field: "bytes after the last record", At: 7, Got: 1, Want: "none"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Kind = ErrRecords
			var last error
			for _, err := range withRecords(t, 1, c.payload...).Records(0) {
				last = err
			}
			var got *Error
			require.ErrorAs(t, last, &got)
			require.Equal(t, c.want, *got)
		})
	}
}

func TestVarintsOfEveryLength(t *testing.T) {
	for shift := range 64 {
		for _, v := range []int64{1 << shift, 1<<shift - 1, -1 << shift, -(1 << shift) - 1} {
			b := appendVarint(nil, v)
			require.Len(t, b, varintSize(v))
			got, next := readVarlong(b, 0)
			require.Equal(t, len(b), next)
			require.Equal(t, v, got)
			narrow, next := readVarint(b, 0)
			if v == int64(int32(v)) {
				require.Equal(t, len(b), next)
				require.EqualValues(t, v, narrow)
			} else {
				require.Equal(t, -1, next, "%d fits no int32", v)
			}
			for n := range b {
				_, next := readVarlong(b[:n], 0)
				require.Equal(t, -1, next)
			}
		}
	}
	_, next := readVarlong([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, 0)
	require.Equal(t, -1, next, "a bit past the 64th")
}

func TestRecordsOfAnUncompressedBatchAreItsBytes(t *testing.T) {
	v, err := View(sample(t, None))
	require.NoError(t, err)
	for r, err := range v.Records(0) {
		require.NoError(t, err)
		if len(r.Value) > 0 {
			r.Value[0] = 'V'
		}
	}
	require.Contains(t, string(v.Bytes()), "Value")
}

func TestRecordsStopWhereTheLoopDoes(t *testing.T) {
	for _, c := range Codecs() {
		v, err := View(sample(t, c))
		require.NoError(t, err)
		n := 0
		for range v.Records(0) {
			n++
			break
		}
		require.Equal(t, 1, n)
	}
}

// An iteration inside another has memory of its own.
func TestRecordsNest(t *testing.T) {
	v, err := View(sample(t, LZ4))
	require.NoError(t, err)
	outer := 0
	for a, err := range v.Records(0) {
		require.NoError(t, err)
		key, inner := string(a.Key), 0
		for _, err := range v.Records(0) {
			require.NoError(t, err)
			inner++
		}
		require.Equal(t, 3, inner)
		require.Equal(t, key, string(a.Key))
		outer++
	}
	require.Equal(t, 3, outer)
}

func TestUnknownCodecIsSaid(t *testing.T) {
	for codec := int16(5); codec < 8; codec++ {
		raw := sample(t, None)
		Batch{raw}.setAttributes(codec)
		v, err := View(sealed(raw))
		require.NoError(t, err)
		for _, err := range v.Records(0) {
			require.ErrorIs(t, err, ErrCodec)
		}
		_, err = (&Policy{}).Check(raw)
		require.ErrorIs(t, err, ErrCodec)
	}
}
