package oracle

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
)

// fillRequest puts a YAML tree into a request of kmsg's.
func fillRequest(req kmsg.Request, tree any) error {
	return fill(reflect.ValueOf(req).Elem(), tree, "")
}

func fill(v reflect.Value, tree any, path string) error {
	if tree == nil {
		v.SetZero()
		return nil
	}
	if path != "" && strings.HasSuffix(path, "Records") && v.Type() == reflect.TypeFor[[]byte]() {
		if m, ok := tree.(map[string]any); ok {
			b, err := records(m)
			v.SetBytes(b)
			return err
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if d, ok := p.Interface().(interface{ Default() }); ok {
			d.Default()
		}
		if err := fill(p.Elem(), tree, path); err != nil {
			return err
		}
		v.Set(p)
	case reflect.Struct:
		m, ok := tree.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: want a mapping, not %v", path, tree)
		}
		for name, sub := range m {
			f := v.FieldByName(name)
			if !f.IsValid() {
				return fmt.Errorf("%s has no field %s", v.Type(), name)
			}
			if err := fill(f, sub, path+"."+name); err != nil {
				return err
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(fmt.Sprint(tree)))
			return nil
		}
		list, ok := tree.([]any)
		if !ok {
			return fmt.Errorf("%s: want a list, not %v", path, tree)
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
		for i, sub := range list {
			if d, ok := v.Index(i).Addr().Interface().(interface{ Default() }); ok {
				d.Default()
			}
			if err := fill(v.Index(i), sub, path); err != nil {
				return err
			}
		}
	case reflect.Array: // a topic's id
		b, err := base64.RawURLEncoding.DecodeString(fmt.Sprint(tree))
		if err != nil || len(b) != v.Len() {
			return fmt.Errorf("%s: %v is no topic id", path, tree)
		}
		reflect.Copy(v, reflect.ValueOf(b))
	default:
		return fillScalar(v, tree, path)
	}
	return nil
}

func fillScalar(v reflect.Value, tree any, path string) error {
	switch x := tree.(type) {
	case string:
		if v.Kind() == reflect.String {
			v.SetString(x)
			return nil
		}
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(x)
			return nil
		}
	case int:
		switch {
		case v.CanInt() && !v.OverflowInt(int64(x)):
			v.SetInt(int64(x))
			return nil
		case v.CanFloat():
			v.SetFloat(float64(x))
			return nil
		case v.Kind() == reflect.String:
			v.SetString(fmt.Sprint(x))
			return nil
		}
	case float64:
		if v.CanFloat() {
			v.SetFloat(x)
			return nil
		}
	}
	return fmt.Errorf("%s: %v (%T) is no %s", path, tree, tree, v.Type())
}

// records makes what a produce request carries:
//
//	values [a, b]   a null value is a null value; keys: the key of all (default k), null: none
//	time 1000       of the first record; "now" plus a number of ms: {now: 5}
//	pid, epoch, seq an idempotent producer
//	txn true        transactional
//	codec gzip
//
// and damages it: magic, attributes, count, lastDelta, base, firstTime, maxTime
// set header fields; length adds to the length; badCRC; cut N bytes off;
// twice: two batches; text: bytes as they are.
func records(m map[string]any) ([]byte, error) {
	if s, ok := m["text"].(string); ok {
		return []byte(s), nil
	}
	number := func(name string, otherwise int) int {
		if n, ok := m[name].(int); ok {
			return n
		}
		return otherwise
	}
	o := batching.Options{}
	o.Transactional, _ = m["txn"].(bool)
	if name, ok := m["codec"].(string); ok {
		codec, err := batching.ParseCodec(name)
		if err != nil {
			return nil, err
		}
		o.Codec = codec
	}
	builder := batching.NewBuilder(o)
	if _, ok := m["pid"]; ok {
		builder.SetProducer(int64(number("pid", -1)), int16(number("epoch", 0)), int32(number("seq", 0)))
	}
	at := int64(number("time", int(time.Now().UnixMilli())))
	if n, ok := m["now"].(int); ok {
		at = time.Now().UnixMilli() + int64(n)
	}
	key := []byte("k")
	if k, ok := m["key"]; ok {
		if key = nil; k != nil {
			key = []byte(fmt.Sprint(k))
		}
	}
	list, _ := m["values"].([]any)
	for i, v := range list {
		var value []byte
		if v != nil {
			value = []byte(fmt.Sprint(v))
		}
		if err := builder.Append(at+int64(i), key, value, nil); err != nil {
			return nil, err
		}
	}
	b, err := builder.Build(nil)
	if err != nil {
		return nil, err
	}
	return damage(b, m), nil
}

// damage changes header fields at their offsets (PROTOCOL of the v2 batch).
func damage(b []byte, m map[string]any) []byte {
	set := func(name string, f func(n int)) {
		if n, ok := m[name].(int); ok {
			f(n)
		}
	}
	set("base", func(n int) { binary.BigEndian.PutUint64(b[0:], uint64(n)) })
	set("leaderEpoch", func(n int) { binary.BigEndian.PutUint32(b[12:], uint32(n)) })
	set("magic", func(n int) { b[16] = byte(n) })
	set("attributes", func(n int) { binary.BigEndian.PutUint16(b[21:], uint16(n)) })
	set("lastDelta", func(n int) { binary.BigEndian.PutUint32(b[23:], uint32(n)) })
	set("firstTime", func(n int) { binary.BigEndian.PutUint64(b[27:], uint64(n)) })
	set("maxTime", func(n int) { binary.BigEndian.PutUint64(b[35:], uint64(n)) })
	set("pidRaw", func(n int) { binary.BigEndian.PutUint64(b[43:], uint64(n)) })
	set("epochRaw", func(n int) { binary.BigEndian.PutUint16(b[51:], uint16(n)) })
	set("seqRaw", func(n int) { binary.BigEndian.PutUint32(b[53:], uint32(n)) })
	set("count", func(n int) { binary.BigEndian.PutUint32(b[57:], uint32(n)) })
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	set("length", func(n int) { binary.BigEndian.PutUint32(b[8:], uint32(int(binary.BigEndian.Uint32(b[8:]))+n)) })
	if bad, _ := m["badCRC"].(bool); bad {
		b[17] ^= 0xff
	}
	set("cut", func(n int) { b = b[:len(b)-n] })
	if twice, _ := m["twice"].(bool); twice {
		b = append(b, b...)
	}
	return b
}
