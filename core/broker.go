package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"millrace/batching"
	"millrace/core/meta"
	"millrace/core/quota"
	"millrace/diskio"
	"millrace/netio"
)

// Broker is a running broker. All methods are safe for concurrent use.
type Broker struct {
	// Immutable once Start has returned.
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	node     int32
	knobs    []frozen
	depth    batching.Depth
	prefetch bool // cold.read is prefetch
	grouped  bool // append.mode is grouped
	fs       diskio.FS
	dir      *dataDir
	store    *meta.Store
	syncer   *diskio.Syncer
	journal  *journal
	apis     *apiTable
	server   netio.Server
	profiler *profiler
	restore  func() // takes back the runtime's settings
	host     string // what clients are told; "": the address they came by
	port     int32

	// Locks are taken in this order: changeMu, the store's, the coordinator's,
	// partition.mu, txnLane.mu, partition.waitMu, deadlines.mu, netio's own.
	changeMu sync.Mutex // held while the metadata changes and partitions follow
	graves   graves     // guarded by changeMu
	view     atomic.Pointer[view]

	counters  counters
	refusals  limiter
	workers   workers
	deadlines deadlines
	sessions  sessions
	metadata  metadataCache
	ids       producerIDs
	quotas    *quota.Book
	live      atomic.Pointer[Config] // cfg with what brokers were told since: see broker_configs.go
	groups    atomic.Pointer[groups] // nil: there is no __consumer_offsets
	txns      atomic.Pointer[txns]   // nil: there is no __transaction_state
	removals  sync.WaitGroup         // of deleted topics' files

	// A client may be there before Listen has returned: its first request waits
	// for opened, which is closed when the fields above are set. ready says so
	// without a lock.
	ready  atomic.Bool
	opened chan struct{}

	stopping atomic.Bool // nothing waits, nothing changes any more
	stop     sync.Once
	quit     chan struct{} // closed when Stop begins
	chores   sync.WaitGroup
	done     chan struct{}
	err      error // written before done is closed
}

// Start opens the data directory, recovers its partitions, and listens. ctx
// bounds the start only; the broker runs until Stop. Errors are one line that
// says what is wrong and what to do.
func Start(ctx context.Context, cfg Config) (_ *Broker, err error) {
	if err := Knobs(&cfg).Validate(); err != nil {
		return nil, err
	}
	b := &Broker{
		cfg: cfg, log: cfg.Logger, now: cfg.Clock, fs: cfg.FS, node: int32(cfg.NodeID),
		prefetch: cfg.Disk.ColdRead == diskio.ColdPrefetch,
		grouped:  cfg.Disk.AppendMode == diskio.AppendGrouped,
		apis:     newAPITable(coreAPIs()),
		workers:  workers{limit: slowWorkers},
		sessions: sessions{slots: cfg.FetchSessions, byID: map[int32]*fetchSession{}},
		quotas:   quota.NewBook(cfg.quotas()),
		opened:   make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	if b.log == nil {
		b.log = slog.Default()
	}
	if cfg.Net.Logger == nil {
		cfg.Net.Logger = b.log
	}
	if b.now == nil {
		b.now = time.Now
	}
	if b.depth, err = batching.ParseDepth(cfg.ValidateDepth); err != nil {
		return nil, err
	}
	b.knobs = cfg.freeze()
	b.restore = tuneRuntime(cfg)
	// What was begun is ended in reverse where a later step fails.
	var undo []func()
	defer func() {
		if err == nil {
			return
		}
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}()
	undo = append(undo, b.restore)
	if b.dir, err = openDataDir(b.fs, cfg.DataDir, cfg.NodeID, b.log); err != nil {
		return nil, err
	}
	b.fs = b.dir.fs
	undo = append(undo, b.dir.unlock)
	if err := b.openMetadata(); err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = b.journal.log.Close() })
	b.syncer = diskio.NewSyncer(cfg.Disk)
	undo = append(undo, b.syncer.Close)
	if err := b.openPartitions(ctx); err != nil {
		return nil, err
	}
	undo = append(undo, func() {
		// Nothing was appended: what was clean is clean.
		if b.closePartitions() == nil && b.dir.clean {
			_ = b.dir.markClean()
		}
	}, b.closeGroups, b.closeTxns)
	if cfg.PprofListen != "" {
		if b.profiler, err = startProfiler(cfg.PprofListen); err != nil {
			return nil, err
		}
		undo = append(undo, b.profiler.stop)
	}
	if b.server, err = netio.Listen(cfg.Listen, cfg.Net, loop{b}); err != nil {
		return nil, err
	}
	err = b.decideAdvertised()
	b.ready.Store(true)
	close(b.opened)
	if err != nil {
		undo = append(undo, func() { _ = b.server.Stop(ctx) })
		return nil, err
	}
	b.chores.Add(1)
	go b.doChores()
	return b, nil
}

// slowWorkers bounds the requests that wait for the disk or for a change of the
// metadata at the same time. They wait more than they work.
const slowWorkers = 16

// openMetadata folds the metadata log and adds this start to it.
func (b *Broker) openMetadata() error {
	if err := checkJournal(b.dir); err != nil {
		return err
	}
	opened, err := diskio.Open(b.fs, b.dir.file(journalDir), journalConfig(), diskio.Options{Clock: b.now, Logger: b.log})
	if err != nil {
		return fmt.Errorf("metadata log: %w", err)
	}
	b.journal = &journal{log: opened, now: b.now}
	if b.store, err = meta.Open(b.journal); err == nil {
		_, err = b.store.Change(func(image *meta.Image) ([]meta.Record, error) {
			if image.Len() == 0 {
				return nil, nil // no leader epoch to raise: nothing to wait for the disk for
			}
			return []meta.Record{meta.BrokerStarted{Node: b.node}}, nil
		})
	}
	if err != nil {
		_ = opened.Close()
	}
	return err
}

// openPartitions recovers every partition of the image.
func (b *Broker) openPartitions(ctx context.Context) error {
	image := b.store.Image()
	stale, err := b.dir.sweep(image)
	if err != nil {
		return err
	}
	began := time.Now()
	b.bringInLine(ctx, &view{}, image)
	if stale {
		b.renewCheckpoints()
	}
	if n := len(b.view.Load().all()); n > 0 {
		b.log.Info("partitions opened", "partitions", n, "clean", b.dir.clean, "took", time.Since(began).Round(time.Millisecond))
	}
	return ctx.Err()
}

// decideAdvertised settles what clients are told to connect to.
func (b *Broker) decideAdvertised() (err error) {
	if b.cfg.Advertised != "" {
		b.host, b.port, err = splitListener(b.cfg.Advertised)
		return err
	}
	at, ok := b.server.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("listening on %v, which is no TCP address: set advertised.listeners", b.server.Addr())
	}
	b.host, b.port = at.IP.String(), int32(at.Port)
	if at.IP.IsUnspecified() {
		b.host = ""
	}
	return nil
}

// advertised is where the client of this call is told to connect to. A broker
// that listens on every address tells each client the one it came by.
func (c *call) advertised() (host string, port int32) {
	if c.host == "" {
		return c.client.host, c.port
	}
	return c.host, c.port
}

// Addr is the address listened on, with the real port where 0 was asked.
func (b *Broker) Addr() string { return b.server.Addr().String() }

// PprofAddr is where profiles are served; "": nowhere.
func (b *Broker) PprofAddr() string { return b.profiler.addr() }

// Stop lets replies already begun leave until ctx ends, closes every
// connection, syncs and closes every log, and marks the stop as clean. Later
// calls wait for the first and return its error.
func (b *Broker) Stop(ctx context.Context) error {
	b.stop.Do(func() {
		close(b.quit)
		b.stopping.Store(true)
		b.deadlines.expireAll() // nothing that waits for records holds up the stop,
		b.closeTxns()
		b.closeGroups() // nor for other members
		err := b.server.Stop(ctx)
		b.workers.close()
		b.deadlines.stop()
		b.profiler.stop()
		b.chores.Wait()
		b.removals.Wait()
		b.err = errors.Join(err, b.closeData())
		b.restore()
		close(b.done)
	})
	<-b.done
	return b.err
}

// closeData closes every log; only where all of them closed well is the stop
// marked as clean.
func (b *Broker) closeData() error {
	b.changeMu.Lock()
	defer b.changeMu.Unlock()
	// The workers answer to the partitions, so they end first; what they had
	// not synced yet, closing the logs does.
	b.syncer.Close()
	err := errors.Join(b.closePartitions(), b.saveCheckpoints(), b.journal.log.Close())
	if err == nil {
		err = b.dir.markClean()
	}
	b.dir.unlock()
	return err
}

// Done is closed when the broker has ended.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Err says what went wrong when the broker ended; nil before Done is closed and
// after a clean stop.
func (b *Broker) Err() error {
	select {
	case <-b.done:
		return b.err
	default:
		return nil
	}
}

// tuneRuntime sets the garbage collector's knobs, which are the whole
// process's, and answers what takes them back.
func tuneRuntime(cfg Config) (restore func()) {
	restore = func() {}
	if cfg.GOGC != 0 {
		was := debug.SetGCPercent(cfg.GOGC)
		restore = func() { debug.SetGCPercent(was) }
	}
	if cfg.GOMEMLIMIT != 0 {
		was, gc := debug.SetMemoryLimit(cfg.GOMEMLIMIT), restore
		restore = func() { gc(); debug.SetMemoryLimit(was) }
	}
	return restore
}
