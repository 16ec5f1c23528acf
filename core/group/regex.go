package group

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// expression is a regular expression that members subscribe with, and the topics
// whose names it matches as a whole. Kafka's are RE2's, as Go's are.
type expression struct {
	re       *regexp.Regexp
	topics   []string // sorted
	resolved int64    // ms since the epoch
}

func compile(text string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(text); err != nil { // whose error names what was asked
		return nil, fmt.Errorf("%q is no regular expression of RE2: %w", text, err)
	}
	re, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression of RE2: %w", text, err)
	}
	return re, nil
}

// regexPause is the least time between two looks of a group through all topics.
const regexPause = time.Second

// resolveNew resolves expressions that are new to the group, and forgets those
// that nobody subscribes with any more.
func (s *shard) resolveNew(c *consumerGroup) {
	for _, m := range c.sorted() {
		if m.regex == nil || c.regexes[*m.regex] != nil {
			continue
		}
		re, err := compile(*m.regex)
		if err != nil {
			continue // from a log that another wrote: it matches nothing
		}
		e := &expression{re: re}
		c.regexes[*m.regex] = e
		s.resolve(c, *m.regex, e)
		s.emit(regexRecord(c, *m.regex, e))
	}
	s.dropUnused(c)
}

func (s *shard) dropUnused(c *consumerGroup) {
	used := map[string]bool{}
	for _, m := range c.members {
		used[textOf(m.regex)] = true
	}
	for _, text := range slices.Sorted(maps.Keys(c.regexes)) {
		if !used[text] {
			c.g.grow(-c.regexes[text].size(text))
			delete(c.regexes, text)
			s.emit(Record{Key: memberKey(keyRegex, c.g.id, text)})
		}
	}
}

// refresh resolves all expressions anew if topics may have changed.
func (s *shard) refresh(c *consumerGroup) {
	if c.seen == s.metadata {
		return
	}
	if len(c.regexes) > 0 {
		if s.now.Sub(c.refreshed) < regexPause {
			return // at the next heartbeat
		}
		c.refreshed = s.now
		for _, text := range slices.Sorted(maps.Keys(c.regexes)) {
			e := c.regexes[text]
			if before := e.topics; s.resolve(c, text, e) && !slices.Equal(before, e.topics) {
				s.emit(regexRecord(c, text, e))
			}
		}
	}
	c.seen = s.metadata
}

// resolve looks through all topics. False: the expression is one of a log that
// another wrote, and no expression here.
func (s *shard) resolve(c *consumerGroup, text string, e *expression) bool {
	if e.re == nil {
		return false
	}
	c.g.grow(-e.size(text))
	e.topics, e.resolved = nil, s.now.UnixMilli()
	for name := range s.metadata.TopicNames() {
		if e.re.MatchString(name) {
			e.topics = append(e.topics, strings.Clone(name))
		}
	}
	slices.Sort(e.topics)
	c.g.grow(e.size(text))
	return true
}

// size is what the budget is charged for e; nothing before it is resolved.
func (e *expression) size(text string) int64 {
	if e.resolved == 0 {
		return 0
	}
	return int64(memberOverhead+len(text)) + subscriptionBytes(e.topics)
}
