package diskio

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestConcurrent: an appender, readers at the tail and everywhere, retention,
// syncs and lookups at once. Readers see whole batches in order, whatever is
// being deleted; when all is done no descriptor and no reference is left.
func TestConcurrent(t *testing.T) {
	for _, path := range readPaths.names() {
		t.Run("read.path="+path, func(t *testing.T) {
			cfg := small()
			cfg.SegmentBytes, cfg.RetentionBytes, cfg.RetentionTime, cfg.ReadPath = 8000, 40000, -1, path
			cfg.SyncPolicy = SyncGroup
			l := openLog(t, OS(), join(t.TempDir(), "a-0"), cfg, Options{})
			syncer := NewSyncer(cfg)
			var held atomic.Int64
			p := syncer.Attach(l, func(upTo int64, err error) {
				if err != nil || upTo > l.End() {
					t.Error("promised", upTo, err)
				}
				held.Store(max(held.Load(), upTo))
			})
			var stop atomic.Bool
			defer stop.Store(true)
			var wg sync.WaitGroup
			run := func(f func() error) {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for !stop.Load() {
						if err := f(); err != nil {
							t.Error(err)
							return
						}
						time.Sleep(100 * time.Microsecond) // two cores are enough for no one
					}
				}()
			}
			var reads atomic.Int64
			tail := int64(0)
			run(func() error {
				next, err := readAll(l, tail, l.End(), 5000)
				if errors.Is(err, ErrOutOfRange) {
					next, err = l.Start(), nil
				}
				tail = next
				return err
			})
			run(func() error {
				_, err := readAll(l, l.Start(), l.End(), 3000)
				reads.Add(1)
				if errors.Is(err, ErrOutOfRange) {
					err = nil // the start moved on
				}
				return err
			})
			run(func() error {
				_, err := l.Retain(time.Now(), l.End())
				time.Sleep(time.Millisecond)
				return err
			})
			run(func() error {
				_, _, _, err := l.OffsetForTime(1000 + l.End()/2)
				time.Sleep(time.Millisecond)
				return err
			})
			var kept []*Span
			// On a busy machine a reader may get its first turn late.
			for i := 0; i < 500 || reads.Load() == 0 && i < 100_000; i++ {
				base := l.End()
				require.NoError(t, l.Append(testBatch(t, base, 3, 100, 1000+base), testBatch(t, base+3, 2, 300, 1000+base)))
				p.Appended(l.End())
				if i < 500 && i%50 == 0 {
					sp, err := l.Read(base, 1<<20, l.End())
					require.NoError(t, err)
					kept = append(kept, sp)
				}
			}
			stop.Store(true)
			wg.Wait()
			require.NotZero(t, reads.Load())
			_, err := l.Retain(time.Now(), l.End())
			require.NoError(t, err)
			require.NotZero(t, l.Start(), "retention had nothing to do")
			for _, sp := range kept {
				_, err := checkSpan(sp, sp.FirstOffset(), 1<<20, l.End())
				require.NoError(t, err)
			}
			segs := map[*segment]bool{}
			for _, s := range *l.segs.Load() {
				segs[s] = true
			}
			for _, sp := range kept {
				segs[sp.seg] = true
				sp.Release()
			}
			syncer.Close()
			require.Equal(t, l.End(), held.Load(), "Close serves what is queued")
			require.NoError(t, l.Close())
			for s := range segs {
				require.Zero(t, s.refs.Load(), "segment %d is still held", s.base)
				require.Nil(t, s.file.Load())
				require.Nil(t, s.mapped.Load())
			}
		})
	}
}

// TestTruncateBesideReaders: a follower's log is cut and written again while
// spans are read.
func TestTruncateBesideReaders(t *testing.T) {
	for _, path := range readPaths.names() {
		t.Run("read.path="+path, func(t *testing.T) {
			cfg := small()
			cfg.ReadPath = path
			l := openLog(t, OS(), join(t.TempDir(), "a-0"), cfg, Options{})
			appendN(t, l, 50, 60)
			var stop atomic.Bool
			defer stop.Store(true)
			var wg sync.WaitGroup
			for range 2 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for !stop.Load() {
						// End may fall between the two looks at it.
						_, err := readAll(l, 0, l.End(), 700)
						if err != nil && !errors.Is(err, ErrOutOfRange) {
							t.Error(err)
							return
						}
					}
				}()
			}
			for i := range 40 {
				require.NoError(t, l.Truncate(l.End()-int64(i%20)))
				appendN(t, l, 4, 50+i)
			}
			stop.Store(true)
			wg.Wait()
			require.NoError(t, l.Close())
		})
	}
}

func TestSyncerPromises(t *testing.T) {
	for _, policy := range []string{SyncGroup, SyncEach} {
		t.Run("sync.policy="+policy, func(t *testing.T) {
			mem := NewMem()
			fs := NewFault(mem)
			cfg := Defaults()
			cfg.SyncPolicy = policy
			l := openLog(t, fs, "/d/a-0", cfg, Options{})
			s := NewSyncer(cfg)
			defer s.Close()
			type call struct {
				upTo int64
				err  error
			}
			calls := make(chan call, 1000)
			p := s.Attach(l, func(upTo int64, err error) { calls <- call{upTo, err} })
			fs.Set(Fault{Op: "sync"})
			const n = 50
			for range n {
				appendN(t, l, 1, 10)
				require.False(t, p.Appended(l.End()))
			}
			last, count := int64(0), 0
			for last < l.End() {
				c := <-calls
				require.NoError(t, c.err)
				require.GreaterOrEqual(t, c.upTo, last)
				require.LessOrEqual(t, c.upTo, l.Synced())
				last = c.upTo
				count++
			}
			syncs, _ := fs.Calls()
			if policy == SyncEach {
				require.Equal(t, n, count)
				require.GreaterOrEqual(t, syncs, int64(n), "an fsync for each")
			} else {
				require.LessOrEqual(t, syncs, int64(count)+1)
			}
			// The disk fails: the promise is never kept, and that is said.
			fs.Set(Fault{Op: "sync", Call: 1})
			appendN(t, l, 1, 10)
			p.Appended(l.End())
			c := <-calls
			for c.err == nil { // a round that was asked for before and found nothing to do
				require.LessOrEqual(t, c.upTo, last, "told of what no fsync has kept")
				c = <-calls
			}
			var e *Error
			require.ErrorAs(t, c.err, &e)
			require.Less(t, c.upTo, l.End())
			p.Detach()
			p.Appended(l.End())
			s.Close()
			require.Empty(t, calls, "nothing is told after Detach")
			require.Error(t, l.Close())
		})
	}
}

// TestSyncGroupShares: appends that come during an fsync share the next one.
func TestSyncGroupShares(t *testing.T) {
	gate := &gatedFS{FS: NewMem(), entered: make(chan struct{}, 100), pass: make(chan struct{}, 100)}
	cfg := Defaults()
	cfg.SyncPolicy = SyncGroup
	l := openLog(t, gate, "/d/a-0", cfg, Options{})
	s := NewSyncer(cfg)
	done := make(chan int64, 100)
	p := s.Attach(l, func(upTo int64, err error) { done <- upTo })
	appendN(t, l, 1, 10)
	first := l.End()
	p.Appended(first)
	<-gate.entered // the fsync of the first is running
	for range 20 {
		appendN(t, l, 1, 10)
		p.Appended(l.End())
	}
	gate.pass <- struct{}{}
	require.Equal(t, first, <-done, "what came during an fsync is not in it")
	<-gate.entered
	gate.pass <- struct{}{}
	require.Equal(t, l.End(), <-done, "twenty appends, one fsync")
	close(gate.pass)
	s.Close()
	require.NoError(t, l.Close())
}

// gatedFS holds every fsync of a segment until it is let pass.
type gatedFS struct {
	FS
	entered, pass chan struct{}
}

type gatedFile struct {
	File
	g *gatedFS
}

func (g *gatedFS) OpenFile(name string, flag int) (File, error) {
	f, err := g.FS.OpenFile(name, flag)
	if err != nil || filepath.Ext(name) != logSuffix {
		return f, err
	}
	return gatedFile{f, g}, nil
}

func (f gatedFile) Sync() error {
	f.g.entered <- struct{}{}
	<-f.g.pass
	return f.File.Sync()
}

func TestSyncInterval(t *testing.T) {
	cfg := Defaults()
	cfg.SyncPolicy, cfg.SyncInterval = SyncInterval, 5*time.Millisecond
	s := NewSyncer(cfg)
	defer s.Close()
	var logs []*Log
	for i := range 3 {
		l := openLog(t, NewMem(), fmt.Sprintf("/d/a-%d", i), cfg, Options{})
		p := s.Attach(l, func(int64, error) { t.Error("interval promises nothing later") })
		appendN(t, l, 1, 10)
		require.True(t, p.Appended(l.End()))
		logs = append(logs, l)
	}
	for _, l := range logs {
		require.Eventually(t, func() bool { return l.Synced() == l.End() }, 10*time.Second, time.Millisecond)
		require.NoError(t, l.Close())
	}
}
