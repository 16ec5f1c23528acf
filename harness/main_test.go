package harness

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"millrace/core"
)

// The test binary is also a broker, so that targets that are processes can be
// tested: with serve as its first argument it behaves as `millrace serve` does
// towards the lab, with franz-go's fake broker inside.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve":
			serveFake(os.Args[2:])
			return
		case "sink":
			serveSink(os.Args[2:])
			return
		case "lab": // starts a process, says its pid and waits to be killed
			p, err := startProcess(exec.Command("sleep", "60"), nil)
			if err != nil {
				panic(err)
			}
			fmt.Println(p.cmd.Process.Pid)
			select {}
		}
	}
	os.Exit(m.Run())
}

func serveSink(args []string) {
	var topics []string
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "--topic" {
			topics = append(topics, args[i+1])
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := ServeSink(ctx, "127.0.0.1:0", topics, func(addr string) {
		fmt.Println("listening on", addr)
		fmt.Println("pprof on http://127.0.0.1:1/debug/pprof/")
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveFake(args []string) {
	opt := map[string]string{}
	for i := 0; i+1 < len(args); i += 2 {
		opt[args[i]] = args[i+1]
	}
	switch os.Getenv("FAKE") {
	case "dies":
		fmt.Fprintln(os.Stderr, "millrace: listen 127.0.0.1:9092: address already in use")
		os.Exit(1)
	case "babbles":
		fmt.Println("hello")
		select {}
	case "core":
		serveCore(opt)
		return
	}
	port := 0
	if _, p, err := net.SplitHostPort(opt["--listen"]); err == nil {
		port, _ = strconv.Atoi(p)
	}
	if p := opt["--port"]; p != "" {
		port, _ = strconv.Atoi(p)
	}
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.Ports(port)}
	if port != 0 && opt["--port"] == "" { // started again: the topic is there, and all records are forgotten
		opts = append(opts, kfake.SeedTopics(2, "a"))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if dir := opt["--data"]; dir != "" {
		_ = os.WriteFile(filepath.Join(dir, "pid"), []byte(strconv.Itoa(os.Getpid())), 0o644)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("listening on " + c.ListenAddrs()[0])
	profiles, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(profiles, nil)
	fmt.Printf("pprof on http://%s/debug/pprof/\n", profiles.Addr())
	<-stop
}

// serveCore is the broker itself, as `millrace serve` starts it.
func serveCore(opt map[string]string) {
	cfg := core.Defaults()
	cfg.Listen, cfg.DataDir, cfg.PprofListen, cfg.Logger = opt["--listen"], opt["--data"], opt["--pprof"], quiet
	name, val, _ := strings.Cut(opt["--set"], "=")
	if name != "" {
		if err := core.Knobs(&cfg).Set(name, val); err != nil {
			panic(err)
		}
	}
	b, err := core.Start(context.Background(), cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = os.WriteFile(filepath.Join(cfg.DataDir, "pid"), []byte(strconv.Itoa(os.Getpid())), 0o644)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("listening on " + b.Addr())
	fmt.Printf("pprof on http://%s/debug/pprof/\n", b.PprofAddr())
	<-stop
	if err := b.Stop(context.Background()); err != nil {
		panic(err)
	}
}

// coreBinary is a program that behaves as millrace does for serve.
func coreBinary(t *testing.T) string {
	exe, err := os.Executable()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "millrace")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\nFAKE=core exec "+exe+" \"$@\"\n"), 0o755))
	return file
}

// fakeBroker is a running fake for the external target.
func fakeBroker(t *testing.T) string {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// watch is a progress writer that calls back once a line has the word.
type watch struct {
	word string
	then func()

	mu   sync.Mutex
	text strings.Builder
	once sync.Once
}

func (w *watch) Write(b []byte) (int, error) {
	w.mu.Lock()
	w.text.Write(b)
	w.mu.Unlock()
	if w.word != "" && strings.Contains(string(b), w.word) {
		w.once.Do(w.then)
	}
	return len(b), nil
}

func (w *watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

var _ io.Writer = (*watch)(nil)

// alive says whether a process is there and no zombie.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}
