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
var differences = []difference{}

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
