package oracle

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.yaml.in/yaml/v3"
)

// A script is made of blocks, one command each; a line that begins with a space
// goes on with the command above it, and # begins a comment.
//
//	topic NAME PARTITIONS [config=value …]    make a topic and wait for it
//	produce TOPIC/PARTITION VALUE …           append records, one batch, at time 1000, 1001, …
//	settle                                    let Kafka's parts hear of a change
//	connect                                   go on with a new connection
//
//	API vN {YAML of the request}              ask, and write the answer down
//	  = what is asked                         its title
//	  let name = Path.To[0].Field             keep a part of the answer as $name
//	  pick REGEXP                             write down only the lines that match,
//	                                          or with - before it those that do not
//	  unseen                                  write nothing down
//	  retry CODE …                            ask again while this is the answer's error;
//	                                          NONE: while there is none
//
// Fields are kmsg's; what is not named has kmsg's default. $id.NAME is a topic's
// id. Records are a mapping, see records.
type command struct {
	line  int
	verb  string // topic, produce, settle, connect, ask
	words []string

	api     string
	version int16
	body    string
	title   string
	lets    [][2]string
	pick    *regexp.Regexp
	leave   bool // what pick matches, out
	unseen  bool
	retry   []string
}

var asking = regexp.MustCompile(`^([A-Z][A-Za-z]+) v(\d+)\s*(.*)$`)

// parseScript reads a whole script.
func parseScript(text string) ([]*command, error) {
	var out []*command
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if line[0] == ' ' {
			if len(out) == 0 {
				return nil, fmt.Errorf("line %d: nothing to go on with", i+1)
			}
			if err := out[len(out)-1].more(trimmed); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			continue
		}
		c := &command{line: i + 1}
		if m := asking.FindStringSubmatch(trimmed); m != nil {
			v, _ := strconv.Atoi(m[2])
			c.verb, c.api, c.version, c.body = "ask", m[1], int16(v), m[3]
			if _, ok := keys[c.api]; !ok {
				return nil, fmt.Errorf("line %d: no API %s", i+1, c.api)
			}
		} else {
			words := strings.Fields(trimmed)
			c.verb, c.words = words[0], words[1:]
		}
		out = append(out, c)
	}
	return out, nil
}

// more takes a continuation.
func (c *command) more(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "=":
		c.title = rest
	case "let":
		name, path, ok := strings.Cut(rest, " = ")
		if !ok {
			return fmt.Errorf("let %q: want NAME = PATH", rest)
		}
		c.lets = append(c.lets, [2]string{name, path})
	case "pick":
		rest, c.leave = strings.CutPrefix(rest, "-")
		re, err := regexp.Compile(rest)
		if err != nil {
			return err
		}
		c.pick = re
	case "unseen":
		c.unseen = true
	case "retry":
		c.retry = strings.Fields(rest)
	default:
		c.body += " " + line
	}
	return nil
}

// keys are the APIs by kmsg's names.
var keys = func() map[string]int16 {
	m := map[string]int16{}
	for k := int16(0); k <= kmsg.MaxKey; k++ {
		if req := kmsg.RequestForKey(k); req != nil {
			m[kmsg.NameForKey(k)] = k
		}
	}
	return m
}()

// request makes the command's request, with the variables put in.
func (c *command) request(vars map[string]string) (kmsg.Request, error) {
	req := kmsg.RequestForKey(keys[c.api])
	body := variable.ReplaceAllStringFunc(c.body, func(name string) string {
		if v, ok := vars[name[1:]]; ok {
			return v
		}
		return name
	})
	var tree any
	if err := yaml.Unmarshal([]byte(body), &tree); err != nil {
		return nil, fmt.Errorf("line %d: %w", c.line, err)
	}
	if tree != nil {
		if err := fillRequest(req, tree); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", c.line, c.api, err)
		}
	}
	req.SetVersion(c.version)
	return req, nil
}

var variable = regexp.MustCompile(`\$[a-zA-Z0-9._-]+`)
