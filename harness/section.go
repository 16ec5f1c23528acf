package harness

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"millrace/internal/knob"
)

// A scenario file is declared, not parsed by hand: every section is a list of
// fields, each bound to the variable it fills. From that one declaration come
// the strict decoder, the resolved scenario.yaml, the paths that --set takes
// and the published JSON Schema.

// field is one key of a section.
type field struct {
	key string
	doc string
	val value
}

// value is what a key may hold.
type value interface {
	// decode fills the bound variable from n, adding faults to d.
	decode(d *decoder, n *yaml.Node, path string)
	// encode is the variable as YAML; nil: leave the key out.
	encode() *yaml.Node
	// schema is the JSON Schema of the key.
	schema() map[string]any
}

// decoder gathers what is wrong and where each value came from.
type decoder struct {
	file   string
	faults []fault
	at     map[string]*yaml.Node // the node that gave each path its value
	set    string                // the --set under way; empty: decoding the file
}

type fault struct {
	line, col int
	text      string
}

func (d *decoder) fault(n *yaml.Node, format string, args ...any) {
	f := fault{text: fmt.Sprintf(format, args...)}
	if n != nil && n.Line > 0 {
		f.line, f.col = n.Line, n.Column
		f.text = fmt.Sprintf("%s:%d:%d: %s", d.file, n.Line, n.Column, f.text)
	} else if d.set != "" {
		f.text = fmt.Sprintf("--set %s: %s", d.set, f.text)
	} else if n != nil && n.HeadComment != "" { // a node made by --set keeps its text there
		f.text = fmt.Sprintf("--set %s: %s", n.HeadComment, f.text)
	} else {
		f.text = fmt.Sprintf("%s: %s", d.file, f.text)
	}
	d.faults = append(d.faults, f)
}

// faultAt reports at the place that gave path its value, or at what it would
// stand in.
func (d *decoder) faultAt(path, format string, args ...any) {
	for d.at[path] == nil && path != "" {
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	d.fault(d.at[path], format, args...)
}

func (d *decoder) err() error {
	if len(d.faults) == 0 {
		return nil
	}
	sort.SliceStable(d.faults, func(i, j int) bool {
		a, b := d.faults[i], d.faults[j]
		if (a.line == 0) != (b.line == 0) {
			return b.line == 0
		}
		return a.line < b.line || a.line == b.line && a.col < b.col
	})
	f := &Faults{}
	for _, x := range d.faults {
		f.List = append(f.List, x.text)
	}
	return f
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// section is a mapping with known keys.
type section []field

func (s section) decode(d *decoder, n *yaml.Node, path string) {
	d.at[path] = n
	if n.Kind != yaml.MappingNode {
		d.fault(n, "%s is a list of keys and values, such as {%s: …}, not %s", orFile(path), s[0].key, describe(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		f := s.lookup(k.Value)
		if f == nil {
			d.fault(k, "unknown key %q%s%s", k.Value, within(path), knob.Suggest(k.Value, s.keys()))
			continue
		}
		if line, twice := seen[k.Value]; twice {
			d.fault(k, "%q is given twice%s; the first is in line %d", k.Value, within(path), line)
			continue
		}
		seen[k.Value] = k.Line
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		f.val.decode(d, v, join(path, f.key))
	}
}

func (s section) lookup(key string) *field {
	for i := range s {
		if s[i].key == key {
			return &s[i]
		}
	}
	return nil
}

func (s section) keys() []string {
	var keys []string
	for _, f := range s {
		keys = append(keys, f.key)
	}
	return keys
}

func (s section) encode() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range s {
		if v := f.val.encode(); v != nil {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: f.key}, v)
		}
	}
	if len(n.Content) == 0 {
		return nil
	}
	return n
}

func (s section) schema() map[string]any {
	props := map[string]any{}
	for _, f := range s {
		p := f.val.schema()
		p["description"] = f.doc
		props[f.key] = p
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": props}
}

// list is a sequence. The binding grows and reads the slice behind it.
type list struct {
	noun  string
	len   func() int
	reset func()
	grow  func() value      // appends an element with its defaults
	item  func(i int) value // an element that is there
	name  func(i int) string
}

func listOf[T any](noun string, items *[]T, fresh func() T, bind func(*T) value, name func(*T) string) list {
	return list{
		noun:  noun,
		len:   func() int { return len(*items) },
		reset: func() { *items = nil },
		grow: func() value {
			*items = append(*items, fresh())
			return bind(&(*items)[len(*items)-1])
		},
		item: func(i int) value { return bind(&(*items)[i]) },
		name: func(i int) string { return name(&(*items)[i]) },
	}
}

func (l list) decode(d *decoder, n *yaml.Node, path string) {
	d.at[path] = n
	if n.Kind != yaml.SequenceNode {
		d.fault(n, "%s is a list, such as [%s], not %s", path, l.noun, describe(n))
		return
	}
	l.reset()
	for i, e := range n.Content {
		if e.Kind == yaml.AliasNode {
			e = e.Alias
		}
		l.grow().decode(d, e, join(path, strconv.Itoa(i)))
	}
}

func (l list) encode() *yaml.Node {
	if l.len() == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range l.len() {
		e := l.item(i).encode()
		if e == nil {
			e = &yaml.Node{Kind: yaml.MappingNode}
		}
		if e.Kind == yaml.MappingNode {
			e.Style = yaml.FlowStyle
		}
		n.Content = append(n.Content, e)
	}
	return n
}

func (l list) schema() map[string]any {
	return map[string]any{"type": "array", "items": l.elemSchema()}
}

// elemSchema asks a throw-away element.
func (l list) elemSchema() map[string]any {
	if l.len() > 0 {
		return l.item(0).schema()
	}
	s := l.grow().schema()
	l.reset()
	return s
}

// dict is a mapping with free keys and text values.
type dict struct {
	m     *map[string]string
	check func(key, val string) error // nil: anything goes
	known func() []string
}

func (t dict) decode(d *decoder, n *yaml.Node, path string) {
	d.at[path] = n
	if n.Kind != yaml.MappingNode {
		d.fault(n, "%s is a list of keys and values, not %s", path, describe(n))
		return
	}
	*t.m = map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if v.Kind != yaml.ScalarNode {
			d.fault(v, "%s.%s is a single value, not %s", path, k.Value, describe(v))
			continue
		}
		t.put(d, k, v, path)
	}
}

func (t dict) put(d *decoder, k, v *yaml.Node, path string) {
	if t.check != nil {
		if err := t.check(k.Value, v.Value); err != nil {
			d.fault(v, "%v", err)
			return
		}
	}
	if *t.m == nil {
		*t.m = map[string]string{}
	}
	(*t.m)[k.Value] = v.Value
	d.at[join(path, k.Value)] = v
}

func (t dict) encode() *yaml.Node {
	if len(*t.m) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	keys := make([]string, 0, len(*t.m))
	for k := range *t.m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		n.Content = append(n.Content,
			&yaml.Node{Kind: yaml.ScalarNode, Value: k}, &yaml.Node{Kind: yaml.ScalarNode, Value: (*t.m)[k]})
	}
	return n
}

func (t dict) schema() map[string]any {
	s := map[string]any{"type": "object",
		"additionalProperties": map[string]any{"type": []string{"string", "number", "boolean"}}}
	if t.known != nil {
		s["propertyNames"] = map[string]any{"enum": t.known()}
	}
	return s
}

func orFile(path string) string {
	if path == "" {
		return "a scenario"
	}
	return path
}

func within(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	}
	return strconv.Quote(n.Value)
}

// override carries out one --set: path is relative to v.
func override(d *decoder, v value, path, at, text string) bool {
	switch v := v.(type) {
	case section:
		for i := range v {
			if path == v[i].key {
				return override(d, v[i].val, "", join(at, path), text)
			}
			if rest, ok := strings.CutPrefix(path, v[i].key+"."); ok {
				return override(d, v[i].val, rest, join(at, v[i].key), text)
			}
		}
		if path != "" {
			return false
		}
	case list:
		head, rest, _ := strings.Cut(path, ".")
		for i := range v.len() {
			if head != "" && (head == strconv.Itoa(i) || head == v.name(i)) {
				return override(d, v.item(i), rest, join(at, strconv.Itoa(i)), text)
			}
		}
		if path != "" {
			return false
		}
	case dict:
		if path != "" {
			n := setNode(d, text)
			v.put(d, &yaml.Node{Kind: yaml.ScalarNode, Value: path}, n, at)
			return true
		}
	case phaseValue:
		return v.override(d, path, at, text)
	default: // a single value
		if path != "" {
			return false
		}
		v.decode(d, setNode(d, text), at)
		return true
	}
	// A whole section or list, written as YAML.
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) != 1 {
		d.fault(nil, "%q is no YAML", text)
		return true
	}
	strip(doc.Content[0], d.set)
	v.decode(d, doc.Content[0], at)
	return true
}

func setNode(d *decoder, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: text, HeadComment: d.set}
}

// strip takes the positions off: they are those of the setting, not the file.
func strip(n *yaml.Node, set string) {
	n.Line, n.Column, n.HeadComment = 0, 0, set
	for _, c := range n.Content {
		strip(c, set)
	}
}
