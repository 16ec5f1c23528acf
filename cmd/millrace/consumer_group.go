package main

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// describedGroup is what `group describe` shows.
type describedGroup struct {
	Group    string   `json:"group"`
	Type     string   `json:"type"` // classic, or consumer: the broker assigns
	State    string   `json:"state"`
	Protocol string   `json:"protocol"` // of a group of the type consumer, the assignor
	Members  int      `json:"members"`
	Lag      int64    `json:"lag"`
	Detail   []lagRow `json:"detail"`
}

// describeGroup asks for a group of either type.
func describeGroup(ctx context.Context, a *kadm.Client, name string) (describedGroup, error) {
	switch g, err := describeConsumerGroup(ctx, a, name); {
	case err == nil:
		return g, nil
	case !errors.Is(err, kerr.GroupIDNotFound) && !errors.Is(err, kerr.UnsupportedVersion):
		return g, err
	}
	got, err := a.Lag(ctx, name)
	if err != nil {
		return describedGroup{}, err
	}
	g := got[name]
	if err := g.Error(); err != nil {
		return describedGroup{}, told(name, err, "")
	}
	out := describedGroup{g.Group, "classic", g.State, g.Protocol, len(g.Members), g.Lag.Total(), []lagRow{}}
	for _, l := range g.Lag.Sorted() {
		r := lagRow{l.Topic, l.Partition, l.Commit.At, l.End.Offset, l.Lag, ""}
		if l.Member != nil {
			r.Member = l.Member.ClientID + " " + l.Member.ClientHost
		}
		out.Detail = append(out.Detail, r)
	}
	return out, nil
}

// describeConsumerGroup asks for a group whose partitions the broker assigns
// (KIP-848). A classic one is GROUP_ID_NOT_FOUND.
func describeConsumerGroup(ctx context.Context, a *kadm.Client, name string) (out describedGroup, err error) {
	described, err := a.DescribeConsumerGroups(ctx, name)
	if err != nil {
		return out, err
	}
	g, ok := described[name]
	switch {
	case !ok:
		return out, kerr.GroupIDNotFound
	case g.Err != nil:
		return out, g.Err
	}
	committed, err := a.FetchOffsets(ctx, name)
	if err != nil {
		return out, told(name, err, "")
	}
	type place struct {
		topic     string
		partition int32
	}
	rows := map[place]lagRow{}
	committed.Each(func(o kadm.OffsetResponse) {
		rows[place{o.Topic, o.Partition}] = lagRow{Topic: o.Topic, Partition: o.Partition, Committed: o.At}
	})
	for _, m := range g.Members {
		m.Assignment.Each(func(topic string, partition int32) {
			r, ok := rows[place{topic, partition}]
			if !ok {
				r = lagRow{Topic: topic, Partition: partition, Committed: -1}
			}
			r.Member = m.ClientID + " " + m.ClientHost
			rows[place{topic, partition}] = r
		})
	}
	out = describedGroup{name, "consumer", g.State, g.AssignorName, len(g.Members), 0, []lagRow{}}
	topics := kadm.TopicsSet{}
	for at := range rows {
		topics.Add(at.topic, at.partition)
	}
	if len(rows) == 0 {
		return out, nil // no topic means all of them
	}
	starts, err := a.ListStartOffsets(ctx, topics.Topics()...)
	if err != nil {
		return out, told(name, err, "")
	}
	ends, err := a.ListEndOffsets(ctx, topics.Topics()...)
	if err != nil {
		return out, told(name, err, "")
	}
	for at, r := range rows {
		end, _ := ends.Lookup(at.topic, at.partition)
		start, _ := starts.Lookup(at.topic, at.partition)
		r.End = end.Offset
		r.Lag = max(r.End-max(r.Committed, start.Offset), 0)
		out.Lag += r.Lag
		out.Detail = append(out.Detail, r)
	}
	slices.SortFunc(out.Detail, func(a, b lagRow) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return out, nil
}
