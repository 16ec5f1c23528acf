package core

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// kcat runs the program, which stands for librdkafka. It is needed: a test that
// passed without it would prove nothing.
func kcat(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("kcat")
	require.NoError(t, err, "the client tests need kcat (apt-get install kcat)")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), "kcat %v: %s", args, errs.String())
	return out.String()
}

// TestKcat produces with every codec that kcat's librdkafka has, plain and
// idempotent, and reads all of it back.
func TestKcat(t *testing.T) {
	b := start(t, testConfig(t))
	var lines strings.Builder
	for i := range 500 {
		fmt.Fprintf(&lines, "k%d:value %d %s\n", i, i, strings.Repeat("x", i%100))
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		for _, idempotent := range []string{"false", "true"} {
			t.Run(codec+"/idempotent="+idempotent, func(t *testing.T) {
				topic := "kcat-" + codec + "-" + idempotent
				kcat(t, lines.String(), "-P", "-b", b.Addr(), "-t", topic, "-K:", "-z", codec, "-X", "enable.idempotence="+idempotent)
				got := kcat(t, "", "-C", "-b", b.Addr(), "-t", topic, "-o", "beginning", "-e", "-q", "-K:", "-X", "check.crcs=true", "-X", "fetch.wait.max.ms=20")
				require.Equal(t, lines.String(), got)
			})
		}
	}
	t.Run("list", func(t *testing.T) {
		require.Contains(t, kcat(t, "", "-L", "-b", b.Addr()), `topic "kcat-lz4-false" with 1 partitions`)
	})
	t.Run("offset for a time", func(t *testing.T) {
		require.Contains(t, kcat(t, "", "-Q", "-b", b.Addr(), "-t", "kcat-none-false:0:1"), "offset 0")
	})
}
