//go:build kafkajs

package clients_test

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// kafkajs comes from npm and so stands apart from what `make test` runs: `make
// test-kafkajs` installs it and runs the suite with it. It reads only as a
// member of a consumer group, so in the exchange it only writes. gzip is the
// one codec it has built in.
var kafkajs = client{name: "kafkajs", codecs: []string{"none", "gzip"}, write: kafkajsWrite}

func init() {
	clients = append(clients, kafkajs)
	members = append(members, member{"kafkajs", kafkajsMember})
}

func kafkajsMember(t *testing.T, addr, group, topic string, n int) (got []string) {
	require.NoError(t, json.Unmarshal(runKafkajs(t, nil, addr, "consume", topic, group, strconv.Itoa(n)), &got))
	return got
}

func runKafkajs(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	node := tool(t, "node", "nodejs")
	if _, err := os.Stat("kafkajs/node_modules/kafkajs"); err != nil {
		t.Fatal("missing: kafkajs, which this suite drives; install it with: make test-kafkajs")
	}
	return command(t, stdin, node, append([]string{"kafkajs/suite.js"}, args...)...)
}

func kafkajsWrite(t *testing.T, addr, topic, codec string) []record {
	type message struct {
		Key     []byte  `json:"key"`
		Value   []byte  `json:"value"`
		Headers [][]any `json:"headers"`
		Time    int64   `json:"time"`
	}
	rs := corpus()
	var ms []message
	for _, r := range rs {
		m := message{Key: r.Key, Value: r.Value, Time: r.Time, Headers: [][]any{}}
		at := map[string]int{}
		for _, h := range r.Headers { // kafkajs keeps the values of one name together
			i, ok := at[h.Key]
			if !ok {
				i = len(m.Headers)
				at[h.Key] = i
				m.Headers = append(m.Headers, []any{h.Key, [][]byte(nil)})
			}
			m.Headers[i][1] = append(m.Headers[i][1].([][]byte), h.Value)
		}
		ms = append(ms, m)
	}
	in, err := json.Marshal(ms)
	require.NoError(t, err)
	var answer []struct {
		ErrorCode  int
		BaseOffset string
	}
	require.NoError(t, json.Unmarshal(runKafkajs(t, in, addr, "write", topic, codec), &answer))
	require.Len(t, answer, 1)
	require.Zero(t, answer[0].ErrorCode)
	require.Equal(t, "0", answer[0].BaseOffset)
	return rs
}

func TestKafkajsAdmin(t *testing.T) {
	topic := topicName(t)
	var seen struct {
		Created, CreatedAgain, Listed, ListedAfterwards, Grown bool
		Metadata                                               struct {
			Topics []struct {
				Name       string
				Partitions []struct{ PartitionID, Leader int }
			}
		}
		Offsets []struct {
			Partition int
			Low, High string
		}
		Configs struct {
			Resources []struct {
				ErrorCode     int
				ConfigEntries []struct{ ConfigName, ConfigValue string }
			}
		}
		Cluster struct {
			Brokers   []struct{ NodeID, Port int }
			ClusterID string
		}
	}
	require.NoError(t, json.Unmarshal(runKafkajs(t, nil, shared(t), "admin", topic), &seen))
	require.True(t, seen.Created)
	require.False(t, seen.CreatedAgain)
	require.True(t, seen.Listed)
	require.False(t, seen.ListedAfterwards)
	require.Len(t, seen.Metadata.Topics, 1)
	require.Len(t, seen.Metadata.Topics[0].Partitions, 2)
	require.Len(t, seen.Offsets, 4)
	require.Equal(t, "0", seen.Offsets[0].High)
	require.Len(t, seen.Configs.Resources, 1)
	require.Len(t, seen.Configs.Resources[0].ConfigEntries, 1)
	require.Equal(t, "7200000", seen.Configs.Resources[0].ConfigEntries[0].ConfigValue)
	require.Len(t, seen.Cluster.Brokers, 1)
	require.NotEmpty(t, seen.Cluster.ClusterID)
}
