package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
)

// The shapes of the requests that kmsg decodes, by API key, in the names and
// order of Kafka's message definitions. DecodeKmsg walks a body by its shape
// before kmsg sees it; see there for why.
//
//	name:type        int8 (also bool), int16, int32, int64 (also float64),
//	                 uuid, string, bytes; with ? where null is allowed
//	name:[]type      an array of such
//	name[fields]     an array of structures; name[fields]? where it may be null
//	name{fields}?    one structure that may be null
//	@4+ @0-7 @2      the versions that have the field; none: all
//
// Tagged fields are not listed: they carry their own size, and no request here
// has an array in one.
var requestShapes = map[int16]string{
	2:  "replicaId:int32 isolationLevel:int8@2+ topics[name:string partitions[partitionIndex:int32 currentLeaderEpoch:int32@4+ timestamp:int64 maxNumOffsets:int32@0]] timeoutMs:int32@10+",
	3:  "topics[topicId:uuid@10+ name:string?]? allowAutoTopicCreation:int8@4+ includeClusterAuthorizedOperations:int8@8-10 includeTopicAuthorizedOperations:int8@8+",
	8:  "groupId:string generationIdOrMemberEpoch:int32@1+ memberId:string@1+ groupInstanceId:string?@7+ retentionTimeMs:int64@2-4 topics[name:string@0-9 topicId:uuid@10+ partitions[partitionIndex:int32 committedOffset:int64 commitTimestamp:int64@1 committedLeaderEpoch:int32@6+ committedMetadata:string?]]",
	9:  "groupId:string@0-7 topics[name:string partitionIndexes:[]int32]?@0-7 groups[groupId:string memberId:string?@9+ memberEpoch:int32@9+ topics[name:string@8-9 topicId:uuid@10+ partitionIndexes:[]int32]?]@8+ requireStable:int8@7+",
	10: "key:string@0-3 keyType:int8@1+ coordinatorKeys:[]string@4+",
	11: "groupId:string sessionTimeoutMs:int32 rebalanceTimeoutMs:int32@1+ memberId:string groupInstanceId:string?@5+ protocolType:string protocols[name:string metadata:bytes] reason:string?@8+",
	12: "groupId:string generationId:int32 memberId:string groupInstanceId:string?@3+",
	13: "groupId:string memberId:string@0-2 members[memberId:string groupInstanceId:string? reason:string?@5+]@3+",
	14: "groupId:string generationId:int32 memberId:string groupInstanceId:string?@3+ protocolType:string?@5+ protocolName:string?@5+ assignments[memberId:string assignment:bytes]",
	15: "groups:[]string includeAuthorizedOperations:int8@3+",
	16: "statesFilter:[]string@4+ typesFilter:[]string@5+",
	17: "mechanism:string",
	18: "clientSoftwareName:string@3+ clientSoftwareVersion:string@3+ clusterId:string?@5+ nodeId:int32@5+",
	19: "topics[name:string numPartitions:int32 replicationFactor:int16 assignments[partitionIndex:int32 brokerIds:[]int32] configs[name:string value:string?]] timeoutMs:int32 validateOnly:int8@1+",
	20: "topicNames:[]string@0-5 topics[name:string? topicId:uuid]@6+ timeoutMs:int32",
	21: "topics[name:string partitions[partitionIndex:int32 offset:int64]] timeoutMs:int32",
	22: "transactionalId:string? transactionTimeoutMs:int32 producerId:int64@3+ producerEpoch:int16@3+",
	23: "replicaId:int32@3+ topics[topic:string partitions[partition:int32 currentLeaderEpoch:int32@2+ leaderEpoch:int32]]",
	24: "transactionalId:string@0-3 producerId:int64@0-3 producerEpoch:int16@0-3 topics[name:string partitions:[]int32]@0-3 transactions[transactionalId:string producerId:int64 producerEpoch:int16 verifyOnly:int8 topics[name:string partitions:[]int32]]@4+",
	25: "transactionalId:string producerId:int64 producerEpoch:int16 groupId:string",
	26: "transactionalId:string producerId:int64 producerEpoch:int16 committed:int8",
	27: "markers[producerId:int64 producerEpoch:int16 transactionResult:int8 topics[name:string partitionIndexes:[]int32] coordinatorEpoch:int32 transactionVersion:int8@2+]",
	28: "transactionalId:string groupId:string producerId:int64 producerEpoch:int16 generationId:int32@3+ memberId:string@3+ groupInstanceId:string?@3+ topics[name:string@0-5 topicId:uuid@6+ partitions[partitionIndex:int32 committedOffset:int64 committedLeaderEpoch:int32@2+ committedMetadata:string?]]",
	29: "resourceTypeFilter:int8 resourceNameFilter:string? patternTypeFilter:int8@1+ principalFilter:string? hostFilter:string? operation:int8 permissionType:int8",
	30: "creations[resourceType:int8 resourceName:string resourcePatternType:int8@1+ principal:string host:string operation:int8 permissionType:int8]",
	31: "filters[resourceTypeFilter:int8 resourceNameFilter:string? patternTypeFilter:int8@1+ principalFilter:string? hostFilter:string? operation:int8 permissionType:int8]",
	32: "resources[resourceType:int8 resourceName:string configurationKeys:[]string?] includeSynonyms:int8@1+ includeDocumentation:int8@3+",
	33: "resources[resourceType:int8 resourceName:string configs[name:string value:string?]] validateOnly:int8",
	34: "dirs[path:string topics[name:string partitions:[]int32]]",
	35: "topics[topic:string partitions:[]int32]?",
	36: "authBytes:bytes",
	37: "topics[name:string count:int32 assignments[brokerIds:[]int32]?] timeoutMs:int32 validateOnly:int8",
	38: "ownerPrincipalType:string?@3+ ownerPrincipalName:string?@3+ renewers[principalType:string principalName:string] maxLifetimeMs:int64",
	39: "hmac:bytes renewPeriodMs:int64",
	40: "hmac:bytes expiryTimePeriodMs:int64",
	41: "owners[principalType:string principalName:string]?",
	42: "groupsNames:[]string",
	43: "electionType:int8@1+ topicPartitions[topic:string partitions:[]int32]? timeoutMs:int32",
	44: "resources[resourceType:int8 resourceName:string configs[name:string configOperation:int8 value:string?]] validateOnly:int8",
	45: "timeoutMs:int32 allowReplicationFactorChange:int8@1+ topics[name:string partitions[partitionIndex:int32 replicas:[]int32?]]",
	46: "timeoutMs:int32 topics[name:string partitionIndexes:[]int32]?",
	47: "groupId:string topics[name:string partitions[partitionIndex:int32]]",
	48: "components[entityType:string matchType:int8 match:string?] strict:int8",
	49: "entries[entity[entityType:string entityName:string?] ops[key:string value:int64 remove:int8]] validateOnly:int8",
	50: "users[name:string]?",
	51: "deletions[name:string mechanism:int8] upsertions[name:string mechanism:int8 iterations:int32 salt:bytes saltedPassword:bytes]",
	55: "topics[topicName:string partitions[partitionIndex:int32]]",
	57: "timeoutMs:int32 featureUpdates[feature:string maxVersionLevel:int16 allowDowngrade:int8@0 upgradeType:int8@1+] validateOnly:int8@1+",
	60: "includeClusterAuthorizedOperations:int8 endpointType:int8@1+ includeFencedBrokers:int8@2+",
	61: "topics[name:string partitionIndexes:[]int32]",
	64: "brokerId:int32",
	65: "transactionalIds:[]string",
	66: "stateFilters:[]string producerIdFilters:[]int64 durationFilter:int64@1+ transactionalIdPattern:string?@2+",
	68: "groupId:string memberId:string memberEpoch:int32 instanceId:string? rackId:string? rebalanceTimeoutMs:int32 subscribedTopicNames:[]string? subscribedTopicRegex:string?@1+ serverAssignor:string? topicPartitions[topicId:uuid partitions:[]int32]?",
	69: "groupIds:[]string includeAuthorizedOperations:int8",
	71: "clientInstanceId:uuid",
	72: "clientInstanceId:uuid subscriptionId:int32 terminating:int8 compressionType:int8 metrics:bytes",
	74: "resourceTypes:[]int8@1+",
	75: "topics[name:string] responsePartitionLimit:int32 cursor{topicName:string partitionIndex:int32}?",
	76: "groupId:string memberId:string memberEpoch:int32 rackId:string? subscribedTopicNames:[]string?",
	77: "groupIds:[]string includeAuthorizedOperations:int8",
	78: "groupId:string? memberId:string? shareSessionEpoch:int32 maxWaitMs:int32 minBytes:int32 maxBytes:int32 maxRecords:int32@1+ batchSize:int32@1+ shareAcquireMode:int8@2+ isRenewAck:int8@2+ topics[topicId:uuid partitions[partitionIndex:int32 partitionMaxBytes:int32@0 acknowledgementBatches[firstOffset:int64 lastOffset:int64 acknowledgeTypes:[]int8]]] forgottenTopicsData[topicId:uuid partitions:[]int32]",
	79: "groupId:string? memberId:string? shareSessionEpoch:int32 isRenewAck:int8@2+ topics[topicId:uuid partitions[partitionIndex:int32 acknowledgementBatches[firstOffset:int64 lastOffset:int64 acknowledgeTypes:[]int8]]]",
}

// field is one field of a shape.
type field struct {
	path     string // from the root, for errors
	from, to int16  // versions that have it
	kind     kind
	nullable bool
	fields   []field // of an array of structures, or a structure
	element  kind    // of an array of anything else
}

type kind int8

const (
	kindFixed1 kind = 1
	kindFixed2 kind = 2
	kindFixed4 kind = 4
	kindFixed8 kind = 8
	kindUUID   kind = 16
	kindString kind = iota + 16
	kindBytes
	kindArray      // of element
	kindStructs    // array of fields
	kindStructOnce // a structure that may be null
)

var kinds = map[string]kind{
	"int8": kindFixed1, "int16": kindFixed2, "int32": kindFixed4, "int64": kindFixed8,
	"uuid": kindUUID, "string": kindString, "bytes": kindBytes,
}

// shapes are requestShapes, parsed when the first request needs them.
var shapes = sync.OnceValue(func() map[int16][]field {
	parsed := map[int16][]field{}
	for key, text := range requestShapes {
		p := shapeParser{rest: text}
		parsed[key] = p.fields("")
		if p.rest != "" {
			panic(fmt.Sprintf("BUG: shape of request %d: left over: %s", key, p.rest))
		}
	}
	return parsed
})

type shapeParser struct{ rest string }

// word takes everything up to the first of the given bytes.
func (p *shapeParser) word(stop string) string {
	n := strings.IndexAny(p.rest, stop)
	if n < 0 {
		n = len(p.rest)
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

func (p *shapeParser) accept(s string) bool {
	rest, ok := strings.CutPrefix(p.rest, s)
	p.rest = rest
	return ok
}

func (p *shapeParser) fields(prefix string) (fields []field) {
	for p.rest != "" && p.rest[0] != ']' && p.rest[0] != '}' {
		p.accept(" ")
		fields = append(fields, p.field(prefix))
	}
	return fields
}

func (p *shapeParser) field(prefix string) field {
	f := field{path: prefix + p.word(":[{"), to: math.MaxInt16}
	switch {
	case p.accept("["):
		f.kind, f.fields = kindStructs, p.fields(f.path+".")
		p.accept("]")
	case p.accept("{"):
		f.kind, f.fields = kindStructOnce, p.fields(f.path+".")
		p.accept("}")
	case p.accept(":[]"):
		f.kind, f.element = kindArray, p.kind()
	case p.accept(":"):
		f.kind = p.kind()
	}
	f.nullable = p.accept("?")
	if p.accept("@") {
		from, to, ranged := strings.Cut(p.word(" ]}"), "-")
		f.from = version(strings.TrimSuffix(from, "+"))
		switch {
		case ranged:
			f.to = version(to)
		case !strings.HasSuffix(from, "+"):
			f.to = f.from
		}
	}
	return f
}

func (p *shapeParser) kind() kind {
	name := p.word(" ?@]}")
	k, ok := kinds[name]
	if !ok {
		panic("BUG: shape: no type " + name)
	}
	return k
}

func version(s string) int16 {
	n, err := strconv.ParseInt(s, 10, 16)
	if err != nil {
		panic("BUG: shape: no version " + s)
	}
	return int16(n)
}
