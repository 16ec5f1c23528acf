package core

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/diskio"
)

// gatedFS holds up the fsync of one file.
type gatedFS struct {
	diskio.FS
	path string
	gate atomic.Pointer[gate]
}

// gate is what an fsync goes through: it says that it has come, and leaves when
// it may.
type gate struct{ came, leave chan struct{} }

func (g *gatedFS) shut() *gate {
	now := &gate{came: make(chan struct{}, 100), leave: make(chan struct{})}
	g.gate.Store(now)
	return now
}

func (g *gatedFS) OpenFile(name string, flag int) (diskio.File, error) {
	f, err := g.FS.OpenFile(name, flag)
	if err != nil || name != g.path {
		return f, err
	}
	return gatedFile{f, g}, nil
}

type gatedFile struct {
	diskio.File
	g *gatedFS
}

func (f gatedFile) Sync() error {
	if now := f.g.gate.Load(); now != nil {
		now.came <- struct{}{}
		<-now.leave
	}
	return f.File.Sync()
}

// TestAcknowledgedWhenKept: an fsync answers those whose batches were there when
// it began, and nobody else: not who wrote while it ran, nor who sends again what
// it is about to keep.
func TestAcknowledgedWhenKept(t *testing.T) {
	for _, mode := range []string{"direct", diskio.AppendGrouped} {
		for _, policy := range []string{diskio.SyncGroup, diskio.SyncEach} {
			t.Run(mode+"/"+policy, func(t *testing.T) {
				fs := &gatedFS{FS: diskio.NewMem(), path: "/data/t-0/00000000000000000000.log"}
				cfg := onMemory(t, fs, policy)
				cfg.Disk.AppendMode = mode
				b := start(t, cfg)
				first, again, second := dial(t, b), dial(t, b), dial(t, b)
				createTopic(t, first, "t", 1)
				p := partitionAt(b, "t", 0)
				waiting := func(n int) {
					t.Helper()
					require.Eventually(t, func() bool {
						p.waitMu.Lock()
						defer p.waitMu.Unlock()
						return len(p.acks) == n
					}, patience, time.Millisecond)
				}
				send := func(p *peer, records []byte) kmsg.Request {
					req := produceRequest("t", 0, -1, records)
					req.SetVersion(9)
					p.send(req)
					return req
				}
				answered := func(p *peer, req kmsg.Request) int64 {
					t.Helper()
					got := p.receive(req, p.next).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
					require.Zero(t, got.ErrorCode)
					return got.BaseOffset
				}
				id := newProducerID(first)
				gate := fs.shut()
				a := send(first, idempotentBatch(t, id, 0, "a"))
				waiting(1)
				<-gate.came
				duplicate := send(again, idempotentBatch(t, id, 0, "a"))
				waiting(2)
				c := send(second, oneBatch(t, batching.Options{}, "b"))
				waiting(3)
				require.Zero(t, p.visible.Load(), "nothing is kept")

				gate.leave <- struct{}{}
				require.Zero(t, answered(first, a))
				require.Zero(t, answered(again, duplicate))
				<-gate.came
				waiting(1)
				require.Equal(t, int64(1), p.visible.Load())

				close(gate.leave)
				require.Equal(t, int64(1), answered(second, c))
			})
		}
	}
}
