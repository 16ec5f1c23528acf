package harness

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that the lab started and that must not outlive it.
type process struct {
	cmd    *exec.Cmd
	stderr tail
	done   chan struct{} // closed when it has ended
	err    error         // of the end; read after done

	mu      sync.Mutex
	stopped bool // it was told to end
	lost    chan struct{}
}

// startProcess starts cmd in a process group of its own, so that a Ctrl-C at
// the terminal reaches the lab alone, and with SIGKILL as the parent's last
// will. That signal follows the thread that started the process, not the
// process of that thread: one thread therefore starts it and stays with it.
// cpus are those it may use; nil: all of ours.
func startProcess(cmd *exec.Cmd, cpus *unix.CPUSet) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{}), lost: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = &p.stderr
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := startOn(cpus, cmd.Start)
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done) // first: whoever learns that it is lost may ask why
		p.mu.Lock()
		if !p.stopped {
			close(p.lost)
		}
		p.mu.Unlock()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// told notes that the process is being told to end, so that its end surprises
// nobody. It is true the first time, of a process that has not ended.
func (p *process) told() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.stopped
	p.stopped = true
	return first && !isClosed(p.lost)
}

// stop asks with SIGTERM, and kills after stopTime.
func (p *process) stop() error {
	p.told()
	select {
	case <-p.done:
		return nil // it had ended before
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(stopTime):
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
	return fmt.Errorf("did not stop within %s of SIGTERM and was killed", stopTime)
}

// why says how the process ended and the last it had to say.
func (p *process) why() string {
	select {
	case <-p.done:
	default:
		return "still running"
	}
	how := "exit code 0"
	if p.err != nil {
		how = p.err.Error()
	}
	if said := p.stderr.lines(5); said != "" {
		return how + "; its last words:\n    " + strings.ReplaceAll(said, "\n", "\n    ")
	}
	return how
}

// tail keeps the end of what a process says.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

// lines is the last n lines.
func (t *tail) lines(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := bytes.Split(bytes.TrimSpace(t.buf), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-n):], []byte("\n")))
}

var _ io.Writer = (*tail)(nil)

// removeData removes a target's data directory.
func removeData(dir string) error {
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}
