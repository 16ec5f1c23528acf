package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	rdkName = "librdkafka's own"
	// rdkKnown lists what of librdkafka's own tests is left out.
	rdkKnown = "core/clients/librdkafka/skipped.txt"
	// rdkPackage has librdkafka's source with its tests in it, as its 2.15.1.
	rdkPackage = "@confluentinc/kafka-javascript@1.10.1"
)

// librdkafka is its source with the tests that come with it. One line of them is
// changed: topics are made with one replica, where some tests ask for three.
func librdkafka() kit {
	const src = "$DIR/librdkafka"
	return kit{
		name: "librdkafka", what: "librdkafka's own tests, with its source, from npm",
		needs:  []string{"gcc", "g++", "make", "npm"},
		inputs: []string{"core/clients/librdkafka/SHA256SUMS"},
		fetch: [][]string{
			{"npm", "pack", "--silent", "--pack-destination", "$DIR", rdkPackage},
			{"sh", "-c", `cd "$DIR" && sha256sum --quiet -c "$ROOT/core/clients/librdkafka/SHA256SUMS"`},
			{"sh", "-c", `rm -rf "` + src + `" && mkdir "` + src + `" && tar xzf "$DIR"/confluentinc-kafka-javascript-*.tgz -C "` + src + `" --strip-components=3 package/deps/librdkafka`},
			{"sed", "-i", `s/_new(topicname, partition_cnt, replication_factor,$/_new(topicname, partition_cnt, 1,/`, src + "/tests/test.c"},
			{"sh", "-c", `cd "` + src + `" && ./configure --disable-ssl --disable-gssapi --disable-curl --disable-lz4-ext --disable-optimization`},
		},
		build: [][]string{{"make", "-s", "-C", src, "-j3", "libs"}, {"make", "-s", "-C", src + "/tests", "-j3", "build"}},
	}
}

// rdkCall is one run of librdkafka's test-runner.
type rdkCall struct {
	name string
	// tests are the numbers of those to run; empty: all that are not listed.
	tests string
	// part has only those parts of a test run that have it in their names.
	part string
	// protocol is that of the groups: classic, or consumer for KIP-848.
	protocol string
	// scenario is librdkafka's name for what the broker is set up as.
	scenario string
	args     []string
}

const (
	// rdkGroups are the tests with groups in them.
	rdkGroups = "0018,0019,0026,0029,0030,0033,0040,0045,0050,0051,0056,0069,0089,0091,0099,0113,0118,0122,0130,0137,0140"
	// rdkWhole are those of which little is left by -Q.
	rdkWhole = "0045,0082,0102,0122,0137"
	// rdkWholeConsumer has no 0045, where librdkafka 2.15 subscribes and
	// unsubscribes at once, many times over, and at last does not join again:
	// answers as fast as ours find it amid a change. Kafka holds each back for
	// 5 ms (group.coordinator.append.linger.ms).
	rdkWholeConsumer = "0102,0122,0137"
)

func rdkCalls() []rdkCall {
	// -Q leaves out the longer parts of a test; without it all take a quarter of
	// an hour.
	calls := []rdkCall{
		{name: "classic", protocol: "classic", scenario: "default", args: []string{"-p8", "-Q"}},
		{name: "consumer", protocol: "consumer", scenario: "default", tests: rdkGroups, args: []string{"-p6", "-Q"}},
		{name: "whole", protocol: "classic", scenario: "default", tests: rdkWhole, args: []string{"-p6"}},
		{name: "whole-consumer", protocol: "consumer", scenario: "default", tests: rdkWholeConsumer, args: []string{"-p6"}},
		{name: "noautocreate", protocol: "classic", scenario: "noautocreate", args: []string{"-p3"}},
	}
	for _, part := range []string{"Topics", "Partitions", "Configs", "Records", "Cluster", "Groups", "Offsets"} {
		calls = append(calls, rdkCall{name: "admin-" + part, protocol: "classic", scenario: "default", tests: "0081", part: part, args: []string{"-p1", "-Q"}})
	}
	return calls
}

// rdkOwn runs librdkafka's own tests, without those that need no broker, or
// librdkafka's mock of one. What fails is run once more, alone: many of these tests give the broker,
// and themselves, a second.
func (s *suite) rdkOwn(ctx context.Context) (faults []string) {
	fault := func(format string, args ...any) []string {
		return append(faults, "FAIL "+rdkName+": "+fmt.Sprintf(format, args...))
	}
	content, err := os.ReadFile(rdkKnown)
	if err != nil {
		return fault("%v", err)
	}
	listed, err := exceptions(rdkKnown, content)
	if err != nil {
		return fault("%v", err)
	}
	tmp, err := os.MkdirTemp("", "millrace-librdkafka-")
	if err != nil {
		return fault("%v", err)
	}
	defer os.RemoveAll(tmp)
	r := &row{client: rdkName, version: s.rdkVersion()}
	s.rows = append(s.rows, r)
	began := time.Now()
	defer func() { r.seconds = time.Since(began).Seconds() }()

	var (
		lock    sync.Mutex
		again   []rdkCall
		wait    sync.WaitGroup
		running = make(chan bool, 3)
	)
	for _, c := range rdkCalls() {
		wait.Go(func() {
			running <- true
			defer func() { <-running }()
			ends, err := s.rdkRun(ctx, c, tmp, listed)
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				faults = fault("%s: %v", c.name, err)
			}
			for _, e := range ends {
				if e.state == "FAILED" {
					c := c
					c.name, c.tests, c.args = c.name+"-"+e.test, e.test[:4], []string{"-p1"}
					again = append(again, c)
					continue
				}
				faults = append(faults, r.rdkCount(c, e, listed)...)
			}
		})
	}
	wait.Wait()
	for _, c := range again {
		if ctx.Err() != nil || len(again) > rdkAgain {
			faults = fault("%s", c.name)
			r.failed++
			continue
		}
		ends, err := s.rdkRun(ctx, c, tmp, listed)
		if err != nil {
			faults = fault("%s: %v", c.name, err)
		}
		for _, e := range ends {
			if strings.HasSuffix(c.name, "-"+e.test) {
				faults = append(faults, r.rdkCount(c, e, listed)...)
			}
		}
	}
	return faults
}

// rdkAgain is how many tests may fail at their first try.
const rdkAgain = 5

// rdkEnd is how a test ended, and why.
type rdkEnd struct{ test, state, why string }

func (r *row) rdkCount(c rdkCall, e rdkEnd, listed map[string]string) []string {
	switch {
	case e.state == "PASSED":
		r.passed++
	case e.state != "SKIPPED":
		r.failed++
		return []string{fmt.Sprintf("FAIL %s: %s: %s: %s", rdkName, c.name, e.test, e.why)}
	case excepted(listed, e.test):
		r.skipped++
	default:
		r.skipped++
		return []string{fmt.Sprintf("FAIL %s: %s: %s skips itself (%s), and is not listed in %s", rdkName, c.name, e.test, e.why, rdkKnown)}
	}
	return nil
}

// rdkRun runs a call against a broker of its own: subscriptions by pattern find
// the topics of all tests at once.
func (s *suite) rdkRun(ctx context.Context, c rdkCall, tmp string, listed map[string]string) (ends []rdkEnd, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	// A group waits a little, so that members which start together are in one
	// generation; three seconds, as by default, are not needed for that.
	addr, end, err := serve(ctx, s.root, "127.0.0.1:0", filepath.Join(tmp, c.name), "num.partitions=4", "group.initial.rebalance.delay.ms=300",
		"auto.create.topics.enable="+strconv.FormatBool(c.scenario == "default"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := end(); e != nil && err == nil {
			err = fmt.Errorf("the broker did not stop cleanly: %w", e)
		}
	}()
	dir := filepath.Join(s.dir, "librdkafka", "tests")
	conf := filepath.Join(tmp, c.name+".conf")
	if err := os.WriteFile(conf, []byte("bootstrap.servers="+addr+"\ntest.topic.random=true\ntest.timeout.multiplier=2\n"), 0o644); err != nil {
		return nil, err
	}
	env := append(os.Environ(),
		"RDKAFKA_TEST_CONF="+conf, "TEST_KAFKA_VERSION=4.1.0", "TEST_CONSUMER_GROUP_PROTOCOL="+c.protocol,
		"BROKERS="+addr, "KAFKA_PATH="+filepath.Join(s.root, "core", "clients", "librdkafka"),
		"LD_LIBRARY_PATH="+filepath.Join(dir, "..", "src")+":"+filepath.Join(dir, "..", "src-cpp"))
	if c.part != "" {
		env = append(env, "SUBTESTS="+c.part)
	}
	if c.tests != "" {
		env = append(env, "TESTS="+c.tests)
	} else {
		var numbers []string
		for test := range listed {
			numbers = append(numbers, test[:4])
		}
		slices.Sort(numbers)
		env = append(env, "TESTS_SKIP="+strings.Join(numbers, ","))
	}
	log, err := os.Create(filepath.Join(s.dir, "librdkafka-"+c.name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	var out bytes.Buffer
	// The runner dies where a peer is gone while it writes, and keeps its table
	// back until it ends, which may be in an abort.
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `trap "" PIPE; exec stdbuf -oL "$0" "$@"`,
		filepath.Join(dir, "test-runner"), "-L", "-s", c.scenario}, c.args...)...)
	// Statistics and core dumps land where the runner runs.
	both := io.MultiWriter(log, &out)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = tmp, env, both, both
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	fmt.Fprintf(os.Stderr, "%s: %s\n", rdkName, c.name)
	err = cmd.Run()
	ends = rdkEnds(out.String())
	if ctx.Err() != nil {
		return ends, fmt.Errorf("not done in five minutes: see %s", rel(s.root, log.Name()))
	}
	failed := slices.ContainsFunc(ends, func(e rdkEnd) bool { return e.state != "PASSED" && e.state != "SKIPPED" })
	if err != nil && !failed {
		return ends, fmt.Errorf("%w: see %s", err, rel(s.root, log.Name()))
	}
	if len(ends) == 0 {
		return nil, fmt.Errorf("no test ran: see %s", rel(s.root, log.Name()))
	}
	return ends, nil
}

var (
	rdkColor = regexp.MustCompile("\x1b\\[[0-9;]*m")
	rdkLine  = regexp.MustCompile(`^\|\s*(\d{4}_\S*)\s*\|\s*([A-Z]+)\s*\|\s*[0-9.]+s\s*\|?(.*)$`)
)

// rdkEnds reads the table at the end of the test-runner's output, without what
// was not to run: because we said so, or because it needs no broker.
func rdkEnds(out string) (ends []rdkEnd) {
	_, table, _ := strings.Cut(out, ") SUMMARY\n")
	for line := range strings.Lines(rdkColor.ReplaceAllString(table, "")) {
		m := rdkLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		e := rdkEnd{m[1], m[2], strings.Trim(m[3], "| ")}
		switch {
		case e.state == "SKIPPED" && (e.why == "" || strings.HasPrefix(e.why, "Filtered") || strings.HasPrefix(e.why, "not ") ||
			strings.HasPrefix(e.why, "included in TESTS_SKIP")):
		default:
			ends = append(ends, e)
		}
	}
	return ends
}

// rdkVersion is what the source says of itself.
func (s *suite) rdkVersion() string {
	content, err := os.ReadFile(filepath.Join(s.dir, "librdkafka", "CHANGELOG.md"))
	if err != nil {
		return "?"
	}
	line, _, _ := strings.Cut(string(content), "\n")
	if v := strings.TrimPrefix(line, "# librdkafka v"); v != line {
		return v
	}
	return strconv.Quote(line)
}
