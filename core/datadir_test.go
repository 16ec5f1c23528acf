package core

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// startFails answers the error of a start, which must be one line.
func startFails(t *testing.T, cfg Config) string {
	t.Helper()
	b, err := Start(t.Context(), cfg)
	if err == nil {
		stop(t, b)
	}
	require.Error(t, err)
	require.NotContains(t, err.Error(), "\n")
	return err.Error()
}

func TestStartFaults(t *testing.T) {
	t.Run("the directory is locked", func(t *testing.T) {
		cfg := testConfig(t)
		start(t, cfg)
		said := startFails(t, cfg)
		require.Contains(t, said, cfg.DataDir)
		require.Contains(t, said, "locked")
	})
	t.Run("the directory is a file", func(t *testing.T) {
		cfg := testConfig(t)
		cfg.DataDir = filepath.Join(cfg.DataDir, "file")
		require.NoError(t, os.WriteFile(cfg.DataDir, nil, 0o600))
		require.Contains(t, startFails(t, cfg), cfg.DataDir)
	})
	t.Run("the directory cannot be written to", func(t *testing.T) {
		cfg := testConfig(t)
		cfg.DataDir = "/proc/millrace" // not even root may
		require.Contains(t, startFails(t, cfg), cfg.DataDir)
	})
	t.Run("the directory is another broker's", func(t *testing.T) {
		cfg := testConfig(t)
		stop(t, start(t, cfg))
		cfg.NodeID = 2
		require.Contains(t, startFails(t, cfg), "node.id")
	})
	t.Run("the port is in use", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		cfg := testConfig(t)
		cfg.Listen = l.Addr().String()
		require.Contains(t, startFails(t, cfg), cfg.Listen)
		// What was begun was ended: the directory can be used.
		cfg.Listen = "127.0.0.1:0"
		start(t, cfg)
	})
	t.Run("advertised.listeners is nonsense", func(t *testing.T) {
		cfg := testConfig(t)
		cfg.Advertised = "nowhere"
		require.Contains(t, startFails(t, cfg), "advertised.listeners")
	})
	t.Run("pprof beyond loopback", func(t *testing.T) {
		cfg := testConfig(t)
		cfg.PprofListen = "0.0.0.0:0"
		require.Contains(t, startFails(t, cfg), "loopback")
	})
	t.Run("the metadata is damaged", func(t *testing.T) {
		cfg := testConfig(t)
		b := start(t, cfg)
		createTopic(t, dial(t, b), "t", 1)
		createTopic(t, dial(t, b), "u", 1)
		stop(t, b)
		name := filepath.Join(cfg.DataDir, journalDir, strings.Repeat("0", 20)+".log")
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		text[100] ^= 1 // in the first of several batches
		require.NoError(t, os.WriteFile(name, text, 0o600))
		require.Contains(t, startFails(t, cfg), "metadata")
	})
}

func TestPprof(t *testing.T) {
	cfg := testConfig(t)
	require.Empty(t, start(t, cfg).PprofAddr(), "off unless asked for")
	cfg = testConfig(t)
	cfg.PprofListen = "127.0.0.1:0"
	b := start(t, cfg)
	resp, err := http.Get("http://" + b.PprofAddr() + "/debug/pprof/goroutine?debug=1")
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), "goroutine profile")
}

func TestAdvertised(t *testing.T) {
	told := func(cfg Config) (string, int32) {
		b := start(t, cfg)
		_, port, err := net.SplitHostPort(b.Addr())
		require.NoError(t, err)
		p := dialAddr(t, "127.0.0.1:"+port)
		resp := ask[*kmsg.MetadataResponse](p, 12, kmsg.NewPtrMetadataRequest())
		return resp.Brokers[0].Host, resp.Brokers[0].Port
	}
	cfg := testConfig(t)
	cfg.Advertised = "PLAINTEXT://broker.example:1234"
	host, port := told(cfg)
	require.Equal(t, "broker.example", host)
	require.Equal(t, int32(1234), port)

	cfg = testConfig(t)
	cfg.Listen = "0.0.0.0:0"
	host, port = told(cfg)
	require.Equal(t, "127.0.0.1", host, "the address that the client came by")
	require.NotZero(t, port)
}

// TestFailedStartStaysClean: a start that fails for another reason does not cost
// the next one a recovery.
func TestFailedStartStaysClean(t *testing.T) {
	cfg := testConfig(t)
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	mustProduce(p, "t", 0, "a")
	stop(t, b)
	bad := cfg
	bad.PprofListen = "0.0.0.0:0"
	startFails(t, bad)
	b = start(t, cfg)
	require.True(t, b.dir.clean)
	require.Equal(t, []string{"a"}, fetchAll(dial(t, b), "t", 0))
}
