package harness

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"millrace/internal/knob"
)

// driver reads a driver file.
func (o *omb) driver(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return &Faults{[]string{fmt.Sprintf("driver: %v", err)}}
	}
	d := &decoder{file: file, at: map[string]*yaml.Node{}}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil || len(doc.Content) == 0 {
		return &Faults{[]string{fmt.Sprintf("%s: no sound YAML: %v", file, err)}}
	}
	var name, class, topic, common, producer, consumer string
	var reset bool
	o.replicas = 1
	form := section{
		{"name", "", text(&name)},
		{"driverClass", "", text(&class)},
		{"replicationFactor", "", count(&o.replicas, -1, 100)},
		{"topicConfig", "", text(&topic)},
		{"commonConfig", "", text(&common)},
		{"producerConfig", "", text(&producer)},
		{"consumerConfig", "", text(&consumer)},
		{"reset", "", boolean(&reset)}, // what the lab makes it removes, always
	}
	form.decode(d, doc.Content[0], "")
	if class != "" && !strings.Contains(strings.ToLower(class), "kafka") {
		d.faultAt("driverClass", "driverClass %s: the lab speaks the Kafka protocol only", class)
	}
	for k, v := range properties(topic) {
		o.topic[k] = v
	}
	// What a Kafka client does where its driver says nothing.
	o.producers = map[string]any{"acks": "all", "linger": "0ms", "batch.size": "16KiB"}
	for _, part := range []struct{ at, text, client string }{
		{"commonConfig", common, "common"}, {"producerConfig", producer, "producer"}, {"consumerConfig", consumer, "consumer"}} {
		props := properties(part.text)
		for _, k := range sortedKeys(props) { // acks and enable.idempotence come before max.in.flight
			if err := o.property(part.client, k, props[k]); err != nil {
				d.faultAt(part.at, "%s: %s=%s: %v", part.at, k, props[k], err)
			}
		}
	}
	return d.err()
}

// properties reads the lines of a Java properties text.
func properties(lines string) map[string]string {
	m := map[string]string{}
	for _, line := range strings.Split(lines, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		if i := strings.IndexAny(line, "=:"); i > 0 {
			m[strings.TrimSpace(line[:i])] = strings.TrimSpace(line[i+1:])
		}
	}
	return m
}

// clientProperties is what clients' properties mean here, by their names in
// Kafka, and the unit in which their values are.
var clientProperties = map[string]map[string]struct{ path, unit string }{
	"producer": {
		"acks": {"acks", ""}, "linger.ms": {"linger", "ms"}, "batch.size": {"batch.size", "B"},
		"compression.type": {"compression", ""}, "enable.idempotence": {"idempotence", ""},
		"max.in.flight.requests.per.connection": {"max.in.flight", ""},
	},
	"consumer": {
		"fetch.min.bytes": {"fetch.min.bytes", "B"}, "fetch.max.bytes": {"fetch.max.bytes", "B"},
		"max.partition.fetch.bytes": {"max.partition.fetch.bytes", "B"}, "fetch.max.wait.ms": {"fetch.max.wait", "ms"},
		"session.timeout.ms": {"session.timeout", "ms"}, "auto.commit.interval.ms": {"commit.interval", "ms"},
		"isolation.level": {"isolation.level", ""}, "group.protocol": {"protocol", ""},
	},
}

// harmlessProperties do not shape the load: the clients here have ways of their
// own.
var harmlessProperties = []string{
	"bootstrap.servers", "client.id", "group.id", "default.api.timeout.ms", "request.timeout.ms", "delivery.timeout.ms", "max.block.ms",
	"retries", "retry.backoff.ms", "buffer.memory", "max.request.size", "metadata.max.age.ms", "connections.max.idle.ms",
	"auto.offset.reset", "enable.auto.commit", "max.poll.records", "max.poll.interval.ms", "heartbeat.interval.ms", "check.crcs",
	"partition.assignment.strategy", "key.serializer", "value.serializer", "key.deserializer", "value.deserializer",
	"send.buffer.bytes", "receive.buffer.bytes", "partitioner.class", "client.dns.lookup", "reconnect.backoff.ms", "reconnect.backoff.max.ms",
}

// property takes one over; client is producer, consumer or common to both.
func (o *omb) property(client, key, val string) error {
	if p, ok := clientProperties[client][key]; ok {
		into := o.producers
		if client == "consumer" {
			into = o.consumers
		}
		if key == "acks" && val == "-1" {
			val = "all"
		}
		if p.path == "max.in.flight" && o.producers["idempotence"] != "false" && o.producers["acks"] == "all" {
			o.note("%s=%s: with idempotence the client keeps up to 5 under way, and the order all the same", key, val)
			return nil
		}
		into[p.path] = val + p.unit
		return nil
	}
	secured := strings.HasPrefix(key, "security.") || strings.HasPrefix(key, "sasl.") || strings.HasPrefix(key, "ssl.")
	switch {
	case key == "bootstrap.servers":
		o.note("bootstrap.servers=%s: what is measured says --target (such as external:HOST:PORT)", val)
		return nil
	case slices.Contains(harmlessProperties, key) || key == "security.protocol" && val == "PLAINTEXT":
		return nil
	case secured:
		return fmt.Errorf("the lab's clients speak plain text only")
	case strings.HasPrefix(key, "transactional.") || strings.HasPrefix(key, "transaction."):
		return fmt.Errorf("it says not how many records make a transaction: add --set producers.transaction.records=100 and leave it out")
	}
	return fmt.Errorf("not a setting that the lab's clients have%s", knob.Suggest(key, append(sortedKeys(clientProperties[client]), harmlessProperties...)))
}
