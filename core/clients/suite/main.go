// Suite installs Kafka's clients, drives the binary with all of them, and prints
// a table: client, version, result. It is what `make test-clients` runs.
//
// The nouns. A kit is what has to be installed for some clients, and how. A part
// is a run of tests: those of core/clients, and those that clients ship. What cannot be
// fetched is named in the end and fails nothing; what was fetched before is used
// without a network.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	only := flag.String("only", "", "the kits to install, by name, comma-separated; none: only what Go has (default: all)")
	run := flag.String("run", "", "run only those tests of core/clients that match; or clients' own tests: franz-go|kafka-go|sarama|librdkafka")
	list := flag.Bool("list", false, "list the kits and end")
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, "Drives bin/millrace with every Kafka client that can be installed.\n\n"+
			"  make test-clients\n  make test-clients ONLY=java-4.1.0,kafkajs RUN=TestDriver\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := 0
	if *list {
		for _, k := range kits() {
			fmt.Printf("%-18s %s\n", k.name, k.what)
		}
	} else if err := drive(ctx, *only, *run); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	stop()
	os.Exit(code)
}

// bound is how long the whole may take: a suite that hangs ends.
const bound = 35 * time.Minute

func drive(ctx context.Context, only, run string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("not done within %s", bound))
	defer cancel()
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := os.Stat("core/clients/suite"); err != nil {
		return errors.New("run it where the module's go.mod is: make test-clients")
	}
	wanted, err := choose(kits(), only)
	if err != nil {
		return err
	}
	s := &suite{root: root, dir: filepath.Join(root, ".build", "clients"), ready: map[string]bool{}}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	for _, k := range wanted {
		if err := s.install(ctx, k); err != nil {
			return err
		}
	}
	if s.rows, err = goClients(ctx); err != nil {
		return err
	}
	manifest := filepath.Join(s.dir, "clients.json")
	content, err := json.MarshalIndent(s.installed, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(manifest, content, 0o644); err != nil {
		return err
	}
	for _, d := range s.installed.Drivers {
		s.rows = append(s.rows, &row{client: d.Name, version: d.version, in: []string{plain(d.Name)}})
	}

	var faults []string
	names := strings.Split(run, "|")
	owned := slices.DeleteFunc(owns(), func(o own) bool { return run != "" && !slices.Contains(names, o.client()) })
	rdk := s.ready["librdkafka"] && (run == "" || slices.Contains(names, "librdkafka"))
	if run == "" || len(owned) == 0 && !rdk {
		faults = s.testClients(ctx, manifest, run)
	} else {
		s.rows = nil // nothing but clients' own tests is asked for
	}
	for _, o := range owned {
		if ctx.Err() == nil {
			faults = append(faults, s.ownTests(ctx, o)...)
		}
	}
	if rdk && ctx.Err() == nil {
		faults = append(faults, s.rdkOwn(ctx)...)
	}
	s.print(os.Stdout)
	for _, f := range faults {
		fmt.Println(f)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(faults) > 0 || slices.ContainsFunc(s.rows, func(r *row) bool { return r.failed > 0 }) {
		return fmt.Errorf("FAIL; the whole output is in %s", rel(root, filepath.Join(s.dir, "*.log")))
	}
	fmt.Println("PASS")
	return nil
}

// choose is those of all whose names stand in only.
func choose(all []kit, only string) ([]kit, error) {
	switch only {
	case "":
		return all, nil
	case "none":
		return nil, nil
	}
	var some []kit
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(k kit) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no kit %q; `make test-clients LIST=1` lists them", name)
		}
		some = append(some, all[i])
	}
	return some, nil
}

func rel(root, path string) string {
	if r, err := filepath.Rel(root, path); err == nil {
		return r
	}
	return path
}
