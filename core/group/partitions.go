package group

import (
	"bytes"
	"maps"
	"slices"
)

// partitionSet is a set of partitions, by topic id: each slice is sorted and
// without repeats, none is empty. It is never changed once it is in use, since
// replies and members share it.
type partitionSet map[[16]byte][]int32

// partitionOf names one partition.
type partitionOf struct {
	topic     [16]byte
	partition int32
}

func (ps partitionSet) len() (n int) {
	for _, p := range ps {
		n += len(p)
	}
	return n
}

func (ps partitionSet) has(p partitionOf) bool {
	_, ok := slices.BinarySearch(ps[p.topic], p.partition)
	return ok
}

// topics are the ids in an order that is always the same.
func (ps partitionSet) topics() [][16]byte {
	return slices.SortedFunc(maps.Keys(ps), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
}

// each yields all partitions, in order.
func (ps partitionSet) each(yield func(partitionOf) bool) {
	for _, t := range ps.topics() {
		for _, p := range ps[t] {
			if !yield(partitionOf{t, p}) {
				return
			}
		}
	}
}

// filter gives the partitions that keep says yes to.
func (ps partitionSet) filter(keep func(partitionOf) bool) partitionSet {
	out := partitionSet{}
	for p := range ps.each {
		if keep(p) {
			out[p.topic] = append(out[p.topic], p.partition)
		}
	}
	return out
}

func (ps partitionSet) and(other partitionSet) partitionSet { return ps.filter(other.has) }

func (ps partitionSet) minus(other partitionSet) partitionSet {
	return ps.filter(func(p partitionOf) bool { return !other.has(p) })
}

func (ps partitionSet) plus(other partitionSet) partitionSet {
	out := maps.Clone(ps)
	if out == nil {
		out = partitionSet{}
	}
	for t, p := range other {
		out[t] = normal(slices.Concat(out[t], p))
	}
	return out
}

func (ps partitionSet) equal(other partitionSet) bool {
	return maps.EqualFunc(ps, other, func(a, b []int32) bool { return slices.Equal(a, b) })
}

// normal sorts partitions and takes out repeats.
func normal(ps []int32) []int32 {
	slices.Sort(ps)
	return slices.Compact(ps)
}
