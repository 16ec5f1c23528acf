package results

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func bare(group, name string, size int64, rate, cpu float64) Path {
	return Path{Group: group, Name: name, Size: size, Rate: rate, CPUPerGB: cpu}
}

var sampleLimits = Limits{Paths: []Path{
	bare("receive", "receive", 64<<10, 9e9, 0.1),
	bare("receive", "receive + CRC + append", 16<<10, 1e9, 1),
	bare("receive", "receive + CRC + append", 64<<10, 2e9, 0.5),
	bare("loopback", "sendfile", 64<<10, 3e9, 0.3),
	bare("loopback", "sendfile", 1<<20, 4e9, 0.2),
	bare("loopback", "mmap + write", 1<<20, 2e9, 0.4),
}}

func TestRoofline(t *testing.T) {
	p := &Phase{LenS: 2, Acked: Flow{ByteRate: 1e9}, Consumed: Flow{ByteRate: 1e9}, Target: &Cost{CPUS: 2}}
	r := sampleLimits.Under(p, 64<<10, 1<<20, "sendfile", true)
	require.Len(t, r.Paths, 2)
	require.Equal(t, 2e9, r.Paths[0].Bare.Rate)
	require.Equal(t, 4e9, r.Paths[1].Bare.Rate)
	require.InDelta(t, 0.5+0.25, r.Share, 1e-9)
	require.InDelta(t, 0.5, r.CPUPerGB, 1e-9, "2 s for 4 GB")
	require.InDelta(t, 0.35, r.BareCPUPerGB, 1e-9)

	r = sampleLimits.Under(&Phase{LenS: 2, Acked: Flow{ByteRate: 1e9}}, 20<<10, 0, "sendfile", false)
	require.Len(t, r.Paths, 1)
	require.Equal(t, 1e9, r.Paths[0].Bare.Rate, "the loop nearest in size")
	require.Zero(t, r.Share, "a bound of one core says nothing of two")
	require.Zero(t, r.CPUPerGB)

	r = sampleLimits.Under(&Phase{Consumed: Flow{ByteRate: 1e9}}, 0, 64<<10, "mmap", true)
	require.Equal(t, "mmap + write", r.Paths[0].Bare.Name)
	require.Nil(t, (*Limits)(nil).Under(p, 1, 1, "", true))
	require.Nil(t, sampleLimits.Under(&Phase{}, 1, 1, "", true))
}

// A measurement is taken up where it is of this machine, and what makes it
// doubtful is said.
func TestStoredLimits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results", LimitsFile)
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	env := Env{CPUModel: "x", CPUs: 2, Congestion: "bbr"}
	l := sampleLimits
	l.Started, l.Env, l.Congestion = now.Add(-time.Hour), &env, "reno"
	require.NoError(t, WriteLimits(file, &l))

	on := env
	on.SocketCongestion = "reno"
	got, notes := ReadLimits(file, &on, now)
	require.NotNil(t, got)
	require.Empty(t, notes)
	require.Nil(t, got.Env, "env.json does not hold itself")
	require.Equal(t, l.Paths, got.Paths)

	_, notes = ReadLimits(file, &env, now)
	require.Equal(t, []string{"the machine's limits were measured with congestion control reno, and this run is with bbr"}, notes)
	_, notes = ReadLimits(file, &on, now.Add(72*time.Hour))
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "ago")

	other := on
	other.CPUs = 4
	got, notes = ReadLimits(file, &other, now)
	require.Nil(t, got)
	require.Contains(t, notes[0], "another machine")
	got, notes = ReadLimits(file+".none", &on, now)
	require.Nil(t, got)
	require.Empty(t, notes)
}
