package wire

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestFlexibleFrom holds the table, which is taken from kmsg, against Kafka's
// own message definitions.
func TestFlexibleFrom(t *testing.T) {
	for _, c := range []struct {
		key  int16
		from int32
	}{
		{0, 9}, {1, 12}, {2, 6}, {3, 9}, {8, 8}, {9, 6}, {10, 3}, {11, 6}, {12, 4}, {13, 4}, {14, 4},
		{15, 5}, {16, 3}, {17, never}, {18, 3}, {19, 5}, {20, 4}, {21, 2}, {22, 2}, {23, 4}, {24, 3},
		{25, 3}, {26, 3}, {28, 3}, {29, 2}, {30, 2}, {31, 2}, {32, 4}, {33, 2}, {36, 2}, {37, 2}, {42, 2},
		{43, 2}, {44, 1}, {47, never}, {60, 0}, {68, 0}, {75, 0},
	} {
		require.Equal(t, c.from, flexibleFrom[c.key], "key %d", c.key)
	}
	require.False(t, Flexible(17, 1<<15-1), "SaslHandshake")
	require.False(t, Flexible(-1, 99))
	require.False(t, Flexible(kmsg.MaxKey+1, 99))
}

// TestHeaderAgainstKmsg encodes headers with kmsg's formatter, which knows the
// header versions by itself.
func TestHeaderAgainstKmsg(t *testing.T) {
	for _, id := range []string{"", "millrace"} {
		f := kmsg.NewRequestFormatter()
		var clientID []byte
		if id != "" {
			f = kmsg.NewRequestFormatter(kmsg.FormatterClientID(id))
			clientID = []byte(id)
		}
		for key := int16(0); key <= kmsg.MaxKey; key++ {
			req := kmsg.RequestForKey(key)
			if req == nil || key == 7 { // ControlledShutdown v0 has a header of its own
				continue
			}
			for v := int16(0); v <= req.MaxVersion(); v++ {
				req.SetVersion(v)
				frame := f.AppendRequest(nil, req, 77)[4:]
				h, body, err := ParseHeader(frame)
				require.NoError(t, err)
				require.Equal(t, Header{Key: key, Version: v, CorrelationID: 77, ClientID: clientID}, h)
				require.Equal(t, req.AppendTo(nil), append([]byte(nil), body...))
				require.Equal(t, frame[:len(frame)-len(body)], AppendRequestHeader(nil, h))
			}
		}
	}
}

func TestHeaderFaults(t *testing.T) {
	h := Header{Key: KeyFetch, Version: 12, CorrelationID: 5, ClientID: []byte("abc")}
	frame := AppendRequestHeader(nil, h)
	for n := range frame {
		_, _, err := ParseHeader(frame[:n:n])
		require.ErrorIs(t, err, ErrTruncated, "first %d bytes", n)
	}
	got, _, err := ParseHeader([]byte{0x7f, 1, 0, 2, 0, 0, 0, 9, 0xff, 0xff})
	require.ErrorIs(t, err, ErrUnknownKey)
	require.EqualError(t, err, "unknown API key 32513")
	require.Equal(t, Header{Key: 0x7f01, Version: 2, CorrelationID: 9}, got)

	lying := append([]byte(nil), frame...)
	lying[8], lying[9] = 0x7f, 0xff // client id
	_, _, err = ParseHeader(lying)
	var e *Error
	require.True(t, errors.As(err, &e))
	require.Equal(t, Error{Kind: ErrTruncated, Key: 1, Version: 12, Field: "client id", At: 10, Need: 32767, Have: 4}, *e)
	require.EqualError(t, err, "Fetch v12 request: client id at byte 10 needs 32767 bytes, 4 are left")
}

func TestResponseHeader(t *testing.T) {
	for _, c := range []struct {
		key, version int16
		size         int
	}{{0, 8, 4}, {0, 9, 5}, {1, 11, 4}, {1, 12, 5}, {18, 0, 4}, {18, 3, 4}, {18, 4, 4}, {3, 9, 5}, {17, 1, 4}} {
		b := AppendResponseHeader(nil, c.key, c.version, -3)
		require.Len(t, b, c.size, "key %d v%d", c.key, c.version)
		id, body, err := ParseResponseHeader(append(b, "body"...), c.key, c.version)
		require.NoError(t, err)
		require.Equal(t, int32(-3), id)
		require.Equal(t, "body", string(body))
		for n := range b {
			_, _, err := ParseResponseHeader(b[:n:n], c.key, c.version)
			require.ErrorIs(t, err, ErrTruncated)
		}
	}
}

func TestErrorNames(t *testing.T) {
	require.Equal(t, "NONE", ErrorName(0))
	require.Equal(t, "UNKNOWN_SERVER_ERROR", ErrorName(-1))
	require.Equal(t, "OFFSET_OUT_OF_RANGE", ErrorName(1))
	require.Equal(t, "UNKNOWN_TOPIC_ID", ErrorName(100))
	require.Equal(t, "ERROR_31000", ErrorName(31000))
	named := map[string]int16{}
	for code := int16(-1); code < 140; code++ {
		other, twice := named[ErrorName(code)]
		require.False(t, twice, "%s is %d and %d", ErrorName(code), other, code)
		named[ErrorName(code)] = code
	}
}
