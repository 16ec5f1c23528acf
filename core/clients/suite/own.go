package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// own is a client's own tests: they ship in its module, and run from a copy of
// it against a broker of their own.
type own struct {
	name   string
	module string
	pkg    string   // of the module
	env    []string // $ADDR is where the broker listens
	args   []string // of go test
	// replace is what is written otherwise in the copy; with $PORT, the
	// broker's, the broker is called localhost, as such tests expect.
	replace map[string]string
	// proxies is how many toxiproxies stand before the broker, which tells
	// clients of the first; $PROXIES is the port below theirs, $TOXIPROXY where
	// they are told what to do.
	proxies int
	set     []string // the broker's settings
	// listed is the file of what cannot pass here, each with its reason. What
	// fails, or skips itself, and does not stand there is a fault.
	listed string
}

// client is the name by which RUN picks the tests.
func (o own) client() string { return filepath.Base(o.module) }

func owns() []own {
	franz := own{
		name: "franz-go's own", module: "github.com/twmb/franz-go", pkg: "./pkg/kgo", listed: "core/clients/franz-go.txt",
		env:  []string{"KGO_SEEDS=$ADDR", "KGO_LOG_LEVEL=none", "KGO_TEST_RF=1", "KGO_TEST_RECORDS=50000"},
		args: []string{"-timeout=6m"},
	}
	chaos := franz // every connection of the tests dies within seconds
	chaos.name += ", chaos"
	chaos.env = append([]string{"KGO_TEST_CHAOS=1"}, franz.env...)
	return []own{franz, chaos, {
		name: "kafka-go's own", module: "github.com/segmentio/kafka-go", pkg: ".", listed: "core/clients/kafka-go.txt",
		replace: map[string]string{"9092": "$PORT"},
		set:     []string{"log.cleaner.backoff.ms=1000"}, // one of the tests waits for it
		// As its own CI does: nettest has deadlines that a loaded machine misses.
		env: []string{"KAFKA_VERSION=3.7.0", "KAFKA_SKIP_NETTEST=1"},
		// Those that are not run end the whole run, or pass by chance: see the
		// list. Others count on being run at the same time.
		args: []string{"-timeout=5m", "-parallel=10", "-skip=TestReaderConsumerGroup/(verify_offset_committed|consumer_group_commits_on_close|consumer_group_rebalance$)"},
	}, {
		name: "sarama's own", module: "github.com/IBM/sarama", pkg: ".", listed: "core/clients/sarama.txt",
		replace: map[string]string{"ReplicationFactor: 3": "ReplicationFactor: 1", "29090": "$PROXIES"},
		proxies: 5, set: []string{"auto.create.topics.enable=false"},
		env:  []string{"TOXIPROXY_ADDR=http://$TOXIPROXY", "KAFKA_VERSION=4.1.0"},
		args: []string{"-timeout=6m", "-tags=functional", "-run=^Test(Func|VersionMatrix|ConsumerHigh|ConsumerPartial|ConsumerGroupDead|ConsumerFetch|ReadOnly|Interceptors|AsyncProducerRemote|Java)"},
	}}
}

// exceptions reads lines of a test's name and the reason why it does not pass;
// a name covers the tests below it, and * stands for anything.
func exceptions(file string, content []byte) (map[string]string, error) {
	all := map[string]string{}
	for i, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, " ")
		if !ok {
			return nil, fmt.Errorf("%s:%d: %s is listed without a reason", file, i+1, name)
		}
		all[name] = strings.TrimSpace(reason)
	}
	return all, nil
}

func excepted(all map[string]string, test string) bool {
	for {
		for pattern := range all {
			if ok, _ := filepath.Match(pattern, test); ok {
				return true
			}
		}
		i := strings.LastIndexByte(test, '/')
		if i < 0 {
			return false
		}
		test = test[:i]
	}
}

// over says whether test only failed, or was skipped, for one below it.
func over(all map[string]string, failed map[string]bool, test string) bool {
	for below := range failed {
		if strings.HasPrefix(below, test+"/") && excepted(all, below) {
			return true
		}
	}
	return false
}

// ownTests runs a client's own tests.
func (s *suite) ownTests(ctx context.Context, o own) []string {
	fault := func(format string, args ...any) []string {
		return []string{"FAIL " + o.name + ": " + fmt.Sprintf(format, args...)}
	}
	content, err := os.ReadFile(o.listed)
	if err != nil {
		return fault("%v", err)
	}
	listed, err := exceptions(o.listed, content)
	if err != nil {
		return fault("%v", err)
	}
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", o.module).Output()
	dir, version, ok := strings.Cut(strings.TrimSpace(string(module)), " ")
	if err != nil || !ok {
		return fault("go list -m: %v: %s", err, module)
	}
	tmp, err := os.MkdirTemp("", "millrace-own-")
	if err != nil {
		return fault("%v", err)
	}
	defer os.RemoveAll(tmp)
	// The module cache cannot be written to, and `go test` wants a main module.
	src := filepath.Join(tmp, "src")
	if out, err := exec.CommandContext(ctx, "sh", "-c", `cp -r "$0" "$1" && chmod -R u+w "$1"`, dir, src).CombinedOutput(); err != nil {
		return fault("%s", out)
	}
	// One port for the broker, and those of the proxies and their master after it.
	port, err := freePorts(o.proxies + 2)
	if err != nil {
		return fault("%v", err)
	}
	addr, known := fmt.Sprintf("127.0.0.1:%d", port), port
	master := fmt.Sprintf("127.0.0.1:%d", port+o.proxies+1)
	fill := strings.NewReplacer("$ADDR", addr, "$PORT", strconv.Itoa(port), "$PROXIES", strconv.Itoa(port), "$TOXIPROXY", master)
	if o.proxies > 0 {
		end, err := s.toxiproxy(ctx, tmp, addr, master, port, o.proxies)
		if err != nil {
			s.missing = append(s.missing, fmt.Sprintf("%s: toxiproxy: %v", o.name, err))
			return nil
		}
		defer end()
		known = port + 1
	}
	for from, to := range o.replace {
		if err := replace(filepath.Join(src, o.pkg), from, fill.Replace(to)); err != nil {
			return fault("%v", err)
		}
	}
	_, end, err := serve(ctx, s.root, addr, filepath.Join(tmp, "data"), append(o.set, fmt.Sprintf("advertised.listeners=localhost:%d", known))...)
	if err != nil {
		return fault("%v", err)
	}
	env := []string{"GOFLAGS=-mod=mod"}
	for _, e := range o.env {
		env = append(env, fill.Replace(e))
	}
	r := &row{client: o.name, version: strings.TrimPrefix(version, "v")}
	s.rows = append(s.rows, r)
	began := time.Now()
	var faults []string
	forgiven := map[string]bool{}
	log := strings.NewReplacer("'", "", ", ", "-", " ", "-").Replace(o.name)
	err = s.goTest(ctx, log, src, env, append(append([]string{"-count=1"}, o.args...), o.pkg), func(e event) {
		if e.Test == "" || e.Action != "pass" && e.Action != "fail" && e.Action != "skip" {
			return
		}
		if e.Action == "fail" && (excepted(listed, e.Test) || over(listed, forgiven, e.Test)) {
			e.Action = "skip"
			forgiven[e.Test] = true
		}
		r.count(e)
		if e.Action == "fail" || e.Action == "skip" && !excepted(listed, e.Test) && !forgiven[e.Test] {
			faults = append(faults, fmt.Sprintf("FAIL %s: %s: %s, and not listed in %s", o.name, e.Test, e.Action, o.listed))
		}
	})
	r.seconds = time.Since(began).Seconds()
	if err != nil && len(faults) == 0 && len(forgiven) == 0 {
		faults = append(faults, fault("%v", err)...)
	}
	if r.passed == 0 {
		faults = append(faults, fault("no test passed")...)
	}
	if err := end(); err != nil {
		faults = append(faults, fault("the broker did not stop cleanly: %v", err)...)
	}
	return faults
}

// freePorts is the first of n ports in a row that nobody listens on.
func freePorts(n int) (first int, err error) {
	for range 100 {
		var held []net.Listener
		addr := "127.0.0.1:0"
		for range n {
			var l net.Listener
			if l, err = net.Listen("tcp", addr); err != nil {
				break
			}
			held = append(held, l)
			addr = fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port+1)
		}
		for _, l := range held {
			_ = l.Close()
		}
		if err == nil {
			return held[0].Addr().(*net.TCPAddr).Port, nil
		}
	}
	return 0, err
}

// toxiproxy starts proxies kafka1, kafka2 and so on, on the ports after base.
func (s *suite) toxiproxy(ctx context.Context, tmp, upstream, master string, base, n int) (end func(), err error) {
	const module = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"
	program := filepath.Join(s.dir, "toxiproxy-2.12.0", "server")
	if _, err := os.Stat(program); err != nil {
		fmt.Fprintln(os.Stderr, "installing toxiproxy, from the Go proxy")
		if err := s.command(ctx, "toxiproxy", []string{"env", "GOBIN=" + filepath.Dir(program), "go", "install", module}); err != nil {
			return nil, err
		}
	}
	var proxies []map[string]any
	for i := 1; i <= n; i++ {
		proxies = append(proxies, map[string]any{"name": fmt.Sprintf("kafka%d", i), "listen": fmt.Sprintf("127.0.0.1:%d", base+i), "upstream": upstream, "enabled": true})
	}
	config := filepath.Join(tmp, "toxiproxy.json")
	content, err := json.Marshal(proxies)
	if err == nil {
		err = os.WriteFile(config, content, 0o644)
	}
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(master)
	cmd := exec.CommandContext(ctx, program, "-host", host, "-port", port, "-config", config)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}, nil
}

// replace writes something else into a folder's sources.
func replace(dir, from, to string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, bytes.ReplaceAll(content, []byte(from), []byte(to)), 0o644)
	})
}

// serve starts a broker and answers where it listens, and what stops it.
func serve(ctx context.Context, root, listen, data string, settings ...string) (string, func() error, error) {
	var errs bytes.Buffer
	args := []string{"serve", "--listen", listen, "--data", data, "--set", "group.initial.rebalance.delay.ms=0"}
	for _, set := range settings {
		args = append(args, "--set", set)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "millrace"), args...)
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("%w; build it first: make build", err)
	}
	r := bufio.NewReader(out)
	line, _ := r.ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return "", nil, fmt.Errorf("serve: %q\n%s", line, errs.String())
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return addr, func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	}, nil
}
