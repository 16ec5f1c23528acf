package oracle

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/core"
)

func scripts(t testing.TB) []string {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func script(t testing.TB, file string) []*command {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	s, err := parseScript(string(text))
	require.NoError(t, err, file)
	return s
}

func answersOf(file string) string { return strings.TrimSuffix(file, ".txt") + ".kafka.json" }

// TestAgainstKafka plays every script and compares with what Kafka answered.
func TestAgainstKafka(t *testing.T) {
	cfg := core.Defaults()
	cfg.Listen, cfg.DataDir, cfg.Logger = "127.0.0.1:0", t.TempDir(), slog.New(slog.DiscardHandler)
	cfg.Group.InitialDelay, cfg.Txn.AbortInterval = 0, 100*time.Millisecond // as record.sh has them
	cfg.ValidateDepth = "records"                                           // as Kafka does
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := core.Start(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, b.Stop(ctx))
	})
	newPlayer(t, b.Addr(), 0).warm()
	used := map[int]bool{}
	asked := 0
	for _, file := range scripts(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			want := readAnswers(t, answersOf(file))
			got := newPlayer(t, b.Addr(), 0).play(script(t, file))
			require.Len(t, got, len(want.Answers), "the script was changed: run `make oracle`")
			for i := range got {
				require.Equal(t, want.Answers[i].Ask, got[i].Ask, "the script was changed: run `make oracle`")
				asked++
				for _, d := range differ(want.Answers[i].Got, got[i].Got) {
					if n := excused(name, got[i], d); n >= 0 {
						used[n] = true
						continue
					}
					t.Errorf("%s: %s\n  %s\n\t%s", name, got[i].Title, got[i].Ask, strings.ReplaceAll(d, "\n", "\n\t"))
				}
			}
		})
	}
	if t.Failed() {
		return
	}
	for i, d := range differences {
		if !used[i] {
			t.Errorf("no answer differs so any more: take %+v out of the list", d)
		}
		t.Logf("known to differ: %s, %s: %s", d.script, d.title, d.why)
	}
	require.Greater(t, asked, 100)
}

// differ compares two flattened answers and returns a difference for each path.
func differ(want, got []string) []string {
	split := func(lines []string) (map[string]string, []string) {
		m, order := map[string]string{}, []string{}
		for _, l := range lines {
			path, value, _ := strings.Cut(l, " = ")
			m[path] = value
			order = append(order, path)
		}
		return m, order
	}
	w, order := split(want)
	g, more := split(got)
	for _, path := range more {
		if !slices.Contains(order, path) {
			order = append(order, path)
		}
	}
	var out []string
	for _, path := range order {
		a, inKafka := w[path]
		b, inOurs := g[path]
		if a != b || inKafka != inOurs {
			out = append(out, fmt.Sprintf("%s\nKafka: %s\nours:  %s", path, told(a, inKafka), told(b, inOurs)))
		}
	}
	return out
}

func told(value string, there bool) string {
	if !there {
		return "(nothing)"
	}
	return value
}

// TestDiffer is the negative control: what differs is seen.
func TestDiffer(t *testing.T) {
	require.Empty(t, differ([]string{"A = 1", "B = 2"}, []string{"A = 1", "B = 2"}))
	require.Len(t, differ([]string{"A = 1", "B = 2"}, []string{"A = 2"}), 2)
	require.Len(t, differ([]string{"the connection closes"}, []string{"A = 2"}), 2)
}
