package batching

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// What runs once per batch or per record on the hot path allocates nothing once
// it is warm.
func TestHotPathAllocatesNothing(t *testing.T) {
	check := func(name string, pooled bool, f func()) {
		t.Run(name, func(t *testing.T) {
			if pooled && RaceDetector {
				f() // still worth running
				return
			}
			f()
			require.Zero(t, testing.AllocsPerRun(100, f))
		})
	}
	plain := jsonBatch(t, None, 64<<10)
	check("View", false, func() {
		v, err := View(plain)
		must(err)
		must(v.CheckCRC())
		v.SetBaseOffset(5)
		v.SetLeaderEpoch(6)
		v.SetLogAppendTime(7)
		v.setAttributes(0)
		v.seal()
	})
	check("PeekSize", false, func() {
		_, err := PeekSize(plain)
		must(err)
	})
	for _, c := range Codecs() {
		raw := jsonBatch(t, c, 64<<10)
		v, err := View(raw)
		require.NoError(t, err)
		bytes := 0
		check(fmt.Sprint("Records/", c), true, func() {
			for r, err := range v.Records(0) {
				must(err)
				bytes += len(r.Key) + len(r.Value) + len(r.Headers)
			}
		})
		for d := range Depths() {
			p := &Policy{Depth: Depth(d)}
			check(fmt.Sprint("Check/", c, "/", Depth(d)), true, func() {
				_, err := p.Check(raw)
				must(err)
			})
		}
		var dst []byte
		check(fmt.Sprint("Recompress/", c), true, func() {
			dst, err = v.Recompress(dst[:0], LZ4, 0, 0)
			must(err)
		})
		b := NewBuilder(Options{Codec: c})
		key, value, headers := []byte("key"), []byte("some value"), []Header{{Key: []byte("h"), Value: []byte("v")}}
		check(fmt.Sprint("Builder/", c), c != None, func() {
			for i := range 100 {
				must(b.Append(int64(i), key, value, headers))
			}
			dst, err = b.Build(dst[:0])
			must(err)
		})
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
