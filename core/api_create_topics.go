package core

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// CreateTopics, v2 to v7: each topic of the request on its own, those without a
// fault together in one change of the metadata.
//
//   - partitions -1: num.partitions. Replication factor -1 or 1.
//   - v5 tells the partitions and settings of what was made, v7 its id.
//   - validate only: everything is checked and told, nothing is made.
//   - More than 10,000 partitions in one request: POLICY_VIOLATION for all of it.
//   - controller_mutation_rate (KIP-599) is charged with each topic's partitions, as
//     in the two other requests that change how many there are. Above it v6 answers
//     THROTTLING_QUOTA_EXCEEDED; earlier versions make, and wait.
//   - Checked in Kafka's order: named twice, name, exists, settings,
//     assignments, replication factor, partitions.
func createTopics(c *call, req *kmsg.CreateTopicsRequest) (*kmsg.CreateTopicsResponse, error) {
	resp := kmsg.NewPtrCreateTopicsResponse()
	twice := map[string]int{}
	total := 0
	for i := range req.Topics {
		twice[req.Topics[i].Topic]++
		total += max(int(req.Topics[i].NumPartitions), len(req.Topics[i].ReplicaAssignment), 1)
	}
	if total > MaxPartitions {
		for _, name := range slices.Sorted(maps.Keys(twice)) {
			out := kmsg.NewCreateTopicsResponseTopic()
			out.Topic, out.ErrorCode, out.ErrorMessage = name, kerr.PolicyViolation.Code, kmsg.StringPtr(tooManyPartitions)
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil
	}
	// The answers are made inside the change: whether a topic exists is
	// decided there.
	err := c.change(func(image *meta.Image) ([]meta.Record, error) {
		resp.Topics = resp.Topics[:0]
		var records []meta.Record
		made := map[string]bool{}
		for i := range req.Topics {
			asked := &req.Topics[i]
			out := kmsg.NewCreateTopicsResponseTopic()
			out.Topic = asked.Topic
			if twice[asked.Topic] > 1 {
				if made[asked.Topic] {
					continue
				}
				made[asked.Topic] = true
				out.ErrorCode, out.ErrorMessage = kerr.InvalidRequest.Code, kmsg.StringPtr("Duplicate topic name.")
				resp.Topics = append(resp.Topics, out)
				continue
			}
			record, fault := c.newTopic(image, asked)
			if fault == nil {
				fault = c.mutated(record.Partitions, 6)
			}
			if fault != nil {
				out.ErrorCode, out.ErrorMessage = fault.code, fault.text()
				out.ConfigErrorCode = 0
				resp.Topics = append(resp.Topics, out)
				continue
			}
			if !req.ValidateOnly {
				records = append(records, record)
			}
			out.TopicID = record.ID // of one that is only validated too: so does Kafka
			out.NumPartitions, out.ReplicationFactor = int32(record.Partitions), 1
			for _, s := range c.topicListing(record.Configs) {
				o := kmsg.NewCreateTopicsResponseTopicConfig()
				o.Name, o.Value, o.ReadOnly, o.Source = s.name, kmsg.StringPtr(s.value), s.readOnly, int8(s.source)
				out.Configs = append(out.Configs, o)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return records, nil
	})
	if err != nil {
		f := changeFault(err)
		for i := range resp.Topics {
			if t := &resp.Topics[i]; t.ErrorCode == 0 {
				t.ErrorCode, t.ErrorMessage = f.code, f.text()
			}
		}
	}
	return resp, nil
}

// tooManyPartitions is what Kafka says to a request for more than MaxPartitions.
const tooManyPartitions = "Excessively large number of partitions per request."

// fault is an answer's error: Kafka's code, and words where it has them.
type fault struct {
	code    int16
	message string
}

func (f *fault) text() *string {
	if f.message == "" {
		return nil
	}
	return &f.message
}

func faultf(e *kerr.Error, format string, args ...any) *fault {
	return &fault{e.Code, fmt.Sprintf(format, args...)}
}

// changeFault is the answer to a change that could not be made.
func changeFault(err error) *fault {
	if errors.Is(err, errStopping) {
		return faultf(kerr.BrokerNotAvailable, "%v", err)
	}
	return faultf(kerr.KafkaStorageError, "%v", err)
}

// newTopic checks a topic to be made.
func (b *Broker) newTopic(image *meta.Image, asked *kmsg.CreateTopicsRequestTopic) (meta.TopicCreated, *fault) {
	none := meta.TopicCreated{}
	if f := topicNameFault(asked.Topic); f != "" {
		return none, faultf(kerr.InvalidTopicException, "%s", f)
	}
	if image.Topic(asked.Topic) != nil {
		return none, faultf(kerr.TopicAlreadyExists, "Topic '%s' already exists.", asked.Topic)
	}
	if other := collision(image, asked.Topic); other != "" {
		return none, faultf(kerr.InvalidTopicException, "Topic '%s' collides with existing topic: %s", asked.Topic, other)
	}
	configs, f := topicConfigs(asked.Configs)
	if f != nil {
		return none, f
	}
	if _, err := b.live.Load().topicSettings(configs); err != nil {
		return none, faultf(kerr.InvalidConfig, "%s", oneLine(err))
	}
	partitions := int(asked.NumPartitions)
	switch {
	case len(asked.ReplicaAssignment) > 0:
		if asked.ReplicationFactor != -1 {
			return none, faultf(kerr.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
		}
		if asked.NumPartitions != -1 {
			return none, faultf(kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
		}
		if f := b.checkAssignment(asked.ReplicaAssignment); f != nil {
			return none, f
		}
		partitions = len(asked.ReplicaAssignment)
	case asked.ReplicationFactor < -1 || asked.ReplicationFactor == 0:
		return none, faultf(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	case partitions < -1 || partitions == 0:
		return none, faultf(kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	case asked.ReplicationFactor > 1:
		return none, faultf(kerr.InvalidReplicationFactor,
			"Unable to replicate the partition %d time(s): The target replication factor of %[1]d cannot be reached because only 1 broker(s) are registered.",
			asked.ReplicationFactor)
	}
	if partitions == -1 {
		partitions = b.cfg.Partitions
	}
	return meta.TopicCreated{Name: asked.Topic, ID: meta.NewID(), Partitions: partitions, Node: b.node, Configs: configs}, nil
}

func topicConfigs(asked []kmsg.CreateTopicsRequestTopicConfig) (map[string]string, *fault) {
	if len(asked) == 0 {
		return nil, nil
	}
	configs := make(map[string]string, len(asked))
	for _, cfg := range asked {
		if cfg.Value == nil {
			return nil, faultf(kerr.InvalidConfig, "Null value not supported for topic configs: %s", cfg.Name)
		}
		configs[cfg.Name] = *cfg.Value
	}
	return configs, nil
}

func (b *Broker) checkAssignment(assignment []kmsg.CreateTopicsRequestTopicReplicaAssignment) *fault {
	seen := map[int32]bool{}
	for _, a := range assignment {
		if seen[a.Partition] {
			return faultf(kerr.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.Partition)
		}
		seen[a.Partition] = true
		if f := b.checkReplicas(a.Replicas); f != nil {
			return f
		}
	}
	for i := range assignment {
		if !seen[int32(i)] {
			return faultf(kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
	}
	return nil
}

// checkReplicas: this broker, once.
func (b *Broker) checkReplicas(replicas []int32) *fault {
	if len(replicas) == 0 {
		return faultf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	for i, r := range replicas {
		if r != b.node {
			return faultf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", r)
		}
		if i > 0 {
			return faultf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", r)
		}
	}
	return nil
}

// collision finds a topic whose name differs from name only in '.' and '_',
// which Kafka's metrics cannot tell apart; "": none.
func collision(image *meta.Image, name string) string {
	if !strings.ContainsAny(name, "._") {
		return ""
	}
	folded := strings.ReplaceAll(name, ".", "_")
	for _, t := range image.Topics() {
		if t.Name != name && strings.ReplaceAll(t.Name, ".", "_") == folded {
			return t.Name
		}
	}
	return ""
}

// autoCreate makes the topics that a client asked for by name, as far as its
// controller_mutation_rate lets it. What fails is logged; the client sees that the
// topic is still not there. back are those that are back after they had been
// deleted.
func (c *call) autoCreate(names []string) (back map[string]bool) {
	err := c.change(func(image *meta.Image) ([]meta.Record, error) {
		var records []meta.Record
		seen := map[string]bool{}
		back = map[string]bool{}
		for _, name := range names {
			if seen[name] || image.Topic(name) != nil || len(records)*c.cfg.Partitions >= MaxPartitions {
				continue
			}
			seen[name] = true
			back[name] = c.graves.forget(name)
			if internalTopic(name) {
				records = append(records, c.newStateTopic(name))
				continue
			}
			asked := kmsg.NewCreateTopicsRequestTopic()
			asked.Topic, asked.NumPartitions, asked.ReplicationFactor = name, -1, -1
			record, f := c.newTopic(image, &asked)
			if f == nil {
				f = c.mutated(record.Partitions, 0)
			}
			if f != nil {
				c.log.Warn("not creating a topic that a client asked for", "topic", name, "err", cmp.Or(f.message, kerr.ErrorForCode(f.code).Error()))
				continue
			}
			records = append(records, record)
		}
		return records, nil
	})
	if err != nil {
		c.log.Error("could not create topics that a client asked for", "topics", names, "err", err)
	}
	return back
}

// oneLine joins what errors.Join has put on lines.
func oneLine(err error) string {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
