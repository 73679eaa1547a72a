package cluster_test

import (
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var goroutineID = regexp.MustCompile(`^goroutine (\d+) `)

// goroutines returns the stacks of all goroutines by their ids.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := map[string]string{}
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if id := goroutineID.FindStringSubmatch(stack); id != nil {
			stacks[id[1]] = stack
		}
	}
	return stacks
}

// immortal are goroutines that Kubernetes and its dependencies start once for the process and never end. There is one of each,
// however many control planes the process has run.
var immortal = []string{
	"k8s.io/apiserver/pkg/server/healthz.(*log).Check",     // the "log" health check, behind a sync.Once
	"gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun", // rotation of the audit log
	"os/signal.loop", // the Go runtime's
}

// checkGoroutines fails when goroutines are left that neither ran before nor are immortal.
func checkGoroutines(t *testing.T, before map[string]string) {
	t.Helper()
	var left map[string]string
	// Some components do not wait for their last goroutines.
	for deadline := time.Now().Add(10 * time.Second); ; {
		// client-go ends the certificate reloaders of a transport when the transport is collected.
		runtime.GC()
		left = map[string]string{}
		for id, stack := range goroutines() {
			known := slices.ContainsFunc(immortal, func(f string) bool { return strings.Contains(stack, f) })
			if _, old := before[id]; !old && !known && !strings.Contains(stack, "checkGoroutines") {
				left[id] = stack
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, stack := range left {
		t.Errorf("goroutine left:\n%s", stack)
	}
}
