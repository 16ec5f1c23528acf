package core

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/core/quota"
	"millrace/core/wire"
	"millrace/netio"
)

// Fetch, v4 to v16: record batches as they lie in the log.
//
//   - The answer waits until it has min bytes or max wait is over; a fault in
//     any partition answers at once. Limits: the request's, the partition's and
//     fetch.max.bytes; the first partition with records gives at least one batch.
//   - Offsets in the middle of a batch give the whole batch; an offset at the
//     end waits; below the log start or beyond the end is OFFSET_OUT_OF_RANGE.
//   - Nothing at or past the high watermark is given; to read_committed, nothing
//     at or past the last stable offset, and the aborted transactions that have
//     records among those given, by their markers' order.
//   - v7 sessions: epoch 0 asks for everything and, in the answer, for a
//     session; epoch -1 is without one. Both close the session whose id they
//     name. Any other epoch goes on with one: only what has records, an error, a
//     new high watermark or log start is answered. Not there, or too large:
//     FETCH_SESSION_ID_NOT_FOUND; not its epoch: INVALID_FETCH_SESSION_EPOCH;
//     from topic names to ids or back: FETCH_SESSION_TOPIC_ID_ERROR. When the
//     last partition is forgotten the session ends, and the answer's id is 0;
//     so it is where max.incremental.fetch.session.cache.slots leaves no room.
//   - v9: a leader epoch that is not ours is FENCED_LEADER_EPOCH or
//     UNKNOWN_LEADER_EPOCH. v12 adds the last fetched epoch, which only
//     followers set and which is not judged.
//   - v13: topics by id; an unknown one is UNKNOWN_TOPIC_ID. v15 moves the
//     replica id into a tag, v16 adds endpoints of other leaders: none.
func serveFetch(b *Broker, f *netio.Frame, h wire.Header, body []byte) {
	w := fetches.Get().(*fetch)
	w.b, w.frame, w.header = b, f, h
	if err := w.req.Decode(h.Version, body); err != nil {
		w.release()
		b.refuse(f, err)
		return
	}
	w.maxBytes = min(int64(max(w.req.MaxBytes, 0)), b.cfg.FetchMaxBytes)
	if most, ok := b.quotas.Most(quota.Fetch, anonymous, string(h.ClientID)); ok {
		w.maxBytes = min(w.maxBytes, int64(most)) // more would never be within the quota
	}
	w.minBytes = min(int64(w.req.MinBytes), w.maxBytes)
	w.owes = clientOf(f.Conn()).owes
	w.committed = w.req.Isolation == 1
	wait := time.Duration(max(w.req.MaxWaitMillis, 0)) * time.Millisecond
	w.deadline = time.Now().Add(min(wait, b.cfg.FetchMaxWait))

	if h.Version >= 7 {
		if code := w.enterSession(); code != 0 {
			w.refuseSession(code)
			return
		}
	}
	if w.session == nil {
		if w.find(); len(w.parts) == 0 {
			w.answer()
			return
		}
	}
	if !w.attempt() {
		w.park()
	}
}

// find looks up the partitions asked for.
func (w *fetch) find() {
	view := w.b.view.Load()
	for t := range w.req.Topics {
		asked := &w.req.Topics[t]
		topic, code := view.find(asked.Name, asked.ID, w.header.Version >= 13)
		for p := range asked.Partitions {
			part := fetchPart{asked: asked.Partitions[p], code: code}
			if topic != nil {
				part.partition = topic.partition(part.asked.Index)
				if part.partition == nil {
					part.code = kerr.UnknownTopicOrPartition.Code
				}
			}
			w.parts = append(w.parts, part)
		}
	}
}

// refuseSession answers a request whose session is not there or not so far.
func (w *fetch) refuseSession(code int16) {
	w.resp.Reset()
	w.resp.ErrorCode = code
	buf := w.b.server.Pool().Get(smallReply)
	dst := wire.AppendResponseHeader(buf.B[:frameLength], w.header.Key, w.header.Version, w.header.CorrelationID)
	buf.B = w.resp.Append(dst, w.header.Version)
	frame := w.frame
	w.release()
	frame.Reply(netio.Reply{Buf: buf})
}
