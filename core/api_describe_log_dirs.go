package core

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeLogDirs, v1 to v4: the one log directory and what partitions take of
// it.
//
//   - Topics null: all. What does not exist is left out.
//   - v3 adds an error code for the whole, v4 the file system's size and what is
//     free of it.
func describeLogDirs(c *call, req *kmsg.DescribeLogDirsRequest) (*kmsg.DescribeLogDirsResponse, error) {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = c.dir.path
	dir.TotalBytes, dir.UsableBytes = c.dir.space()
	view := c.view.Load()
	add := func(t *topic, wanted func(int32) bool) {
		out := kmsg.NewDescribeLogDirsResponseDirTopic()
		out.Topic = t.meta.Name
		for _, p := range t.partitions {
			if !wanted(p.index) || p.state.Load() != online {
				continue
			}
			o := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			o.Partition, o.Size = p.index, p.log.Size()
			out.Partitions = append(out.Partitions, o)
		}
		if len(out.Partitions) > 0 {
			dir.Topics = append(dir.Topics, out)
		}
	}
	if req.Topics == nil {
		for _, m := range view.image.Topics() {
			add(view.byID[m.ID], func(int32) bool { return true })
		}
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		t := view.byName[asked.Topic]
		if t == nil {
			continue
		}
		set := make(map[int32]bool, len(asked.Partitions))
		for _, p := range asked.Partitions {
			set[p] = true
		}
		add(t, func(p int32) bool { return set[p] })
	}
	resp.Dirs = append(resp.Dirs, dir)
	return resp, nil
}
