package wire

import (
	"math/rand"
	"reflect"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill gives every field of a kmsg message a random value, and some structures
// an unknown tag.
func fill(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.Set(reflect.Zero(v.Type())); rng.Intn(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rng, v.Elem())
		}
	case reflect.Slice:
		n := rng.Intn(4)
		if n == 0 && rng.Intn(2) == 0 {
			v.Set(reflect.Zero(v.Type()))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rng, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(rng, v.Index(i))
		}
	case reflect.Struct:
		if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
			if rng.Intn(4) == 0 {
				tags.Set(100+uint32(rng.Intn(1000)), randomBytes(rng, 20))
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Version" {
				fill(rng, v.Field(i))
			}
		}
	case reflect.String:
		v.SetString(string(randomBytes(rng, 20)))
	case reflect.Bool:
		v.SetBool(rng.Intn(2) == 0)
	case reflect.Float64:
		v.SetFloat(rng.Float64())
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(uint64(rng.Intn(256)))
	default:
		v.SetInt(int64(int8(rng.Uint32())))
	}
}

// randomKmsg is a random request. kmsg reads no null string where the version
// has none but writes one as empty, so what it wrote is what it means.
func randomKmsg(rng *rand.Rand, key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	fill(rng, reflect.ValueOf(req).Elem())
	req.SetVersion(version)
	return req
}

func eachGuarded(f func(key, version int16)) {
	var keys []int
	for key := range shapes() {
		keys = append(keys, int(key))
	}
	sort.Ints(keys)
	for _, key := range keys {
		for v := int16(0); v <= kmsg.RequestForKey(int16(key)).MaxVersion(); v++ {
			f(int16(key), v)
		}
	}
}

// TestShapesAgainstKmsg walks what kmsg writes, for every request and version:
// a shape that is off by one byte anywhere does not end where the body ends.
func TestShapesAgainstKmsg(t *testing.T) {
	rng := newRand(t)
	eachGuarded(func(key, v int16) {
		for range 30 {
			req := randomKmsg(rng, key, v)
			body := req.AppendTo(nil)
			r := reader{src: body, key: key, version: v, flex: req.IsFlexible()}
			r.walk(shapes()[key])
			require.NoError(t, r.failure())
			require.Equal(t, len(body), r.off, "%s v%d", kmsg.NameForKey(key), v)

			got, err := DecodeKmsg(key, v, append(body, "left over"...))
			require.NoError(t, err)
			require.Equal(t, v, got.GetVersion())
			require.Equal(t, body, got.AppendTo(nil), "%s v%d", kmsg.NameForKey(key), v)
		}
	})
}

func TestGuardTruncated(t *testing.T) {
	rng := newRand(t)
	eachGuarded(func(key, v int16) {
		body := randomKmsg(rng, key, v).AppendTo(nil)
		for n := range body {
			_, err := DecodeKmsg(key, v, body[:n:n])
			require.ErrorIs(t, err, ErrTruncated, "%s v%d, first %d of %d bytes", kmsg.NameForKey(key), v, n, len(body))
		}
	})
}

// TestGuardLies is TestLies for what kmsg decodes. Its negative control is kmsg
// without the guard.
func TestGuardLies(t *testing.T) {
	rng := newRand(t)
	eachGuarded(func(key, v int16) {
		body := randomKmsg(rng, key, v).AppendTo(nil)
		budget := uint64(0)
		took := allocated(func() {
			for at := range body {
				for _, lie := range lies {
					lying := append(append(append([]byte(nil), body[:at]...), lie...), body[min(at+len(lie), len(body)):]...)
					budget += uint64(cap(lying)) + uint64(64*len(lying)) + 4096
					_, _ = DecodeKmsg(key, v, lying)
				}
			}
		})
		require.LessOrEqual(t, took, budget, "%s v%d", kmsg.NameForKey(key), v)
	})
}

func TestGuardAmplification(t *testing.T) {
	// An array of 131,056 topics, as far as kmsg can tell, and one byte each.
	body := append([]byte{0, 1, 0xff, 0xf0}, make([]byte, 1<<17)...)
	unguarded := kmsg.NewPtrCreateTopicsRequest()
	unguarded.Version = 2
	require.Greater(t, allocated(func() { _ = unguarded.ReadFrom(body) }), uint64(64*len(body)),
		"kmsg no longer trusts lengths: the guard can go")

	shapes() // are parsed once
	var err error
	took := allocated(func() { _, err = DecodeKmsg(19, 2, body) })
	require.EqualError(t, err, "CreateTopics v2 request: topics at byte 0 needs 2096896 bytes, 131072 are left")
	require.Less(t, took, uint64(4096))

	// Unknown tags are maps in kmsg: each dearer than a hundred bytes.
	tagged := kmsg.NewPtrDescribeGroupsRequest()
	tagged.Version = 5
	for i := range uint32(maxTags + 1) {
		tagged.UnknownTags.Set(i, nil)
	}
	_, err = DecodeKmsg(15, 5, tagged.AppendTo(nil))
	require.ErrorIs(t, err, ErrMalformed)
}

func TestGuardFaults(t *testing.T) {
	_, err := DecodeKmsg(3, 99, nil)
	require.ErrorIs(t, err, ErrVersion)
	_, err = DecodeKmsg(3, -1, nil)
	require.ErrorIs(t, err, ErrVersion)
	for _, key := range []int16{-1, KeyProduce, KeyFetch, 4, 9999} {
		_, err = DecodeKmsg(key, 0, nil)
		require.ErrorIs(t, err, ErrUnknownKey, "key %d", key)
	}
	// Metadata v1 has no null names, though v10 has.
	_, err = DecodeKmsg(3, 1, []byte{0, 0, 0, 1, 0xff, 0xff})
	require.ErrorIs(t, err, ErrMalformed)
	_, err = DecodeKmsg(14, 0, []byte{0, 1, 'g', 0, 0, 0, 1, 0, 1, 'm', 0, 0, 0, 1, 0, 1, 'm', 0, 0, 1, 0})
	require.EqualError(t, err, "SyncGroup v0 request: assignments.assignment at byte 21 needs 256 bytes, 0 are left")
}
