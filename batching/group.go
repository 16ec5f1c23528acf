package batching

import "time"

// Group is the rule by which things that come one by one are sent as one: it
// closes on bytes, on count, or when its first member has waited long enough.
// It holds no members and knows no clock: times are given to it. It is not safe
// for concurrent use.
type Group struct {
	// MaxBytes and MaxCount close the group when it has reached them. A group
	// that is not empty does not take what would pass MaxBytes; an empty one
	// takes anything. 0: no such limit.
	MaxBytes int
	MaxCount int
	// MaxWait closes the group so long after its first member came
	// (linger.ms). 0: at once. Negative: never.
	MaxWait time.Duration

	bytes  int
	count  int
	opened time.Time
}

// Fits says whether n bytes may be added: the group is empty, or neither limit
// would be passed.
func (g *Group) Fits(n int) bool {
	if g.count == 0 {
		return true
	}
	return (g.MaxBytes == 0 || g.bytes+n <= g.MaxBytes) && (g.MaxCount == 0 || g.count < g.MaxCount)
}

// Add counts a member of n bytes that came now.
func (g *Group) Add(now time.Time, n int) {
	if g.count == 0 {
		g.opened = now
	}
	g.bytes += n
	g.count++
}

// Full says that bytes or count are reached, whatever the time.
func (g *Group) Full() bool {
	return g.count > 0 && ((g.MaxBytes > 0 && g.bytes >= g.MaxBytes) || (g.MaxCount > 0 && g.count >= g.MaxCount))
}

// Closed says that the group should be sent: it is full, or its wait is over.
// An empty one never is.
func (g *Group) Closed(now time.Time) bool {
	if g.Full() {
		return true
	}
	deadline, ok := g.Deadline()
	return ok && !now.Before(deadline)
}

// Deadline is when the wait ends; ok is false where the group is empty or waits
// without end.
func (g *Group) Deadline() (t time.Time, ok bool) {
	if g.count == 0 || g.MaxWait < 0 {
		return time.Time{}, false
	}
	return g.opened.Add(g.MaxWait), true
}

// Bytes is the size of the members added since the last Reset.
func (g *Group) Bytes() int { return g.bytes }

// Count is the number of members added since the last Reset.
func (g *Group) Count() int { return g.count }

// Reset empties the group; its limits stay.
func (g *Group) Reset() { g.bytes, g.count = 0, 0 }
