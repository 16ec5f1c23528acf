package harness

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
)

// perfText is what perf script printed of dd reading zeros, three samples of it,
// and the forms that other samples had.
const perfText = `   1001001 
	ffffffff821eb0e7 clear_page_erms
	ffffffff81620028 get_page_from_freelist
	ffffffff81d35f77 read_zero
	ffffffff816bac2b vfs_read
	ffffffff81000130 entry_SYSCALL_64_after_hwframe
	           f82ad read

   1001001 
	ffffffff81d35f7c read_zero
	ffffffff816bac2b vfs_read
	ffffffff81000130 entry_SYSCALL_64_after_hwframe
	           f82ad read

   5025125 cpu-clock: 
	          4a1b20 runtime.(*mcache).refill
	    7ffc1a2b3c4d [unknown]
	ffffffff81d35f77

   1001001 

`

// TestPerf: what perf says becomes a profile whose sums are perf's.
func TestPerf(t *testing.T) {
	p, err := parsePerf(strings.NewReader(perfText))
	require.NoError(t, err)
	require.NoError(t, p.CheckValid())
	require.Len(t, p.Sample, 3, "a sample without a frame says nothing")
	flat, cum := map[string]int64{}, map[string]int64{}
	for _, s := range p.Sample {
		name := func(l *profile.Location) string { return l.Line[0].Function.Name }
		flat[name(s.Location[0])] += s.Value[0]
		for _, l := range s.Location {
			cum[name(l)] += s.Value[0]
		}
	}
	require.Equal(t, map[string]int64{"kernel: clear_page_erms": 1001001, "kernel: read_zero": 1001001, "runtime.(*mcache).refill": 5025125}, flat)
	require.EqualValues(t, 2*1001001, cum["kernel: vfs_read"], "one function, wherever it was called")
	require.EqualValues(t, 2*1001001, cum["read"], "not the kernel's")
	require.EqualValues(t, 5025125, cum["[unknown]"])
	require.EqualValues(t, 5025125, cum["kernel: [unknown]"])
	require.Equal(t, "nanoseconds", p.SampleType[0].Unit)

	var file bytes.Buffer
	require.NoError(t, p.Write(&file))
	back, err := profile.Parse(&file)
	require.NoError(t, err)
	require.Len(t, back.Sample, 3)

	p, err = parsePerf(strings.NewReader(""))
	require.NoError(t, err)
	require.Empty(t, p.Sample)
	_, err = parsePerf(strings.NewReader("dd 1234 [000] 5.0: 1001001 cpu-clock:\n"))
	require.ErrorContains(t, err, `"dd 1234 [000] 5.0: 1001001 cpu-clock:" where a sample was expected`)
	_, err = parsePerf(strings.NewReader("1 \n" + strings.Repeat("x", 2<<20)))
	require.Error(t, err, "no line is that long")
}

// FuzzPerf: no text makes a profile that its own tools would not read.
func FuzzPerf(f *testing.F) {
	f.Add(perfText)
	f.Add("1\n \n-5:\n\tffffffffffffffff a\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePerf(strings.NewReader(text))
		if err != nil {
			return
		}
		require.NoError(t, p.CheckValid())
	})
}
