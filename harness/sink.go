package harness

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"millrace/harness/load"
)

// newSink is a target that acknowledges everything and keeps nothing, in a
// process of its own: what a client reaches against it is the most that it
// reaches against any broker on this machine.
func newSink(binary string, s *Scenario, cpus *unix.CPUSet) *child {
	return &child{binary: binary, cpus: cpus, discards: s.Topics}
}

// ServeSink is the other side of it: it serves the topics, each NAME:PARTITIONS,
// until ctx ends. ready is told the address.
func ServeSink(ctx context.Context, listen string, topics []string, ready func(addr string)) error {
	var list []load.Topic
	for _, t := range topics {
		name, n, _ := strings.Cut(t, ":")
		partitions, err := strconv.Atoi(n)
		if err != nil || name == "" || partitions < 1 || partitions > 100_000 {
			return &Faults{[]string{fmt.Sprintf("--topic %s: write NAME:PARTITIONS, such as events:4", t)}}
		}
		list = append(list, load.Topic{Name: name, Partitions: partitions})
	}
	if len(list) == 0 {
		return &Faults{[]string{"a sink needs its topics (write --topic events:4)"}}
	}
	sink, err := load.ListenSink(listen, list)
	if err != nil {
		return err
	}
	defer sink.Close()
	ready(sink.Addr())
	<-ctx.Done()
	return nil
}
