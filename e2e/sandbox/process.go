package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// stopGrace is how long a process may take from SIGTERM to its end before it is killed: what a pod gets by default.
const stopGrace = 30 * time.Second

// Command says how to run a process.
type Command struct {
	Name string   // for messages; default: the base name of Path
	Path string   // the binary
	Args []string // without the binary's name
	Env  []string // "KEY=value", added to this process's environment
	Log  string   // file that stderr, and stdout unless Stdout is set, are appended to
	// Stdout receives standard output; nil: Log.
	Stdout io.Writer
	// ParentDeath is sent to the process when this process dies. 0: SIGKILL.
	ParentDeath syscall.Signal
	// Ready is a URL that answers 200 once the process is ready, for AwaitReady.
	Ready string
	// Metrics is the URL of its metrics, for whoever reads them.
	Metrics string
}

// Process is a child process that can be stopped, killed and started again. Its methods may be called concurrently.
type Process struct {
	command Command

	mu  sync.Mutex // serializes Restart
	cur *execution
}

// execution is one run of a command.
type execution struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // of cmd.Wait; read after done
}

// StartProcess starts the command. The caller must end it with Stop or Kill.
func StartProcess(c Command) (*Process, error) {
	if c.Name == "" {
		c.Name = filepath.Base(c.Path)
	}
	if c.ParentDeath == 0 {
		c.ParentDeath = syscall.SIGKILL
	}
	p := &Process{command: c}
	var err error
	p.cur, err = execute(c)
	return p, err
}

func execute(c Command) (*execution, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s, %w", c.Name, err)
	}
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stderr, cmd.Stdout = log, log
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	cmd.SysProcAttr = dieWithParent(c.ParentDeath)
	e := &execution{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The parent's death is that of the thread which forked: keep it until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(e.done)
		e.err = errors.Join(cmd.Wait(), log.Close())
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s, %w", c.Name, err), log.Close())
	}
	return e, nil
}

func (p *Process) current() *execution {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cur
}

// Name returns the process's name.
func (p *Process) Name() string { return p.command.Name }

// Log returns the path of its log, which goes on over restarts.
func (p *Process) Log() string { return p.command.Log }

// Metrics returns the URL of its metrics, empty when it has none.
func (p *Process) Metrics() string { return p.command.Metrics }

// PID returns the process id of the current run.
func (p *Process) PID() int { return p.current().cmd.Process.Pid }

// Done is closed when the current run has ended.
func (p *Process) Done() <-chan struct{} { return p.current().done }

// Wait waits until the current run has ended and returns how: nil for exit code 0, else an *exec.ExitError.
func (p *Process) Wait(ctx context.Context) error {
	e := p.current()
	select {
	case <-e.done:
		return e.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s to end, %w", p.command.Name, ctx.Err())
	}
}

// Signal sends a signal. A process that has ended is no error.
func (p *Process) Signal(s os.Signal) error {
	if err := p.current().cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to %s, %w", s, p.command.Name, err)
	}
	return nil
}

// Stop sends SIGTERM and waits for the end, killing the process when it takes longer than 30 s, which is an error. An exit code
// other than 0 is none: what matters is that it is gone.
func (p *Process) Stop() error {
	e := p.current()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-e.done:
		return nil
	case <-timer.C:
		return errors.Join(fmt.Errorf("stopping %s: still running %s after SIGTERM", p.command.Name, stopGrace), p.Kill())
	}
}

// StopAll stops the processes beside each other.
func StopAll(processes []*Process) error {
	errs := make([]error, len(processes))
	var all sync.WaitGroup
	for i, p := range processes {
		all.Go(func() { errs[i] = p.Stop() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Kill ends the process with SIGKILL, as a crash of its machine would, and waits until it is gone.
func (p *Process) Kill() error {
	e := p.current()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-e.done
	return nil
}

// Restart starts the process again with the same arguments. A run that still goes on is stopped first.
func (p *Process) Restart() error {
	select {
	case <-p.Done():
	default:
		if err := p.Stop(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := execute(p.command)
	if err != nil {
		return err
	}
	p.cur = e
	return nil
}

// readyPoll is between two looks at a readiness endpoint.
const readyPoll = 50 * time.Millisecond

var errNeverAnswered = errors.New("never answered")

// AwaitReady waits until the process's readiness endpoint answers 200. It fails at once when the process ends.
func (p *Process) AwaitReady(ctx context.Context) error {
	if p.command.Ready == "" {
		return fmt.Errorf("waiting for %s: it has no readiness endpoint", p.command.Name)
	}
	e := p.current()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	last := errNeverAnswered
	err := wait.PollUntilContextCancel(ctx, readyPoll, true, func(ctx context.Context) (bool, error) {
		select {
		case <-e.done:
			return false, fmt.Errorf("it ended, %w; log %s ends:\n%s", e.err, p.command.Log, Tail(p.command.Log, tailLines))
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.command.Ready, http.NoBody)
		if err != nil {
			return false, err
		}
		response, err := client.Do(request)
		if err != nil {
			if ctx.Err() == nil || errors.Is(last, errNeverAnswered) { // the end of the wait says less than what came before it
				last = err
			}
			return false, nil // told at the end, should there be no success
		}
		last = fmt.Errorf("%s answers %s", p.command.Ready, response.Status)
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	if ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", err, last)
	}
	if err != nil {
		return fmt.Errorf("waiting for %s to be ready, %w", p.command.Name, err)
	}
	return nil
}
