package core

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"millrace/batching"
	"millrace/core/group"
	"millrace/core/txn"
	"millrace/diskio"
	"millrace/internal/knob"
	"millrace/netio"
)

// Config is everything a broker is told. Start with Defaults; the fields that
// are knobs are declared by Knobs, the others (where it listens, where its data
// lies) are given by whoever starts it.
type Config struct {
	// Listen is the address to listen on; port 0 takes any free one.
	Listen string
	// DataDir is the log directory, created if missing.
	DataDir string
	// PprofListen is where net/http/pprof is served: a loopback HOST:PORT, ""
	// for nowhere.
	PprofListen string

	// Logger receives what the broker has to say; nil: slog.Default.
	Logger *slog.Logger
	// Clock is the source of wall time; nil: time.Now.
	Clock func() time.Time
	// FS is what the data lies on; nil: the operating system's files.
	FS diskio.FS

	Net  netio.Config
	Disk diskio.Config

	// The rest is core's own knobs; register says what they mean.

	NodeID     int
	Advertised string // HOST:PORT told to clients; "": the bound address

	Partitions      int
	AutoCreate      bool
	FetchMaxBytes   int64
	FetchMaxWait    time.Duration
	FetchSessions   int
	ValidateDepth   string
	RecoveryThreads int
	ProducerExpiry  time.Duration
	QuotaSamples    int
	QuotaWindow     int // of one sample, in seconds
	MutationSamples int // the same for controller_mutation_rate
	MutationWindow  int

	Topic   TopicConfig
	Cleaner CleanerConfig
	Group   group.Config
	Txn     txn.Config

	GOGC       int
	GOMEMLIMIT int64
}

// TopicConfig is core's share of the settings that a topic may override.
type TopicConfig struct {
	MaxMessageBytes  int64
	CompressionType  string
	GzipLevel        int // of compression.type=gzip; -1: the codec's default
	Lz4Level         int
	ZstdLevel        int
	TimestampType    string
	TimestampBefore  time.Duration // a record may be this much older than the broker's clock
	TimestampAfter   time.Duration // a record may be this much newer than the broker's clock
	CleanupPolicy    string
	MinInsyncReplica int
	Compact          CompactConfig
}

// The values of the enumerated knobs.
const (
	CompressionProducer = "producer"

	TimestampCreate = "CreateTime"
	TimestampAppend = "LogAppendTime"
)

const forever = time.Duration(1<<63 - 1)

// Defaults is the configuration of a broker that was told nothing.
func Defaults() Config {
	return Config{
		Listen:  "127.0.0.1:9092",
		DataDir: "./data",

		Net:  netio.Defaults(),
		Disk: diskio.Defaults(),

		NodeID:          1,
		Partitions:      1,
		AutoCreate:      true,
		FetchMaxBytes:   55 << 20,
		FetchMaxWait:    5 * time.Minute,
		FetchSessions:   1000,
		ValidateDepth:   batching.DepthCRC.String(),
		RecoveryThreads: 4,
		ProducerExpiry:  24 * time.Hour,
		QuotaSamples:    11,
		QuotaWindow:     1,
		MutationSamples: 11,
		MutationWindow:  1,

		Topic: TopicConfig{
			MaxMessageBytes:  1<<20 + 12,
			CompressionType:  CompressionProducer,
			GzipLevel:        gzipDefault,
			Lz4Level:         lz4Default,
			ZstdLevel:        zstdDefault,
			TimestampType:    TimestampCreate,
			TimestampBefore:  forever,
			TimestampAfter:   time.Hour,
			CleanupPolicy:    "delete",
			MinInsyncReplica: 1,
			Compact:          defaultCompact(),
		},
		Cleaner: defaultCleaner(),
		Group:   group.Defaults(),
		Txn:     txn.Defaults(),
	}
}

// Knobs declares every knob of a broker over c: core's own, the
// coordinators', the network's and the disk's. The values c holds now are the defaults.
func Knobs(c *Config) *knob.Set {
	s := &knob.Set{}
	c.register(s)
	c.Topic.register(s)
	c.Topic.Compact.register(s)
	c.Cleaner.register(s)
	c.Group.Register(s)
	c.Txn.Register(s)
	c.Net.Register(s)
	c.Disk.Register(s)
	return s
}

func (c *Config) register(s *knob.Set) {
	s.Int(&c.NodeID, "node.id", "this broker's id in the cluster", knob.Range(0, 1<<31-1))
	s.String(&c.Advertised, "advertised.listeners", "HOST:PORT that clients are told to connect to; empty: the address listened on")
	s.Int(&c.Partitions, "num.partitions", "partitions of a topic created without saying how many", knob.Range(1, MaxPartitions))
	s.Bool(&c.AutoCreate, "auto.create.topics.enable", "create a topic when a client asks for one that does not exist")
	s.Bytes(&c.FetchMaxBytes, "fetch.max.bytes", "most record bytes in one fetch answer, whatever the client allows; the first batch always moves", knob.Range(1024, maxAnswer))
	s.Duration(&c.FetchMaxWait, "fetch.max.wait.ms", "longest a fetch is parked, whatever the client asks for", knob.Within(0, time.Hour))
	s.Int(&c.FetchSessions, "max.incremental.fetch.session.cache.slots", "fetch sessions remembered at once; clients beyond them name all their partitions in every fetch", knob.Range(0, 1<<16))
	s.Enum(&c.ValidateDepth, "validate.depth", batching.Depths(),
		"how deep a produced batch is checked: crc (header and checksum), records (decompressed, record by record, as Kafka does), none (header only)")
	s.Int(&c.RecoveryThreads, "num.recovery.threads.per.data.dir", "partitions opened at once when the broker starts", knob.Range(1, 1024))
	s.Duration(&c.ProducerExpiry, "producer.id.expiration.ms", "an idempotent producer silent for so long is forgotten", knob.Within(time.Millisecond, forever))
	s.Int(&c.QuotaSamples, "quota.window.num", "samples over which the rate of a client with a quota is measured", knob.Range(2, 1000))
	s.Int(&c.QuotaWindow, "quota.window.size.seconds", "seconds that each of them covers", knob.Range(1, 3600))
	s.Int(&c.MutationSamples, "controller.quota.window.num", "the same for controller_mutation_rate: a client may change as many partitions at once as its rate allows in all samples", knob.Range(2, 1000))
	s.Int(&c.MutationWindow, "controller.quota.window.size.seconds", "seconds that each of them covers", knob.Range(1, 3600))
	s.Int(&c.GOGC, "gogc", "the garbage collector's target percentage (Go's GOGC); -1: off, 0: as the environment says", knob.Range(-1, 10000))
	s.Bytes(&c.GOMEMLIMIT, "gomemlimit", "the Go runtime's soft memory limit (GOMEMLIMIT); 0: as the environment says", knob.Range(0, 1<<50))
	s.Rule(func() error {
		if c.Advertised == "" {
			return nil
		}
		_, _, err := splitListener(c.Advertised)
		return err
	})
}

func (t *TopicConfig) register(s *knob.Set) {
	s.Bytes(&t.MaxMessageBytes, "max.message.bytes", "largest record batch a producer may send",
		knob.Range(0, maxAnswer), knob.PerTopic(), knob.Kafka("message.max.bytes"))
	s.Enum(&t.CompressionType, "compression.type", []string{CompressionProducer, "gzip", "snappy", "lz4", "zstd", "uncompressed"},
		"codec that batches are stored with; producer: as they came", knob.PerTopic())
	s.Int(&t.GzipLevel, "compression.gzip.level", "level where the broker compresses with gzip; -1: the codec's default",
		knob.Range(-1, 9), knob.PerTopic())
	s.Rule(func() error {
		if t.GzipLevel == 0 {
			return errors.New("compression.gzip.level: 0 is neither -1 nor 1 to 9")
		}
		return nil
	})
	s.Int(&t.Lz4Level, "compression.lz4.level", "level where the broker compresses with lz4; 9: the fast compressor, as in Kafka",
		knob.Range(1, 17), knob.PerTopic())
	s.Int(&t.ZstdLevel, "compression.zstd.level", "level where the broker compresses with zstd; those beyond the codec's are its nearest",
		knob.Range(-131072, 22), knob.PerTopic())
	s.Enum(&t.TimestampType, "message.timestamp.type", []string{TimestampCreate, TimestampAppend},
		"whose clock stamps a record: the producer's, or the broker's at the time of the append",
		knob.PerTopic(), knob.Kafka("log.message.timestamp.type"))
	s.Duration(&t.TimestampBefore, "message.timestamp.before.max.ms", "how far a record's timestamp may lie behind the broker's clock",
		knob.Within(0, forever), knob.PerTopic(), knob.Kafka("log.message.timestamp.before.max.ms"))
	s.Duration(&t.TimestampAfter, "message.timestamp.after.max.ms", "how far a record's timestamp may lie ahead of the broker's clock",
		knob.Within(0, forever), knob.PerTopic(), knob.Kafka("log.message.timestamp.after.max.ms"))
	s.Enum(&t.CleanupPolicy, "cleanup.policy", []string{"delete", "compact", "compact,delete", "delete,compact"},
		"what becomes of old records: deleted by age and size, or kept as the newest of each key",
		knob.PerTopic(), knob.Kafka("log.cleanup.policy"))
	s.Int(&t.MinInsyncReplica, "min.insync.replicas", "replicas that acks=all asks for, as far as there are so many; there is one of each partition",
		knob.Range(1, 1<<31-1), knob.PerTopic())
}

// Kafka's defaults, which are the codecs' own here.
const (
	gzipDefault = -1
	lz4Default  = 9
	zstdDefault = 3
)

// level is the topic's compression level as batching takes it: 0 is the codec's
// default, and what lies beyond its levels becomes the nearest.
func (t *TopicConfig) level(c batching.Codec) int {
	var level, standard int
	switch c {
	case batching.Gzip:
		level, standard = t.GzipLevel, gzipDefault
	case batching.LZ4:
		level, standard = t.Lz4Level, lz4Default
	case batching.Zstd:
		level, standard = t.ZstdLevel, zstdDefault
	}
	if level == standard {
		return 0
	}
	least, most := c.Levels()
	return min(max(level, least), most)
}

// maxAnswer keeps a fetch answer, which may be one batch of any size allowed and
// is counted by an int32, well within what its length can say.
const maxAnswer = 1 << 30

// MaxPartitions bounds the partitions that one request can make, so that it
// cannot ask for more files than a machine has. Kafka's controller has the same.
const MaxPartitions = 10000

// splitListener reads HOST:PORT, with or without Kafka's PLAINTEXT:// before it.
func splitListener(s string) (host string, port int32, err error) {
	host, p, err := net.SplitHostPort(strings.TrimPrefix(s, "PLAINTEXT://"))
	if err != nil {
		return "", 0, fmt.Errorf("advertised.listeners: %q is no HOST:PORT", s)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("advertised.listeners: %q has no usable port", s)
	}
	if host == "" {
		return "", 0, errors.New("advertised.listeners: clients need a host to connect to")
	}
	return host, int32(n), nil
}
