package core

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

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
//   - v7 sessions: none are kept. A request for a new one (epoch 0) is answered
//     in full with session id 0, which is what a broker without room for
//     another session says; a request to go on with one is
//     FETCH_SESSION_ID_NOT_FOUND.
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
	w.minBytes = min(int64(w.req.MinBytes), w.maxBytes)
	w.committed = w.req.Isolation == 1
	wait := time.Duration(max(w.req.MaxWaitMillis, 0)) * time.Millisecond
	w.deadline = time.Now().Add(min(wait, b.cfg.FetchMaxWait))

	if h.Version >= 7 && w.req.SessionEpoch > 0 {
		w.req.Topics = w.req.Topics[:0]
		w.parts = w.parts[:0]
		w.refuseSession()
		return
	}
	w.find()
	if len(w.parts) == 0 {
		w.answer()
		return
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

func (w *fetch) refuseSession() {
	w.resp.Reset()
	w.resp.ErrorCode = kerr.FetchSessionIDNotFound.Code
	buf := w.b.server.Pool().Get(smallReply)
	dst := wire.AppendResponseHeader(buf.B[:frameLength], w.header.Key, w.header.Version, w.header.CorrelationID)
	buf.B = w.resp.Append(dst, w.header.Version)
	frame := w.frame
	w.release()
	frame.Reply(netio.Reply{Buf: buf})
}
