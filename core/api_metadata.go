package core

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// Metadata, v0 to v13: brokers, and topics with their partitions.
//
//   - No topics named: v0 means all by an empty list; v1 and later mean all by
//     null and none by an empty list.
//   - A topic that is named twice is told once.
//   - Topics that do not exist are made where auto.create.topics.enable says
//     so and the client allows it (v4; before, it always does); otherwise
//     UNKNOWN_TOPIC_OR_PARTITION. Kafka says that too of one that it is just
//     making; here it is made before the answer and shown at once, unless it was
//     deleted before: who looks whether it is gone is to hear so.
//   - v10 tells topic ids; v12 lets a client ask by id, and never makes one of
//     an unknown id: UNKNOWN_TOPIC_ID. v13 has an error code of its own.
//   - v8 adds authorized operations when asked for; without ACLs, all.
//
// Answers are kept encoded: see metadataCache.
func metadata(c *call, view *view, req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	resp := kmsg.NewPtrMetadataResponse()
	host, port := c.advertised()
	resp.Brokers = []kmsg.MetadataResponseBroker{{NodeID: c.node, Host: host, Port: port}}
	resp.ClusterID = kmsg.StringPtr(c.dir.clusterID)
	resp.ControllerID = c.node
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	if allTopics(req) {
		for _, t := range view.image.Topics() {
			resp.Topics = append(resp.Topics, describeTopic(view, t, req))
		}
		return resp
	}
	now, back := view, map[string]bool(nil)
	if missing := missingTopics(c.Broker, view, req); len(missing) > 0 {
		back = c.autoCreate(missing)
		now = c.view.Load()
	}
	type name struct {
		id   [16]byte
		text string
	}
	told := make(map[name]bool, len(req.Topics))
	for i := range req.Topics {
		asked, in := &req.Topics[i], now
		n := name{id: asked.TopicID}
		if asked.Topic != nil {
			n.text = *asked.Topic
		}
		if told[n] {
			continue
		}
		told[n] = true
		if asked.Topic != nil && back[*asked.Topic] {
			in = view
		}
		resp.Topics = append(resp.Topics, findTopic(in, req, asked))
	}
	return resp
}

func allTopics(req *kmsg.MetadataRequest) bool {
	return req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
}

// missingTopics lists the topics that this request makes.
func missingTopics(b *Broker, view *view, req *kmsg.MetadataRequest) []string {
	if !b.cfg.AutoCreate || req.Version >= 4 && !req.AllowAutoTopicCreation {
		return nil
	}
	image := view.image
	var missing []string
	for i := range req.Topics {
		t := &req.Topics[i]
		if t.Topic != nil && t.TopicID == [16]byte{} && image.Topic(*t.Topic) == nil && topicNameFault(*t.Topic) == "" {
			missing = append(missing, *t.Topic)
		}
	}
	return missing
}

func findTopic(view *view, req *kmsg.MetadataRequest, asked *kmsg.MetadataRequestTopic) kmsg.MetadataResponseTopic {
	fault := func(code int16) kmsg.MetadataResponseTopic {
		t := kmsg.NewMetadataResponseTopic()
		t.ErrorCode, t.Topic, t.TopicID = code, asked.Topic, asked.TopicID
		if t.Topic == nil && req.Version < 12 {
			t.Topic = kmsg.StringPtr("")
		}
		return t
	}
	byID := asked.TopicID != [16]byte{}
	switch {
	case req.Version < 12 && (byID || asked.Topic == nil):
		return fault(kerr.InvalidRequest.Code)
	case byID:
		if t := view.image.TopicByID(asked.TopicID); t != nil {
			return describeTopic(view, t, req)
		}
		return fault(kerr.UnknownTopicID.Code)
	case asked.Topic == nil:
		return fault(kerr.InvalidRequest.Code)
	case topicNameFault(*asked.Topic) != "":
		return fault(kerr.InvalidTopicException.Code)
	}
	if t := view.image.Topic(*asked.Topic); t != nil {
		return describeTopic(view, t, req)
	}
	return fault(kerr.UnknownTopicOrPartition.Code)
}

func describeTopic(view *view, t *meta.Topic, req *kmsg.MetadataRequest) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic = kmsg.StringPtr(t.Name)
	out.TopicID = t.ID
	out.IsInternal = internalTopic(t.Name)
	if req.IncludeTopicAuthorizedOperations {
		out.AuthorizedOperations = topicOperations
	}
	live := view.byID[t.ID]
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for i, p := range t.Partitions {
		o := kmsg.NewMetadataResponseTopicPartition()
		o.Partition, o.Leader, o.LeaderEpoch, o.Replicas, o.ISR = int32(i), p.Leader, p.LeaderEpoch, p.Replicas, p.ISR
		if live.partitions[i].offline() {
			o.ErrorCode = kerr.LeaderNotAvailable.Code
			o.Leader, o.OfflineReplicas = -1, p.Replicas
		}
		out.Partitions[i] = o
	}
	return out
}

// What a client may do, as bits by Kafka's operation numbers, when asked for.
// There are no ACLs: everything that applies.
const (
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

// maxTopicName is Kafka's bound, which leaves room for "-12345" and a suffix in
// a directory's name.
const maxTopicName = 249

// topicNameFault says, in Kafka's words, what is wrong with a topic's name; "":
// nothing.
func topicNameFault(name string) string {
	fault := ""
	switch {
	case name == "":
		fault = "the empty string is not allowed"
	case name == "." || name == "..":
		fault = fmt.Sprintf("'%s' is not allowed", name)
	case len(name) > maxTopicName:
		fault = fmt.Sprintf("the length of '%s' is longer than the max allowed length %d", name, maxTopicName)
	case !legalTopicName(name):
		fault = fmt.Sprintf("'%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
	default:
		return ""
	}
	return "Topic name is invalid: " + fault
}

func legalTopicName(name string) bool {
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// internalTopic names the topics that coordinators keep their state in: clients
// may read them, and not write to them.
func internalTopic(name string) bool {
	return name == offsetsTopic || name == txnTopic
}
