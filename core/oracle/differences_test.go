package oracle

import "strings"

// difference is an answer of ours that may differ from Kafka's, and why.
type difference struct {
	script string // the script's name
	title  string // the question's title; it ends in * where it is a prefix
	path   string // the field: a prefix of its path
	why    string
}

// differences may only shrink.
var differences = []difference{
	// Newer than the Kafka that was asked.
	{"fetch", "offsets: earliest pending upload", "", "ListOffsets v11 is stable since Kafka 4.2"},
	{"groups", "commit: unknown topic id", "", "OffsetCommit v10 is stable since Kafka 4.2"},
	{"groups", "commit: by topic id", "", "OffsetCommit v10 is stable since Kafka 4.2"},
	{"groups", "offsets: by topic id", "", "OffsetFetch v10 is stable since Kafka 4.2"},

	// Where Kafka answers with an exception that nobody foresaw.
	{"fetch", "negative bytes", "", "taken for no bytes, and the first batch moves"},
	{"fetch", "isolation level 9", "", "taken for read uncommitted"},
	{"produce", "codec *", "", "UNSUPPORTED_COMPRESSION_TYPE says what is wrong"},
	{"produce", "gzip flag over plain records", "", "CORRUPT_MESSAGE says what is wrong"},
	{"configs", "change: an unknown operation", "", "INVALID_REQUEST says what is wrong"},
	{"transactions", "list: longer than a quarter of an hour", "", "Kafka takes a transaction that never began for one begun in 1970"},

	// What no client does.
	{"fetch", "a last epoch to come", "", "only followers name the last fetched epoch"},
	{"fetch", "as an unknown replica", "", "there are no followers; a replica id is not looked at"},
	{"fetch", "a partition twice", "", "both are answered; Kafka answers the last"},
	{"produce", "no partitions", "", "a topic without partitions is answered as such"},
	{"produce", "says it has the broker's clock, which the topic does not", "", "refused here; Kafka takes it and clears the flag"},
	{"produce", "idempotent: no epoch", "", "a producer id without an epoch is refused"},
	{"transactions", "commit offsets: unknown member", "", "a group that only has pending offsets is no group yet"},

	// Details of an answer.
	{"produce", "*", "Topics[0].Partitions[0].ErrorMessage", "ours says which field, at which byte"},
	{"produce", "*", "Topics[0].Partitions[0].ErrorRecords[0].ErrorMessage", "ours says which field, at which byte"},
	{"produce", "*", "Topics[0].Partitions[0].ErrorRecords[1].ErrorMessage", "ours says which field, at which byte"},
	{"produce", "idempotent: the same again", "Topics[0].Partitions[0].LogAppendTime", "-1 where the time is the producer's, as for the first"},
	{"transactions2", "produce: the same again", "Topics[0].Partitions[0].LogAppendTime", "-1 where the time is the producer's, as for the first"},
	{"topics", "create: *", "Topics[0].ErrorMessage", "ours names the setting's bounds and the way to write it"},
	{"topics", "metadata: made by asking", "", "the topic is there at once, not at the second try"},
	{"configs", "*", "Resources[0].ErrorMessage", "ours names the setting's bounds and the way to write it"},

	{"configs", "broker: *", "Resources[0].Configs[log.retention.ms].ConfigSynonyms[", "the default is one of milliseconds, there is no log.retention.hours"},
	{"configs", "broker: *", "Resources[0].Configs[retention.ms].ConfigSynonyms[2]", "the default is one of milliseconds, there is no log.retention.hours"},
	{"configs", "describe: a topic", "Resources[0].Configs[min.insync.replicas]", "not forced on all brokers: there are no eligible leader replicas"},
	{"configs", "describe: a topic", "Resources[0].Configs[retention.ms].ConfigSynonyms", "the default is one of milliseconds, there is no log.retention.hours"},
	{"configs", "describe: a topic", "Resources[0].Configs[segment.ms].ConfigSynonyms", "the default is one of milliseconds, there is no log.roll.hours"},
	{"configs", "describe: none of a topic's", "Resources[0].Configs[min.insync.replicas]", "not forced on all brokers: there are no eligible leader replicas"},
	{"configs", "describe: a broker", "Resources[0].Configs[min.insync.replicas]", "not forced on all brokers: there are no eligible leader replicas"},
	{"configs", "describe: a broker", "Resources[0].Configs[log.retention.ms]", "the default is one of milliseconds, there is no log.retention.hours"},
	{"configs", "describe: all brokers", "Resources[0].Configs", "min.insync.replicas is not forced: there are no eligible leader replicas"},
	{"topics", "create: the same name twice", "Topics[1].Configs[max.message.bytes]", "Kafka kept what script configs gave all brokers: it could not take all back"},
	{"topics", "create: the same name twice", "Topics[1].Configs[retention.ms]", "Kafka kept what script configs gave all brokers: it could not take all back"},
	{"topics", "create: the same name twice", "Topics[1].Configs[min.insync.replicas]", "not forced on all brokers: there are no eligible leader replicas"},
	{"configs", "broker: all described", "Resources[0].Configs", "no min.insync.replicas is forced on all brokers: there are no eligible leader replicas"},
	{"configs", "broker: all taken back", "", "min.insync.replicas may be taken back with the others"},
	{"configs", "broker: described after that", "", "all was taken back"},

	{"errors", "more partitions: too many", "Topics[0].ErrorCode", "POLICY_VIOLATION says what is wrong; Kafka foresaw no such count"},
	{"heartbeats", "*", "ErrorMessage", "ours says who is meant and what to do"},

	// Not built yet.
	{"errors", "describe: client metrics *", "", "no client metrics"},
	{"cluster", "telemetry: subscriptions", "", "no client metrics"},
}

// excused is the difference that allows what was found; -1: none.
func excused(script string, a answer, found string) int {
	for i, d := range differences {
		title := d.title == a.Title
		if prefix, ok := strings.CutSuffix(d.title, "*"); ok {
			title = strings.HasPrefix(a.Title, prefix)
		}
		if d.script == script && title && strings.HasPrefix(found, d.path) {
			return i
		}
	}
	return -1
}
