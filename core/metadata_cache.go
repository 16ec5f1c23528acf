package core

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/wire"
	"millrace/netio"
)

// metadataCache keeps answers to Metadata as bytes, by the bytes of the request:
// clients ask the same again every few minutes and at each reconnect, and with
// ten thousand partitions it is the largest answer there is to encode.
//
// An answer is good for the view and the number of offline partitions it was
// made from; the first request after either changed begins an empty cache. Of
// requests that make topics nothing is kept.
type metadataCache struct {
	mu      sync.RWMutex
	view    *view
	offline int64
	answers map[string][]byte
	bytes   int // of keys and answers
}

const (
	// A request that names very many topics is not likely to come again.
	maxMetadataKey = 4 << 10
	// All of the cache. One answer about 10,000 partitions takes 300 KiB.
	maxMetadataBytes = 8 << 20
	maxMetadataCount = 1024
)

// metadataKey is what an answer depends on besides the view, in dst.
func metadataKey(dst []byte, h wire.Header, host string, body []byte) []byte {
	dst = append(dst, byte(h.Version), byte(len(host)))
	dst = append(dst, host...)
	return append(dst, body...)
}

// get answers the encoded response, not to be written to; nil: there is none.
func (c *metadataCache) get(key []byte, v *view, offline int64) []byte {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.view != v || c.offline != offline {
		return nil
	}
	return c.answers[string(key)]
}

func (c *metadataCache) put(key []byte, v *view, offline int64, answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view != v || c.offline != offline || len(c.answers) >= maxMetadataCount || c.bytes+len(key)+len(answer) > maxMetadataBytes {
		c.view, c.offline, c.answers, c.bytes = v, offline, map[string][]byte{}, 0
	}
	if len(key)+len(answer) > maxMetadataBytes {
		return
	}
	c.answers[string(key)] = answer
	c.bytes += len(key) + len(answer)
}

// serveMetadata answers from the cache, or decodes, answers and remembers.
func serveMetadata(b *Broker, f *netio.Frame, h wire.Header, body []byte) {
	var room [512]byte
	var key []byte
	v, offline := b.view.Load(), b.counters.offline.Load()
	cl := clientOf(f.Conn())
	if len(body) <= maxMetadataKey {
		key = metadataKey(room[:0], h, cl.host, body)
		if answer := b.metadata.get(key, v, offline); answer != nil {
			b.replyBytes(f, h, answer)
			return
		}
	}
	decoded, err := wire.DecodeKmsg(h.Key, h.Version, body)
	if err != nil {
		b.refuse(f, err)
		return
	}
	req := decoded.(*kmsg.MetadataRequest)
	c := &call{Broker: b, header: h, client: cl}
	if len(missingTopics(b, v, req)) > 0 { // making a topic waits for the disk
		b.workers.run(func() { b.reply(f, h, metadata(c, b.view.Load(), req)) })
		return
	}
	resp := metadata(c, v, req)
	resp.SetVersion(h.Version)
	answer := resp.AppendTo(nil)
	// A partition that went offline meanwhile may or may not be in the answer.
	if key != nil && b.counters.offline.Load() == offline {
		b.metadata.put(key, v, offline, answer)
	}
	b.replyBytes(f, h, answer)
}

// replyBytes sends a response that is encoded already, all but its header.
func (b *Broker) replyBytes(f *netio.Frame, h wire.Header, body []byte) {
	buf := b.server.Pool().Get(smallReply)
	dst := wire.AppendResponseHeader(buf.B[:frameLength], h.Key, h.Version, h.CorrelationID)
	if n := len(dst) + len(body); n > cap(dst) {
		// A buffer of the right size, which the pool gets back.
		full := b.server.Pool().Get(n)
		dst = full.B[:copy(full.B, dst)]
		b.server.Pool().Put(buf)
		buf = full
	}
	buf.B = append(dst, body...)
	f.Reply(netio.Reply{Buf: buf})
}
