package diskio

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"millrace/batching"

	"github.com/stretchr/testify/require"
)

// This file pulls the plug. A script of operations runs against a MemFS behind a
// FaultFS that fails, from the Nth call on, every call: the process is gone. What
// a disk would hold then is cloned, with none, some or all of what was not
// synced; the log is opened again and held against what had been promised. N
// goes through every call that the script makes.

const crashDir = "/data/events-0"

// promise is what the outside has been told.
type promise struct {
	synced int64 // an acknowledged Sync, as written down: the recovery point
	end    int64 // of the last append that returned nil
	start  int64
	data   map[int64]string
}

// crashScript appends, syncs, truncates and advances until the disk dies or it
// is through. p is kept up to date as a broker would answer its clients.
func crashScript(fs FS, cfg Config, seed uint64, p *promise) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	l, err := Open(fs, crashDir, cfg, Options{Logger: quiet})
	if err != nil {
		return err
	}
	defer func() { l.flushers.Wait() }()
	for i := range 40 {
		base := l.End()
		switch k := rng.IntN(20); {
		case k < 13:
			var bs []batching.Batch
			next := base
			for range 1 + rng.IntN(3) {
				b := scriptBatch(next, rng)
				bs = append(bs, b)
				next = b.NextOffset()
			}
			for _, b := range bs {
				p.data[b.BaseOffset()] = string(b.Bytes())
			}
			if err := l.Append(bs...); err != nil {
				return err
			}
			p.end = next
		case k < 16:
			if err := l.Sync(); err != nil {
				return err
			}
			p.synced = l.Synced()
		case k < 17 && i > 10:
			to := l.Start() + rng.Int64N(base-l.Start()+1)
			// Until Truncate has answered, what it cuts may be there as well as
			// not, from the start of the batch that holds to.
			p.synced, p.end = min(p.synced, to-4), min(p.end, to-4)
			if err := l.Truncate(to); err != nil {
				return err
			}
			p.synced, p.end = min(p.synced, l.End()), l.End()
		case k < 18:
			if err := l.AdvanceStart(min(p.synced, l.Start()+3)); err != nil {
				return err
			}
			p.start = l.Start()
		default:
			if p.end > 0 {
				if _, err := readAll(l, l.Start(), l.End(), 300); err != nil {
					return err
				}
			}
		}
	}
	return l.Close()
}

// scriptBatch has values that readAll checks, and a random size, so that no two
// generations of an offset are alike.
func scriptBatch(base int64, rng *rand.Rand) batching.Batch {
	return testBatch(nopTB{}, base, 1+rng.IntN(4), 10+rng.IntN(120), 1000+rng.Int64N(5000))
}

// nopTB lets testBatch run where there is no test at hand; its failures panic.
type nopTB struct{ testing.TB }

func (nopTB) Helper()                      {}
func (nopTB) Errorf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (nopTB) FailNow()                     { panic("failed") }

// checkPromise opens what a crash left and says what promise was broken.
func checkPromise(fs FS, cfg Config, o Options, p *promise) error {
	o.Logger = quiet
	l, err := Open(fs, crashDir, cfg, o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer l.Close()
	if l.End() < p.synced {
		return fmt.Errorf("the log ends at %d; %d was promised to be on stable storage", l.End(), p.synced)
	}
	if l.Recovery().Missing > 0 {
		return fmt.Errorf("recovery itself says that %d offsets are missing", l.Recovery().Missing)
	}
	next, err := readAll(l, l.Start(), l.End(), 1000)
	if err != nil {
		return err
	}
	if next != l.End() {
		return fmt.Errorf("reading stopped at %d, the log ends at %d", next, l.End())
	}
	err = l.Scan(l.Start(), p.synced, func(b batching.Batch) error {
		if want := p.data[b.BaseOffset()]; want != string(b.Bytes()) {
			return fmt.Errorf("batch at %d is not the one that was promised", b.BaseOffset())
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The log must work: take an append, and survive a clean stop.
	base := l.End()
	if err := l.Append(testBatch(nopTB{}, base, 2, 20, 9000)); err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	if v, err := Verify(fs, crashDir); err != nil || len(v.Faults) > 0 {
		return fmt.Errorf("verify: %v %v", err, v.Faults)
	}
	return nil
}

// crashAt runs the script until call n and returns what it had promised and
// the disk as it is then; done is true where the script had fewer calls.
func crashAt(n int64, cfg Config, seed uint64, lie Fault) (p *promise, mem *MemFS, done bool, err error) {
	mem = NewMem()
	var under FS = mem
	if lie.Lie {
		liar := NewFault(mem)
		liar.Set(lie)
		under = liar
	}
	dying := NewFault(under)
	dying.Set(Fault{Call: n, Err: syscall.EIO, Sticky: true, Short: true})
	p = &promise{data: map[int64]string{}}
	err = crashScript(dying, cfg, seed, p)
	return p, mem, err == nil, err
}

func crashConfigs() []Config {
	var out []Config
	for _, mode := range appendModes.names() {
		c := small()
		c.SegmentBytes, c.AppendMode = 1500, mode
		out = append(out, c)
	}
	return out
}

func TestCrashAtEveryCall(t *testing.T) {
	for i, cfg := range crashConfigs() {
		for seed := uint64(1); seed <= 2; seed++ {
			t.Run(fmt.Sprintf("append.mode=%s/seed=%d", cfg.AppendMode, seed), func(t *testing.T) {
				t.Parallel()
				seed := seed + uint64(i)*100
				for n := int64(1); ; n += every(7) {
					require.Less(t, n, int64(5000), "the script does not end")
					p, mem, done, err := crashAt(n, cfg, seed, Fault{})
					if !done {
						require.ErrorIs(t, err, syscall.EIO)
					}
					for j, survives := range []float64{0, 0.5, 1} {
						clone := mem.CrashClone(Crash{Seed: uint64(n)*10 + uint64(j), Survives: survives})
						err := checkPromise(clone, cfg, Options{RecoveryPoint: p.synced, Start: p.start}, p)
						require.NoError(t, err, "plug pulled at call %d, survives %v", n, survives)
					}
					if done {
						break
					}
				}
			})
		}
	}
}

// TestCrashCheckerCatches is the negative control: the same script and the same
// checker must notice a disk that forgets what it said was synced, a directory
// that was never synced, and a recovery that trusts where it must not.
func TestCrashCheckerCatches(t *testing.T) {
	cfg := crashConfigs()[0]
	caught := func(lie Fault, o Options) (n int) {
		for call := int64(20); call < 200; call += 5 {
			p, mem, done, _ := crashAt(call, cfg, 2, lie)
			clone := mem.CrashClone(Crash{Seed: uint64(call), Survives: 0.5})
			o.RecoveryPoint, o.Start = p.synced, p.start
			if err := checkPromise(clone, cfg, o, p); err != nil {
				n++
			}
			if done {
				break
			}
		}
		return n
	}
	require.Zero(t, caught(Fault{}, Options{}))
	require.NotZero(t, caught(Fault{Op: "sync", Call: 1, Sticky: true, Lie: true}, Options{}), "fsync that does nothing")
	require.NotZero(t, caught(Fault{Op: "syncdir", Call: 1, Sticky: true, Lie: true}, Options{}), "directory that is not synced")
	require.NotZero(t, caught(Fault{}, Options{Clean: true}), "recovery that trusts a crash")
}

// TestFaultAtEveryCall: one call fails and the disk goes on. Whatever it was,
// nothing that was answered is lost, nothing that failed is seen, and a log that
// has failed stays so.
func TestFaultAtEveryCall(t *testing.T) {
	for _, cfg := range crashConfigs() {
		for _, fault := range []Fault{{Err: syscall.ENOSPC, Short: true}, {Err: syscall.EIO}} {
			t.Run(fmt.Sprintf("append.mode=%s/err=%v", cfg.AppendMode, fault.Err), func(t *testing.T) {
				t.Parallel()
				for n := int64(1); ; n += every(7) {
					require.Less(t, n, int64(5000))
					fault.Call = n
					if !faultOnce(t, cfg, fault) {
						break
					}
				}
			})
		}
	}
}

// faultOnce appends and syncs with one failing call; false: the script was
// through before it came.
func faultOnce(t *testing.T, cfg Config, fault Fault) bool {
	mem := NewMem()
	fs := NewFault(mem)
	fs.Set(fault)
	p := &promise{data: map[int64]string{}}
	l, err := Open(fs, crashDir, cfg, Options{Logger: quiet})
	if err != nil {
		var e *Error
		require.ErrorAs(t, err, &e)
		require.ErrorIs(t, err, fault.Err)
		l, err = Open(fs, crashDir, cfg, Options{Logger: quiet})
		require.NoError(t, err, "the second try, on a disk that works")
	}
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range 25 {
		before := l.End()
		b := scriptBatch(before, rng)
		b2 := scriptBatch(b.NextOffset(), rng)
		switch err := l.Append(b, b2); {
		case err == nil:
			p.data[before], p.data[b2.BaseOffset()] = string(b.Bytes()), string(b2.Bytes())
			p.end = l.End()
		default:
			checkFailed(t, l, err, fault.Err)
			require.Equal(t, before, l.End(), "a failed append moved the end")
		}
		if i%5 == 4 {
			if err := l.Sync(); err != nil {
				checkFailed(t, l, err, fault.Err)
			}
		}
		if i == 15 {
			if err := l.Truncate(l.End() - 5); err != nil {
				checkFailed(t, l, err, fault.Err)
			}
			p.end = l.End()
		}
		if i%10 == 7 {
			next, err := readAll(l, l.Start(), l.End(), 400)
			if err != nil {
				require.ErrorIs(t, err, fault.Err)
				next, err = readAll(l, l.Start(), l.End(), 400)
			}
			require.NoError(t, err)
			require.Equal(t, l.End(), next)
		}
	}
	failed := l.Failed() != nil
	err = l.Close()
	if failed {
		require.Error(t, err, "a log that failed must not pass for closed cleanly")
	}
	reached, _ := fs.Calls()
	fs.Set(Fault{})
	p.synced = p.end // no power was lost: what was answered is in the page cache
	if err == nil {
		require.NoError(t, checkPromise(mem, cfg, Options{Clean: true, RecoveryPoint: p.end}, p), "clean, call %d", fault.Call)
	} else {
		require.NoError(t, checkPromise(mem, cfg, Options{}, p), "call %d", fault.Call)
	}
	return reached >= fault.Call
}

func checkFailed(t *testing.T, l *Log, err, cause error) {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	require.True(t, e.Failed, err)
	require.ErrorIs(t, err, cause)
	require.Contains(t, err.Error(), crashDir)
	require.Contains(t, err.Error(), "restart the broker")
	again := l.Append(testBatch(t, l.End(), 1, 10, 1))
	require.Equal(t, err, again, "the first fault is the one that is kept")
	require.Equal(t, err, l.Sync())
	require.True(t, errors.Is(l.Failed(), cause))
}
