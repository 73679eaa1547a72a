package sandbox

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

func startServer(t *testing.T) *Process {
	t.Helper()
	address, err := FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartProcess(childCommand("server", filepath.Join(t.TempDir(), "log"), address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() }) // most tests have ended it
	if err := p.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProcessStopsOnRequestAndStartsAgainUnderTheSameAddress(t *testing.T) {
	p := startServer(t)
	first := p.PID()
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Errorf("exit after SIGTERM: %v", err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stopping what has ended: %v", err)
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := p.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.PID() == first {
		t.Error("the process was not started again")
	}
	if err := p.Restart(); err != nil {
		t.Fatalf("restarting a running process: %v", err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(Tail(p.Log(), 100), "serving"); n != 2 {
		t.Errorf("the log has %d of the 2 clean ends", n)
	}
}

func TestKilledProcessReportsTheSignal(t *testing.T) {
	p := startServer(t)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.Wait(t.Context()); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("want death by SIGKILL, got %v", err)
	}
}

func TestAwaitReadyTellsOfAnEarlyEndWithTheLog(t *testing.T) {
	c := childCommand("fail", filepath.Join(t.TempDir(), "log"))
	c.Ready = "http://127.0.0.1:1/readyz"
	p, err := StartProcess(c)
	if err != nil {
		t.Fatal(err)
	}
	err = p.AwaitReady(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such ship") {
		t.Errorf("want exit status and log, got %v", err)
	}
}

func TestAwaitReadyEndsWithItsContext(t *testing.T) {
	c := childCommand("stubborn", filepath.Join(t.TempDir(), "log"))
	c.Ready = "http://127.0.0.1:1/readyz"
	p, err := StartProcess(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Kill() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := p.AwaitReady(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("want the deadline and the last failure, got %v", err)
	}
}

func TestChildDiesWithItsParent(t *testing.T) {
	address, err := FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := childCommand("parent", filepath.Join(dir, "parent.log"), address, filepath.Join(dir, "child.log"))
	out := newFirstLine()
	c.Stdout = out
	parent, err := StartProcess(c)
	if err != nil {
		t.Fatal(err)
	}
	var line []byte
	select {
	case line = <-out.line:
	case <-parent.Done():
		t.Fatal(Tail(parent.Log(), 10))
	}
	child, err := strconv.Atoi(string(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		// Gone, or a zombie that nobody has waited for yet.
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(child), "stat"))
		return errors.Is(err, os.ErrNotExist) || strings.Contains(string(stat), ") Z "), nil
	}); err != nil {
		t.Errorf("child %d outlived its parent", child)
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	<-parent.Done()
}

func TestMissingBinarySaysHowToBuildIt(t *testing.T) {
	t.Setenv(BinDirVariable, t.TempDir())
	_, err := Start(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("want a hint at make build, got %v", err)
	}
}

func TestBinDirIsThatOfTheModule(t *testing.T) {
	t.Setenv(BinDirVariable, "")
	dir, err := BinDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "go.mod")); err != nil || filepath.Base(dir) != "bin" {
		t.Errorf("got %s", dir)
	}
}
