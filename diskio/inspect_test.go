package diskio

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func closedLog(t *testing.T) (FS, string) {
	t.Helper()
	fs, dir := NewMem(), "/data/events-0"
	l := openLog(t, fs, dir, small(), Options{})
	appendN(t, l, 40, 50)
	require.Greater(t, l.Segments(), 2)
	require.NoError(t, l.Close())
	return fs, dir
}

func TestVerifyGood(t *testing.T) {
	fs, dir := closedLog(t)
	v, err := Verify(fs, dir)
	require.NoError(t, err)
	require.Empty(t, v.Faults)
	require.Equal(t, int64(40), v.Batches)
	require.Equal(t, int64(120), v.Records)
	all, err := Verify(fs, join(dir, ".."))
	require.NoError(t, err)
	require.Equal(t, v, all)
	require.NoError(t, fs.MkdirAll("/empty"))
	_, err = Verify(fs, "/empty")
	require.ErrorContains(t, err, "no partition")
}

// TestVerifyFindsFlips: whatever byte of a segment or an index is flipped,
// there is a fault that names the file. Offsets and leader epochs lie outside
// the checksum; a flip there is found where it breaks the order.
func TestVerifyFindsFlips(t *testing.T) {
	fs, dir := closedLog(t)
	for _, suffix := range []string{logSuffix, indexSuffix, timeSuffix} {
		name := join(dir, segmentName(0, suffix))
		good, err := readFile(fs, name, 1<<20)
		require.NoError(t, err)
		require.NotEmpty(t, good)
		missed := 0
		for i := 0; i < len(good); i += 3 {
			bad := bytes.Clone(good)
			bad[i] ^= 0x40
			require.NoError(t, writeFileSync(fs, name, bad))
			v, err := Verify(fs, dir)
			require.NoError(t, err)
			if len(v.Faults) == 0 {
				missed++
			} else {
				require.Contains(t, strings.Join(v.Faults, "\n"), "00000000000000000000", "byte %d", i)
			}
		}
		require.NoError(t, writeFileSync(fs, name, good))
		if suffix != logSuffix {
			require.Zero(t, missed, suffix)
		}
		// A leader epoch, 4 bytes of a batch, may be any.
		require.LessOrEqual(t, missed, len(good)/3/16, suffix)
	}
	v, err := Verify(fs, dir)
	require.NoError(t, err)
	require.Empty(t, v.Faults)
}

func TestDumpText(t *testing.T) {
	fs, dir := closedLog(t)
	var out bytes.Buffer
	require.NoError(t, Dump(&out, fs, dir, DumpOptions{Records: true}))
	lines := strings.Split(out.String(), "\n")
	require.Greater(t, len(lines), 160)
	for _, line := range lines {
		require.LessOrEqual(t, len([]rune(line)), dumpWidth, line)
	}
	require.Contains(t, out.String(), "events-0/00000000000000000000.log")
}

func TestDumpJSON(t *testing.T) {
	fs, dir := closedLog(t)
	var out bytes.Buffer
	require.NoError(t, Dump(&out, fs, dir, DumpOptions{Records: true, JSON: true}))
	records := 0
	for dec := json.NewDecoder(&out); dec.More(); {
		var b jsonBatch
		require.NoError(t, dec.Decode(&b))
		records += len(b.Records)
	}
	require.Equal(t, 120, records)
}

// TestDumpFault: the exact place of the first fault.
func TestDumpFault(t *testing.T) {
	fs, dir := closedLog(t)
	name := join(dir, logName(0))
	b, err := readFile(fs, name, 1<<20)
	require.NoError(t, err)
	h, err := parseHeader(b, 0)
	require.NoError(t, err)
	b[h.size+40] ^= 1
	require.NoError(t, writeFileSync(fs, name, b))
	v, err := Verify(fs, dir)
	require.NoError(t, err)
	require.Len(t, v.Faults, 1)
	require.Contains(t, v.Faults[0], logName(0)+": byte "+itoa(h.size)+": corrupt: checksum")
	var out bytes.Buffer
	require.NoError(t, Dump(&out, fs, dir, DumpOptions{}))
	require.Contains(t, out.String(), "FAULT events-0/"+logName(0)+": byte "+itoa(h.size))
}
