//go:build oracle

package oracle

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	kafka   = flag.String("kafka", "127.0.0.1:19492", "HOST:PORT of a fresh Kafka, a single broker with id 1")
	version = flag.String("kafka-version", "4.1.0", "its version")
	only    = flag.String("script", "", "record this script only")
)

// TestRecord writes down what Kafka answers.
func TestRecord(t *testing.T) {
	newPlayer(t, *kafka, 0).warm()
	for _, file := range scripts(t) {
		if *only != "" && file != "testdata/"+*only+".txt" {
			continue
		}
		p := newPlayer(t, *kafka, 300*time.Millisecond)
		p.within = 5 * time.Second
		got := p.play(script(t, file))
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		require.NoError(t, enc.Encode(answers{*version, got}))
		require.NoError(t, os.WriteFile(answersOf(file), out.Bytes(), 0o644))
		t.Logf("%s: %d answers", file, len(got))
	}
}
