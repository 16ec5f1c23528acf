package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// kit is what some clients need, and how it is installed. Commands run in the
// module's root, with $DIR, the folder for what is built, expanded.
type kit struct {
	name  string
	what  string
	needs []string // programs
	// inputs are the files that decide what is fetched: as long as they are the
	// same, it is not fetched again.
	inputs []string
	// fetch may fail for want of a registry; build is of what is here and may not.
	fetch, build [][]string
	drivers      []driver
	kafka        []kafka
}

// debian is the package that has a program.
var debian = map[string]string{
	"gcc": "gcc", "g++": "g++", "make": "make", "java": "default-jre-headless", "javac": "default-jdk-headless", "mvn": "maven",
	"python3": "python3-venv", "node": "nodejs", "npm": "npm",
}

// driver and kafka are as core/clients reads them.
type driver struct {
	Name string   `json:"name"`
	Argv []string `json:"argv"`

	version string
}

type kafka struct {
	Version string `json:"version"`
	Jars    string `json:"jars"`
	Classes string `json:"classes"`
}

func kits() []kit {
	const py = "core/clients/python/"
	python := kit{
		name: "python", what: "confluent-kafka, kafka-python and aiokafka, from PyPI",
		needs: []string{"python3"}, inputs: []string{py + "requirements.txt"},
		fetch: [][]string{
			{"python3", "-m", "venv", "$DIR/python"},
			{"$DIR/python/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", py + "requirements.txt"},
		},
	}
	for _, c := range [][2]string{{"confluent-python", "confluent"}, {"kafka-python", "kafka_python"}, {"aiokafka", "aio"}} {
		python.drivers = append(python.drivers, driver{Name: c[0], Argv: []string{"$DIR/python/bin/python", "$ROOT/" + py + c[1] + ".py"}})
	}
	return []kit{
		{
			name: "confluent-go", what: "confluent-kafka-go, with librdkafka in it, from the Go proxy",
			needs: []string{"gcc"}, inputs: []string{"core/clients/confluent/go.mod"},
			fetch:   [][]string{{"go", "-C", "core/clients/confluent", "mod", "download", "github.com/confluentinc/confluent-kafka-go/v2"}},
			build:   [][]string{{"env", "CGO_ENABLED=1", "go", "-C", "core/clients/confluent", "build", "-o", "$DIR/confluent-go", "."}},
			drivers: []driver{{Name: "confluent-go", Argv: []string{"$DIR/confluent-go"}}},
		},
		java("3.9.1"),
		java("4.1.0"),
		python,
		{
			name: "kafkajs", what: "kafkajs, from npm", needs: []string{"node", "npm"},
			inputs:  []string{"core/clients/kafkajs/package-lock.json"},
			fetch:   [][]string{{"npm", "--prefix", "core/clients/kafkajs", "ci", "--silent"}},
			drivers: []driver{{Name: "kafkajs", Argv: []string{"node", "$ROOT/core/clients/kafkajs/suite.js"}}},
		},
		{
			name: "platformatic", what: "@platformatic/kafka, from npm", needs: []string{"node", "npm"},
			inputs:  []string{"core/clients/platformatic/package-lock.json"},
			fetch:   [][]string{{"npm", "--prefix", "core/clients/platformatic", "ci", "--silent"}},
			drivers: []driver{{Name: "platformatic", Argv: []string{"node", "$ROOT/core/clients/platformatic/suite.js"}}},
		},
		librdkafka(),
	}
}

func java(version string) kit {
	const src = "core/clients/java/"
	jars, classes := "$ROOT/.build/kafka/"+version, "$DIR/java-"+version
	return kit{
		name: "java-" + version, what: "Apache Kafka's client, tools, Streams and Connect, from Maven Central",
		needs: []string{"java", "javac", "mvn"}, inputs: []string{src + "pom.xml"},
		fetch: [][]string{{"mvn", "-q", "-B", "-ntp", "-f", src + "pom.xml", "dependency:copy-dependencies", "-DincludeScope=runtime",
			"-Dkafka.version=" + version, "-DoutputDirectory=" + jars}},
		build: [][]string{{"javac", "-nowarn", "-Xlint:none", "-cp", jars + "/*", "-d", classes, src + "Driver.java", src + "WordCount.java"}},
		drivers: []driver{{Name: "java-" + version, Argv: []string{"java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-Dlog4j2.configurationFile=$ROOT/" + src + "log4j2.properties", "-cp", classes + ":" + jars + "/*", "Driver"}}},
		kafka: []kafka{{Version: version, Jars: jars + "/*", Classes: classes}},
	}
}

// install makes a kit's clients ready. Only what is wrong with our own sources
// is an error; what cannot be had is noted.
func (s *suite) install(ctx context.Context, k kit) error {
	for _, p := range k.needs {
		if exec.CommandContext(ctx, ".ci/need", p, debian[p], k.what).Run() != nil {
			s.missing = append(s.missing, fmt.Sprintf("%s: no %s on the PATH", k.name, p))
			return nil
		}
	}
	stamp, hash := filepath.Join(s.dir, k.name+".stamp"), sha256.New()
	for _, f := range k.inputs {
		content, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		hash.Write(content)
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	if have, _ := os.ReadFile(stamp); string(have) != sum {
		fmt.Fprintf(os.Stderr, "installing %s: %s\n", k.name, k.what)
		for _, argv := range k.fetch {
			if err := s.command(ctx, k.name, argv); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				s.missing = append(s.missing, fmt.Sprintf("%s: could not be fetched: %v", k.name, err))
				return nil
			}
		}
		if err := os.WriteFile(stamp, []byte(sum), 0o644); err != nil {
			return err
		}
	}
	for _, argv := range k.build {
		if err := s.command(ctx, k.name, argv); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	for _, d := range k.drivers {
		d.Argv = s.expand(d.Argv)
		var err error
		if d.version, err = hello(ctx, d.Argv); err != nil {
			return fmt.Errorf("%s is installed, but does not start: %w (rm -r .build/clients installs all anew)", d.Name, err)
		}
		s.installed.Drivers = append(s.installed.Drivers, d)
	}
	for _, j := range k.kafka {
		e := s.expand([]string{j.Jars, j.Classes})
		s.installed.Kafka = append(s.installed.Kafka, kafka{j.Version, e[0], e[1]})
	}
	s.ready[k.name] = true
	return nil
}

func (s *suite) expand(argv []string) (out []string) {
	for _, a := range argv {
		out = append(out, strings.NewReplacer("$DIR", s.dir, "$ROOT", s.root).Replace(a))
	}
	return out
}

// command runs one step, its output to the kit's log; the error is its last line.
func (s *suite) command(ctx context.Context, name string, argv []string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	argv = s.expand(argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out, err := cmd.CombinedOutput()
	if werr := os.WriteFile(filepath.Join(s.dir, name+"-install.log"), out, 0o644); werr != nil {
		return werr
	}
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return fmt.Errorf("%s: %w: %.200s", filepath.Base(argv[0]), err, lines[len(lines)-1])
}

// hello starts a driver, asks its version, and ends it.
func hello(ctx context.Context, argv []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(`{"op":"hello"}`+"\n"), &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %.300s", err, errs.String())
	}
	line, _ := bufio.NewReader(bytes.NewReader(out)).ReadBytes('\n')
	var a struct{ Version string }
	if err := json.Unmarshal(line, &a); err != nil || a.Version == "" {
		return "", fmt.Errorf("it does not say its version: %.300s", out)
	}
	return a.Version, nil
}
