package batching_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"millrace/batching"
)

// The goldens are batches that real clients produced, with what each client
// was told to send written beside them: testdata/README.md says how they were
// taken.

// golden is one entry of testdata/goldens/manifest.json.
type golden struct {
	File   string
	Client string // name and version
	Codec  string
	// Idempotent and Transactional are how the client was configured.
	Idempotent, Transactional bool `json:",omitempty"`
	Records                   []goldenRecord
}

// goldenRecord is what the client was told to send. A nil string is null.
type goldenRecord struct {
	Timestamp int64   `json:",omitempty"` // ms; 0: the client chose it
	Key       *string `json:",omitempty"`
	Value     *string `json:",omitempty"`
	// Lines, where not 0, says that the value is logLines(Lines).
	Lines   int            `json:",omitempty"`
	Headers []goldenHeader `json:",omitempty"`
}

type goldenHeader struct {
	Key   string
	Value *string `json:",omitempty"`
}

func bytesOf(s *string) []byte {
	if s == nil {
		return nil
	}
	return []byte(*s)
}

func (r goldenRecord) key() []byte { return bytesOf(r.Key) }

func (r goldenRecord) value() []byte {
	if r.Lines > 0 {
		return logLines(r.Lines)
	}
	return bytesOf(r.Value)
}

// logLines is n lines of a web server's log, the same for the same n.
func logLines(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "10.0.%d.%d - - [22/Nov/2025:17:%02d:%02d +0000] \"GET /item/%d HTTP/1.1\" %d %d\n",
			i%7, i*31%251, i/60%60, i%60, i*7919%10007, []int{200, 200, 200, 304, 404}[i%5], 200+i*i%9973)
	}
	return []byte(b.String())
}

const goldenDir = "testdata/goldens"

// readGoldens is the manifest, and the bytes of each file by its name.
func readGoldens(t testing.TB) ([]golden, map[string][]byte) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(goldenDir, "manifest.json"))
	require.NoError(t, err)
	var goldens []golden
	require.NoError(t, json.Unmarshal(raw, &goldens))
	require.NotEmpty(t, goldens)
	files := map[string][]byte{}
	for _, g := range goldens {
		b, err := os.ReadFile(filepath.Join(goldenDir, g.File))
		require.NoError(t, err)
		files[g.File] = b
	}
	return goldens, files
}

func TestGoldensAreWhatTheClientsSent(t *testing.T) {
	goldens, files := readGoldens(t)
	clients := map[string]bool{}
	for _, g := range goldens {
		name, _, _ := strings.Cut(g.Client, " ")
		clients[name+" "+g.Codec] = true
		t.Run(g.File, func(t *testing.T) {
			raw := files[g.File]
			b, err := batching.View(raw)
			require.NoError(t, err)
			require.NoError(t, b.CheckCRC())
			checkGoldenHeader(t, g, b, len(raw))
			checkGoldenRecords(t, g, b)
			for _, d := range batching.Depths() {
				depth, err := batching.ParseDepth(d)
				require.NoError(t, err)
				p := batching.Policy{Depth: depth}
				before := string(raw)
				_, err = p.Check(raw)
				require.NoError(t, err, d)
				require.Equal(t, before, string(raw), "%s: a real client's batch needs no correction", d)
			}
		})
	}
	for _, client := range []string{"franz-go", "sarama", "kafka-go", "librdkafka", "java"} {
		for _, c := range batching.Codecs() {
			require.True(t, clients[client+" "+c.String()], "no golden of %s with %v", client, c)
		}
	}
}

func checkGoldenHeader(t *testing.T, g golden, b batching.Batch, size int) {
	require.Equal(t, size, b.Size())
	require.EqualValues(t, 2, b.Magic())
	require.Equal(t, g.Codec, b.Codec().String())
	require.Equal(t, len(g.Records), b.Count())
	require.EqualValues(t, len(g.Records)-1, b.LastOffsetDelta())
	require.Equal(t, batching.CreateTime, b.TimestampType())
	require.False(t, b.IsControl())
	require.Equal(t, g.Transactional, b.IsTransactional())
	require.Equal(t, g.Idempotent, b.ProducerID() >= 0)
	if g.Idempotent { // without, Java says -1 and sarama 0
		require.EqualValues(t, 0, b.BaseSequence())
		require.EqualValues(t, len(g.Records)-1, b.LastSequence())
	}
}

func checkGoldenRecords(t *testing.T, g golden, b batching.Batch) {
	i := 0
	for r, err := range b.Records(0) {
		require.NoError(t, err)
		want := g.Records[i]
		require.EqualValues(t, i, r.OffsetDelta)
		require.Equal(t, b.BaseOffset()+int64(i), b.Offset(r))
		if want.Timestamp != 0 {
			require.Equal(t, want.Timestamp, b.Timestamp(r))
		}
		require.Equal(t, want.key(), r.Key)
		require.Equal(t, want.value(), r.Value)
		require.Len(t, r.Headers, len(want.Headers))
		for j, h := range want.Headers {
			require.Equal(t, h.Key, string(r.Headers[j].Key))
			require.Equal(t, bytesOf(h.Value), r.Headers[j].Value)
		}
		i++
	}
	require.Equal(t, len(g.Records), i)
}

func isAny(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(k error) bool { return errors.Is(err, k) })
}
