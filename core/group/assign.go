package group

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
)

// candidate is a member as an assignor sees it.
type candidate struct {
	id       string
	instance string       // "": none
	topics   [][16]byte   // subscribed to, and there: sorted, without repeats
	has      partitionSet // by the target assignment before
}

// assignor decides who gets which partitions of topics, whose sizes it is given;
// each partition goes to one of those that subscribe to its topic, if there are
// any. Equal input gives equal output.
type assignor func(members []candidate, sizes map[[16]byte]int32) map[string]partitionSet

// assignorsByName are the server-side assignors, by the names that Kafka gives them.
var assignorsByName = map[string]assignor{"uniform": uniform, "range": byRange}

// targets asks the group's assignor.
func (s *shard) targets(c *consumerGroup) map[string]partitionSet {
	sizes := map[[16]byte]int32{}
	var members []candidate
	for _, m := range c.sorted() {
		a := candidate{id: m.id, instance: textOf(m.instance), has: m.target}
		for name := range m.reads {
			if t, ok := s.metadata.TopicNamed(name); ok {
				a.topics = append(a.topics, t.ID)
				sizes[t.ID] = t.Partitions
			}
		}
		slices.SortFunc(a.topics, compareTopics)
		a.topics = slices.Compact(a.topics)
		members = append(members, a)
	}
	return assignorsByName[c.assignorName()](members, sizes)
}

func compareTopics(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }

// byRange gives each topic's partitions in runs to those that subscribe to it, in
// the order of group.instance.id and then member id; the first get one more where
// it does not come out even. So members with the same subscriptions get the same
// partitions of topics of the same size.
func byRange(members []candidate, sizes map[[16]byte]int32) map[string]partitionSet {
	ordered := slices.SortedFunc(slices.Values(members), func(a, b candidate) int {
		static := func(m candidate) int { return min(len(m.instance), 1) }
		return cmp.Or(static(b)-static(a), strings.Compare(a.instance, b.instance), strings.Compare(a.id, b.id))
	})
	out, readers := map[string]partitionSet{}, map[[16]byte][]string{}
	for _, m := range ordered {
		out[m.id] = partitionSet{}
		for _, t := range m.topics {
			readers[t] = append(readers[t], m.id)
		}
	}
	for t, ids := range readers {
		n, rest, next := sizes[t]/int32(len(ids)), sizes[t]%int32(len(ids)), int32(0)
		for i, id := range ids {
			run := n
			if int32(i) < rest {
				run++
			}
			for range run {
				out[id][t] = append(out[id][t], next)
				next++
			}
		}
	}
	return out
}

// uniform gives each member as many partitions as any other, as far as the
// subscriptions allow, and leaves where they are as many as that allows.
func uniform(members []candidate, sizes map[[16]byte]int32) map[string]partitionSet {
	b := newBalance(members, sizes)
	b.keep()
	if b.alike() {
		b.trim()
	}
	b.handOut()
	b.level()
	return b.result()
}

// balance is an assignment in the making. Members are numbers.
type balance struct {
	members []candidate
	sizes   map[[16]byte]int32
	topics  [][16]byte
	readers map[[16]byte][]int
	has     []map[[16]byte]map[int32]struct{}
	load    []int
	free    map[[16]byte][]int32 // nobody's yet
}

func newBalance(members []candidate, sizes map[[16]byte]int32) *balance {
	b := &balance{
		members: members, sizes: sizes, readers: map[[16]byte][]int{}, free: map[[16]byte][]int32{},
		topics: slices.SortedFunc(maps.Keys(sizes), compareTopics),
		has:    make([]map[[16]byte]map[int32]struct{}, len(members)), load: make([]int, len(members)),
	}
	for i, m := range members {
		b.has[i] = map[[16]byte]map[int32]struct{}{}
		for _, t := range m.topics {
			b.readers[t] = append(b.readers[t], i)
		}
	}
	return b
}

func (b *balance) give(i int, t [16]byte, p int32) {
	if b.has[i][t] == nil {
		b.has[i][t] = map[int32]struct{}{}
	}
	b.has[i][t][p] = struct{}{}
	b.load[i]++
}

func (b *balance) take(i int, t [16]byte, p int32) {
	delete(b.has[i][t], p)
	b.load[i]--
}

// keep leaves partitions with those that had them, and lists the others as free.
func (b *balance) keep() {
	taken := map[partitionOf]bool{}
	for i, m := range b.members {
		for p := range m.has.each {
			_, reads := slices.BinarySearchFunc(m.topics, p.topic, compareTopics)
			if reads && p.partition < b.sizes[p.topic] && !taken[p] {
				taken[p] = true
				b.give(i, p.topic, p.partition)
			}
		}
	}
	for _, t := range b.topics {
		for p := range b.sizes[t] {
			if !taken[partitionOf{t, p}] {
				b.free[t] = append(b.free[t], p)
			}
		}
	}
}

// alike: all members subscribe to the same.
func (b *balance) alike() bool {
	for _, t := range b.topics {
		if len(b.readers[t]) < len(b.members) {
			return false
		}
	}
	return true
}

// trim takes from members what is more than their share, so that it can be
// handed out in one go. Who has most may keep one more where it does not come
// out even.
func (b *balance) trim() {
	total := 0
	for _, n := range b.sizes {
		total += int(n)
	}
	if len(b.members) == 0 {
		return
	}
	share, more := total/len(b.members), total%len(b.members)
	for i := range b.members {
		limit := share
		if b.load[i] > share && more > 0 {
			limit, more = share+1, more-1
		}
		for j := len(b.topics) - 1; j >= 0 && b.load[i] > limit; j-- {
			t := b.topics[j]
			for _, p := range slices.Backward(slices.Sorted(maps.Keys(b.has[i][t]))) {
				if b.load[i] <= limit {
					break
				}
				b.take(i, t, p)
				b.free[t] = append(b.free[t], p)
			}
		}
	}
}

// handOut gives what is free to whoever has least, topics with few readers first.
func (b *balance) handOut() {
	order := slices.Clone(b.topics)
	slices.SortStableFunc(order, func(x, y [16]byte) int { return len(b.readers[x]) - len(b.readers[y]) })
	for _, t := range order {
		readers := b.readers[t]
		if len(readers) == 0 {
			continue
		}
		slices.Sort(b.free[t])
		queue := slices.Clone(readers)
		slices.SortStableFunc(queue, func(x, y int) int { return b.load[x] - b.load[y] })
		for _, p := range b.free[t] {
			// The first has least; after it has got one it goes behind its equals.
			i := queue[0]
			b.give(i, t, p)
			at := 0
			for at+1 < len(queue) && b.load[queue[at+1]] < b.load[i] {
				queue[at] = queue[at+1]
				at++
			}
			queue[at] = i
		}
	}
}

// level moves partitions from members that have much to such as have at least two
// less and read the same topic, until there are none. Each move brings the loads
// closer together, so it comes to an end.
func (b *balance) level() {
	for moved := true; moved; {
		moved = false
		for _, t := range b.topics {
			for b.levelTopic(t) {
				moved = true
			}
		}
	}
}

func (b *balance) levelTopic(t [16]byte) bool {
	from, to := -1, -1
	for _, i := range b.readers[t] {
		if len(b.has[i][t]) > 0 && (from < 0 || b.load[i] > b.load[from]) {
			from = i
		}
		if to < 0 || b.load[i] < b.load[to] {
			to = i
		}
	}
	if from < 0 || b.load[from]-b.load[to] < 2 {
		return false
	}
	last := int32(-1)
	for p := range b.has[from][t] {
		last = max(last, p)
	}
	b.take(from, t, last)
	b.give(to, t, last)
	return true
}

func (b *balance) result() map[string]partitionSet {
	out := make(map[string]partitionSet, len(b.members))
	for i, m := range b.members {
		set := partitionSet{}
		for t, ps := range b.has[i] {
			if len(ps) > 0 {
				set[t] = slices.Sorted(maps.Keys(ps))
			}
		}
		out[m.id] = set
	}
	return out
}
