package producers

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestScripts runs the scripts in testdata: a command a line, "-> answer"
// behind it.
//
//	append id=1 epoch=0 seq=0 n=10   -> ok at 0 | duplicate of 0 | out of order | old epoch
//	restart                          -> (snapshot and load)
//	expire after=1h
func TestScripts(t *testing.T) {
	files, err := os.ReadDir("testdata")
	require.NoError(t, err)
	ran := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".txt") {
			continue
		}
		t.Run(f.Name(), func(t *testing.T) { runScript(t, "testdata/"+f.Name()) })
		ran++
	}
	require.Positive(t, ran)
}

func runScript(t *testing.T, path string) {
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	var (
		table Table
		end   int64
		now   int64
	)
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		command, want, _ := strings.Cut(strings.TrimSpace(line), "->")
		words := strings.Fields(command)
		if len(words) == 0 {
			continue
		}
		args := map[string]int64{}
		for _, w := range words[1:] {
			var name string
			var v int64
			_, err := fmt.Sscanf(strings.Replace(w, "=", " ", 1), "%s %d", &name, &v)
			require.NoError(t, err, "%s:%d", path, n)
			args[name] = v
		}
		got := ""
		switch words[0] {
		case "marker":
			m := Marker{Producer: args["id"], Epoch: int16(args["epoch"]), Coordinator: int32(args["coordinator"])}
			switch table.CheckMarker(m) {
			case ErrEpoch:
				got = "old epoch"
			case ErrCoordinator:
				got = "old coordinator"
			default:
				end++
				got = "ends nothing"
				if txn, ok := table.End(m, now); ok {
					got = fmt.Sprintf("ends %d", txn.First)
				}
			}
		case "open":
			var open []string
			for _, o := range table.OpenTxns() {
				open = append(open, fmt.Sprintf("%d from %d", o.Producer, o.First))
			}
			got = strings.Join(open, ", ")
		case "append", "txn":
			b := Batch{Producer: args["id"], Epoch: int16(args["epoch"]), FirstSequence: int32(args["seq"]), Transactional: words[0] == "txn"}
			b.LastSequence = b.FirstSequence
			for range args["n"] - 1 {
				b.LastSequence = Following(b.LastSequence)
			}
			b.OffsetDelta = int32(args["n"] - 1)
			dup, isDup, err := table.Check(b)
			switch {
			case err == ErrOutOfOrder:
				got = "out of order"
			case err == ErrState:
				got = "in transaction"
			case err == ErrEpoch:
				got = "old epoch"
			case isDup:
				got = fmt.Sprintf("duplicate of %d", dup.FirstOffset())
			default:
				got = fmt.Sprintf("ok at %d", end)
				b.LastOffset = end + int64(b.OffsetDelta)
				end = b.LastOffset + 1
				table.Append(b, now)
			}
		case "restart":
			bytes := table.AppendSnapshot(nil)
			table = Table{}
			require.NoError(t, table.Load(bytes, now))
		case "wait":
			now += args["ms"]
		case "expire":
			table.Expire(now, time.Duration(args["ms"])*time.Millisecond)
		default:
			t.Fatalf("%s:%d: unknown command %q", path, n, words[0])
		}
		require.Equal(t, strings.TrimSpace(want), got, "%s:%d: %s", path, n, command)
	}
	require.NoError(t, lines.Err())
}

// TestSnapshotBytes holds the file's layout, field by field, as Kafka's
// ProducerStateManager declares it.
func TestSnapshotBytes(t *testing.T) {
	var table Table
	table.Append(Batch{Producer: 7, Epoch: 2, FirstSequence: 5, LastSequence: 9, LastOffset: 104, OffsetDelta: 4, Timestamp: 1000}, 0)
	got := table.AppendSnapshot(nil)
	require.Len(t, got, snapshotHeader+46)
	require.Equal(t, "0001", hex.EncodeToString(got[:2]))
	require.Equal(t, "00000001"+"0000000000000007"+"0002"+"00000009"+"0000000000000068"+"00000004"+
		"00000000000003e8"+"ffffffff"+"ffffffffffffffff", hex.EncodeToString(got[6:]))
	for i := range got {
		bad := append([]byte(nil), got...)
		bad[i] ^= 1
		require.ErrorIs(t, (&Table{}).Load(bad, 0), ErrSnapshot, "byte %d", i)
		require.ErrorIs(t, (&Table{}).Load(got[:i], 0), ErrSnapshot, "cut at %d", i)
	}
}

func TestSequencesWrap(t *testing.T) {
	require.Equal(t, int32(0), Following(math.MaxInt32))
	require.Equal(t, int32(math.MaxInt32), backward(0, 1))
	require.Equal(t, int32(math.MaxInt32-1), backward(2, 4))
	require.Equal(t, int32(3), backward(5, 2))
}

// TestTheTableIsBounded floods a partition with producers that write once.
func TestTheTableIsBounded(t *testing.T) {
	var table Table
	for i := range int64(Limit + 10) {
		table.Append(Batch{Producer: i}, i)
	}
	require.LessOrEqual(t, table.Len(), Limit)
	_, dup, err := table.Check(Batch{Producer: Limit + 9})
	require.NoError(t, err)
	require.True(t, dup, "the latest are kept")
	_, dup, err = table.Check(Batch{Producer: 0})
	require.NoError(t, err)
	require.False(t, dup, "the longest silent went")
}

func TestCheckAndAppendDoNotAllocate(t *testing.T) {
	var table Table
	b := Batch{Producer: 1, OffsetDelta: 0}
	table.Append(b, 0)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b.FirstSequence++
		b.LastSequence++
		if _, dup, err := table.Check(b); dup || err != nil {
			t.Fatal(dup, err)
		}
		table.Append(b, 0)
	}))
}

func FuzzLoad(f *testing.F) {
	var table Table
	table.Append(Batch{Producer: 1}, 0)
	f.Add(table.AppendSnapshot(nil))
	f.Add([]byte{0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var table Table
		if table.Load(b, 0) == nil && table.Len() > len(b)/snapshotEntry {
			t.Fatal("more producers than bytes")
		}
	})
}
