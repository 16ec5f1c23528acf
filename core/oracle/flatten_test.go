package oracle

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/core/wire"
)

// flatten writes an answer down, a line for each field: Path = value. Errors are
// named; null is left out; what another broker, or another run, must answer
// otherwise is put as *; lists of structures are sorted, since their order
// means nothing, but for synonyms.
func (p *player) flatten(resp kmsg.Response, asked string) []string {
	f := flattener{player: p, asked: asked}
	return f.lines(reflect.ValueOf(resp).Elem(), "")
}

type flattener struct {
	*player
	asked string
}

// volatile fields are told only as a variable's name or as the request had them.
var volatile = map[string]bool{
	"TopicID": true, "ProducerID": true, "MemberID": true, "LeaderID": true, "Leader": true,
	"LogAppendTime": true, "Timestamp": true, "StartTimestamp": true, "LastTimestamp": true,
	"SessionID": true, "CurrentTxnStartOffset": true,
}

// private fields are anybody's own.
var private = map[string]bool{
	"Host": true, "Port": true, "Rack": true, "ClusterID": true, "Dir": true, "TotalBytes": true, "UsableBytes": true,
	"Size": true, "ClientHost": true, "ClientID": true, "CoordinatorEpoch": true, "Documentation": true,
}

func (f flattener) lines(v reflect.Value, path string) []string {
	var out []string
	t := v.Type()
	for i := range t.NumField() {
		name := t.Field(i).Name
		switch name {
		case "Version", "UnknownTags", "ThrottleMillis":
			continue
		}
		field := v.Field(i)
		if name == "Leader" && field.Kind() != reflect.String { // a partition's
			out = append(out, fmt.Sprintf("%s = %v", path+name, field.Interface()))
			continue
		}
		out = append(out, f.field(field, path+name, name)...)
	}
	return out
}

func (f flattener) field(v reflect.Value, path, name string) []string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return f.field(v.Elem(), path, name)
	case reflect.Struct:
		return f.lines(v, path+".")
	case reflect.Slice:
		switch v.Type().Elem().Kind() {
		case reflect.Uint8:
			if name == "RecordBatches" {
				return []string{path + " = " + readRecords(v.Bytes())}
			}
			return []string{fmt.Sprintf("%s = %q", path, v.Bytes())}
		case reflect.Struct:
			return f.list(v, path, name)
		}
		return []string{fmt.Sprintf("%s = %v", path, f.scalars(v, name))}
	}
	return []string{path + " = " + f.scalar(v, name)}
}

func (f flattener) scalars(v reflect.Value, name string) []string {
	out := []string{}
	for i := range v.Len() {
		out = append(out, f.scalar(v.Index(i), name))
	}
	return out
}

func (f flattener) list(v reflect.Value, path, name string) []string {
	type element struct {
		key string
		v   reflect.Value
	}
	all := make([]element, v.Len())
	for i := range all {
		var key []string
		for _, l := range f.lines(v.Index(i), "") {
			if !strings.HasPrefix(l, "Error") {
				key = append(key, l)
			}
		}
		all[i] = element{strings.Join(key, "\n"), v.Index(i)}
	}
	if name != "ConfigSynonyms" {
		sort.SliceStable(all, func(i, j int) bool { return all[i].key < all[j].key })
	}
	out := []string{fmt.Sprintf("%s = %d", path, len(all))}
	for i, e := range all {
		label := fmt.Sprintf("%s[%d].", path, i)
		if n := e.v.FieldByName("Name"); n.IsValid() && n.Kind() == reflect.String && name == "Configs" {
			label = fmt.Sprintf("%s[%s].", path, n.String())
		}
		out = append(out, f.lines(e.v, label)...)
	}
	return out
}

func (f flattener) scalar(v reflect.Value, name string) string {
	if v.Kind() == reflect.Array {
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		text := base64.RawURLEncoding.EncodeToString(b)
		if v.IsZero() {
			return "0"
		}
		return f.known(text)
	}
	if strings.HasSuffix(name, "ErrorCode") {
		return wire.ErrorName(int16(v.Int()))
	}
	text := fmt.Sprint(v.Interface())
	if v.Kind() == reflect.String {
		text = v.String()
	}
	if private[name] {
		return "*"
	}
	if volatile[name] {
		if v.IsZero() || strings.HasPrefix(text, "-") {
			return text
		}
		return f.known(text)
	}
	if v.Kind() == reflect.String {
		for value, name := range f.names {
			if len(value) > 8 {
				text = strings.ReplaceAll(text, value, "$"+name)
			}
		}
		return fmt.Sprintf("%q", text)
	}
	if v.CanInt() {
		return fmt.Sprint(v.Int()) // enumerations by number, as on the wire
	}
	return text
}

// known is a value that has a name, or was in the request.
func (f flattener) known(text string) string {
	if name, ok := f.names[text]; ok {
		return "$" + name
	}
	if strings.Contains(f.asked, text) {
		return text
	}
	return "*"
}

// readRecords tells of the batches of a fetch.
func readRecords(b []byte) string {
	var out []string
	for len(b) > 0 {
		batch, err := batching.View(b)
		if err != nil {
			out = append(out, "part of a batch")
			break
		}
		var values []string
		for r, err := range batch.Records(0) {
			if err != nil {
				values = append(values, err.Error())
				break
			}
			if !batch.IsControl() {
				values = append(values, fmt.Sprintf("%q", r.Value))
			}
		}
		kind := "batch"
		if batch.IsControl() {
			kind = "control batch"
		}
		out = append(out, fmt.Sprintf("%s at %d: %s", kind, batch.BaseOffset(), strings.Join(values, ",")))
		b = b[batch.Size():]
	}
	return strings.Join(out, "; ")
}
