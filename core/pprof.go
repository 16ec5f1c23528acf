package core

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strconv"
	"time"
)

// profiler serves net/http/pprof. Profiles show what passes through a broker
// and cost it time, so it listens on loopback only.
type profiler struct {
	server   *http.Server
	listener net.Listener
}

func startProfiler(addr string) (*profiler, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("pprof: %q is no HOST:PORT", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("pprof: %q is not a loopback address; use 127.0.0.1:PORT", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("pprof: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("POST /debug/pprof/sampling", setSampling)
	p := &profiler{server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}, listener: l}
	go func() {
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			_ = l.Close()
		}
	}()
	return p, nil
}

// setSampling sets what the runtime samples for the mutex and block profiles,
// which cost something and are off unless somebody looks: ?mutex=N, one of N
// contentions; ?block=NS, an event for each NS nanoseconds blocked; 0: off.
func setSampling(w http.ResponseWriter, r *http.Request) {
	for name, set := range map[string]func(int){
		"mutex": func(n int) { runtime.SetMutexProfileFraction(n) },
		"block": runtime.SetBlockProfileRate,
	} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			http.Error(w, fmt.Sprintf("%s=%q: want a number from 0 up", name, text), http.StatusBadRequest)
			return
		}
		set(n)
	}
}

func (p *profiler) addr() string {
	if p == nil {
		return ""
	}
	return p.listener.Addr().String()
}

func (p *profiler) stop() {
	if p != nil {
		_ = p.server.Close()
	}
}
