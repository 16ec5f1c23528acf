package diskio

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDir(t *testing.T) {
	for name, fs := range map[string]FS{"os": OS(), "mem": NewMem()} {
		t.Run(name, func(t *testing.T) {
			root := join(t.TempDir(), "data")
			d, err := OpenDir(fs, root)
			require.NoError(t, err)
			require.False(t, d.Clean(), "an empty directory was not left cleanly by anyone")
			require.NoError(t, d.SetMeta(map[string]string{"cluster.id": "abc", "version": "1"}))
			require.Error(t, d.SetMeta(map[string]string{"cluster.id": "a\nb"}))
			offsets := map[Partition]int64{{"a", 0}: 1, {"a", 10}: 2, {"a", 2}: 3, {"a-b.c_d", 0}: 1 << 40}
			for _, c := range []Checkpoint{RecoveryPoints, StartOffsets, HighWatermarks, CleanerOffsets} {
				got, err := d.Offsets(c)
				require.NoError(t, err)
				require.Empty(t, got)
				require.NoError(t, d.SetOffsets(c, offsets))
				got, err = d.Offsets(c)
				require.NoError(t, err)
				require.Equal(t, offsets, got)
			}
			for _, sub := range []string{"a-0", "a-b.c_d-17", "a-01", "x", "a-0.0123-delete", "-1"} {
				require.NoError(t, fs.MkdirAll(join(root, sub)))
			}
			parts, others, err := d.Partitions()
			require.NoError(t, err)
			require.Equal(t, []Partition{{"a", 0}, {"a-b.c_d", 17}}, parts)
			require.ElementsMatch(t, []string{"a-01", "x", "a-0.0123-delete", "-1"}, others)
			require.Equal(t, "a-b.c_d-17", parts[1].DirName())
			id := TopicID{1, 2, 3}
			require.NoError(t, WritePartitionMetadata(fs, d.LogDir(parts[0]), id))
			back, err := ReadPartitionMetadata(fs, d.LogDir(parts[0]))
			require.NoError(t, err)
			require.Equal(t, id, back)

			_, err = OpenDir(fs, root)
			var locked *ErrLocked
			require.ErrorAs(t, err, &locked)
			require.Equal(t, os.Getpid(), locked.PID)
			require.ErrorContains(t, err, "stop it, or use another data directory")
			require.NoError(t, d.MarkClean())
			require.NoError(t, d.Close())

			for _, clean := range []bool{true, false} {
				d, err = OpenDir(fs, root)
				require.NoError(t, err)
				require.Equal(t, clean, d.Clean(), "the mark holds once")
				require.Equal(t, "abc", d.Meta("cluster.id"))
				require.NoError(t, d.Close())
			}
		})
	}
}

// TestLockNamesItsHolder: another process holds the lock, and is named.
func TestLockNamesItsHolder(t *testing.T) {
	if dir := os.Getenv("MILLRACE_TEST_LOCK"); dir != "" {
		_, err := OpenDir(OS(), dir)
		if err == nil {
			os.Exit(0)
		}
		os.Stdout.WriteString(err.Error())
		os.Exit(3)
	}
	root := t.TempDir()
	d, err := OpenDir(OS(), root)
	require.NoError(t, err)
	defer d.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockNamesItsHolder$")
	cmd.Env = append(os.Environ(), "MILLRACE_TEST_LOCK="+root)
	out, err := cmd.Output()
	require.Error(t, err)
	require.Contains(t, string(out), filepath.Join(root, ".lock")+" is locked by process "+itoa(int64(os.Getpid())))
}

func TestCheckpointFaults(t *testing.T) {
	fs := NewMem()
	d, err := OpenDir(fs, "/d")
	require.NoError(t, err)
	for _, bad := range []string{"1\n0\n", "0\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\n1\na -1 1\n", "0\nx\n", "0\n1\na 0 99999999999999999999\n"} {
		require.NoError(t, writeFileSync(fs, "/d/"+string(RecoveryPoints), []byte(bad)))
		_, err := d.Offsets(RecoveryPoints)
		require.ErrorIs(t, err, ErrCorrupt, bad)
		require.ErrorContains(t, err, string(RecoveryPoints))
	}
}

// TestCheckpointIsAtomic: power goes out at every call of a rewrite; the file is
// the old or the new.
func TestCheckpointIsAtomic(t *testing.T) {
	for n := int64(1); ; n++ {
		require.Less(t, n, int64(100))
		mem := NewMem()
		fs := NewFault(mem)
		d, err := OpenDir(fs, "/d")
		require.NoError(t, err)
		a, b := map[Partition]int64{{"a", 0}: 1}, map[Partition]int64{{"a", 0}: 2, {"b", 0}: 7}
		require.NoError(t, d.SetOffsets(RecoveryPoints, a))
		fs.Set(Fault{Call: n, Sticky: true, Short: true, Err: os.ErrInvalid})
		done := d.SetOffsets(RecoveryPoints, b) == nil
		for seed := range uint64(8) {
			d, err := OpenDir(mem.CrashClone(Crash{Seed: seed, Survives: 0.5}), "/d")
			require.NoError(t, err)
			got, err := d.Offsets(RecoveryPoints)
			require.NoError(t, err)
			if done || len(got) == 2 {
				require.Equal(t, b, got)
			} else {
				require.Equal(t, a, got)
			}
		}
		if done {
			return
		}
	}
}
