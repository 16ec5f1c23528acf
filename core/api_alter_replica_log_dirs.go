package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterReplicaLogDirs, v1 to v2: there is one log directory. A partition is in
// it already; any other is LOG_DIR_NOT_FOUND.
func alterReplicaLogDirs(c *call, req *kmsg.AlterReplicaLogDirsRequest) (*kmsg.AlterReplicaLogDirsResponse, error) {
	resp := kmsg.NewPtrAlterReplicaLogDirsResponse()
	view, at := c.view.Load(), map[string]int{}
	for _, d := range req.Dirs {
		for _, t := range d.Topics {
			i, ok := at[t.Topic]
			if !ok {
				i = len(resp.Topics)
				at[t.Topic] = i
				out := kmsg.NewAlterReplicaLogDirsResponseTopic()
				out.Topic = t.Topic
				resp.Topics = append(resp.Topics, out)
			}
			for _, index := range t.Partitions {
				o := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				o.Partition = index
				topic := view.byName[t.Topic]
				switch {
				case d.Dir != c.dir.path:
					o.ErrorCode = kerr.LogDirNotFound.Code
				case topic == nil || topic.partition(index) == nil:
					o.ErrorCode = kerr.UnknownTopicOrPartition.Code
				}
				resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, o)
			}
		}
	}
	return resp, nil
}
