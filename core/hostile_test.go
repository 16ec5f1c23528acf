package core

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/core/wire"
	"millrace/diskio"
)

// A hostile request is one of an API of the table, at a version that it serves,
// filled at random from values that hurt: names that are and are not there,
// epochs of the past and the future, negative counts. Then its bytes may be
// damaged. A new row of the table is enrolled by being there.
type hostile struct {
	rng    *rand.Rand
	topics [][16]byte
	batch  []byte
}

func newHostile(seed uint64, topics ...[16]byte) *hostile {
	h := &hostile{rng: rand.New(rand.NewPCG(seed, 11)), topics: append(topics, [16]byte{}, [16]byte{1})}
	b := batching.NewBuilder(batching.Options{})
	if b.Append(1, []byte("k"), []byte("v"), nil) == nil {
		h.batch, _ = b.Build(nil)
	}
	return h
}

var hostileWords = []string{
	"t", "t", "g", "g", "tx", "m", "i", "", "nobody", offsetsTopic, txnTopic, "..", "a/b", "range", "consumer",
	"cleanup.policy", "retention.ms", "transaction.version", string(make([]byte, 300)), "\xff\xfe",
}

var hostileNumbers = []int64{0, 0, 1, 1, 2, 3, 10, -1, -1, -2, math.MaxInt8, math.MinInt8, math.MaxInt16, math.MinInt16, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64}

// request is the body of one request.
func (h *hostile) request(key, version int16) []byte {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	h.fill(reflect.ValueOf(req).Elem(), 0)
	req.SetVersion(version)
	b := req.AppendTo(nil)
	switch h.rng.IntN(8) {
	case 0: // truncated
		b = b[:h.rng.IntN(len(b)+1)]
	case 1: // a lying length, or a negative count
		if len(b) >= 4 {
			binary.BigEndian.PutUint32(b[h.rng.IntN(len(b)-3):], uint32(hostileNumbers[h.rng.IntN(len(hostileNumbers))]))
		}
	case 2:
		for range 1 + h.rng.IntN(4) {
			if len(b) > 0 {
				b[h.rng.IntN(len(b))] = byte(h.rng.Uint32())
			}
		}
	case 3: // more than there should be
		b = append(b, make([]byte, h.rng.IntN(64))...)
	}
	return b
}

func (h *hostile) fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" && name != "UnknownTags" {
				h.fill(v.Field(i), depth)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			switch h.rng.IntN(3) {
			case 0:
				v.SetBytes(h.batch)
			case 1:
				v.SetBytes(make([]byte, h.rng.IntN(100)))
			}
			return
		}
		n := h.rng.IntN(4)
		if depth > 3 {
			n = 0
		}
		s := reflect.MakeSlice(v.Type(), n, n)
		for i := range n {
			h.fill(s.Index(i), depth+1)
		}
		v.Set(s)
	case reflect.Pointer:
		if h.rng.IntN(3) > 0 && depth < 5 {
			v.Set(reflect.New(v.Type().Elem()))
			h.fill(v.Elem(), depth+1)
		}
	case reflect.Array: // a topic's id
		v.Set(reflect.ValueOf(h.topics[h.rng.IntN(len(h.topics))]))
	case reflect.String:
		v.SetString(hostileWords[h.rng.IntN(len(hostileWords))])
	case reflect.Bool:
		v.SetBool(h.rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(hostileNumbers[h.rng.IntN(len(hostileNumbers))])
	case reflect.Float64:
		v.SetFloat([]float64{0, 1, -1, math.NaN(), math.Inf(1)}[h.rng.IntN(5)])
	}
}

// hostileBroker is one that lets nobody wait for long.
func hostileBroker(t testing.TB) (*Broker, *hostile) {
	cfg := Defaults()
	cfg.Listen = "127.0.0.1:0"
	cfg.FS = diskio.NewMem()
	cfg.DataDir = "/data"
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.FetchMaxWait = time.Millisecond
	cfg.Partitions, cfg.Txn.Partitions, cfg.Group.Partitions = 2, 2, 2
	cfg.Group.InitialDelay, cfg.Group.SessionMin, cfg.Group.SessionMax = 0, 0, 10*time.Millisecond
	b, err := Start(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, b) })
	require.NoError(t, b.makeStateTopic(offsetsTopic))
	require.NoError(t, b.makeStateTopic(txnTopic))
	p := dial(t, b)
	id := createTopic(t, p, "t", 2)
	mustProduce(p, "t", 0, "a")
	initTxn(p, "tx")
	return b, newHostile(0, id)
}

// hit sends one hostile request; the broker answers or hangs up, and serves
// others as before.
func (h *hostile) hit(t testing.TB, b *Broker, key, version int16, seed uint64) {
	h.rng = rand.New(rand.NewPCG(seed, 11))
	body := h.request(key, version)
	if _, err := sendRaw(b.Addr(), key, version, body); err != nil {
		t.Fatalf("%s v%d seed %d: %v; body %x", kmsg.NameForKey(key), version, seed, err, body)
	}
}

// TestHostileRequests sends every API at every version a number of hostile
// requests, the same in every run, and then looks for what they have left behind.
func TestHostileRequests(t *testing.T) {
	b, h := hostileBroker(t)
	round := func(from, n uint64) {
		for _, a := range coreAPIs() {
			for v := a.min; v <= a.max; v++ {
				for seed := from; seed < from+n; seed++ {
					h.hit(t, b, a.key, v, seed)
				}
			}
		}
		ok, err := sendRaw(b.Addr(), wire.KeyApiVersions, 0, nil)
		require.NoError(t, err)
		require.True(t, ok, "the broker does not serve others any more")
	}
	settled := func() (goroutines int, heap uint64) {
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapAlloc
	}
	round(1, 10)
	goroutines, heap := settled()
	round(11, 10)
	require.Eventually(t, func() bool {
		g, m := settled()
		return g <= goroutines+8 && m <= heap+16<<20
	}, patience, 50*time.Millisecond, "goroutines or memory grow with hostile requests: there were %d, %d MiB", goroutines, heap>>20)
}

// FuzzHostile goes on where TestHostileRequests ends.
func FuzzHostile(f *testing.F) {
	for i := range coreAPIs() {
		f.Add(uint16(i), uint16(i), uint64(i))
	}
	b, h := hostileBroker(f)
	f.Fuzz(func(t *testing.T, row, version uint16, seed uint64) {
		rows := coreAPIs()
		a := rows[int(row)%len(rows)]
		h.hit(t, b, a.key, a.min+int16(int(version)%int(a.max-a.min+1)), seed)
		if ok, err := sendRaw(b.Addr(), wire.KeyApiVersions, 0, nil); err != nil || !ok {
			t.Fatalf("the broker does not serve others any more: %v", err)
		}
	})
}
