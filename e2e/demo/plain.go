package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"supercargo.dev/e2e/demo/observe"
)

// presenter shows a demo to somebody. Its methods may be called concurrently.
type presenter interface {
	// event tells what is being done.
	event(format string, args ...any)
	// stage tells that a stage has ended.
	stage(s Stage)
	// update shows the cluster.
	update(o observe.Snapshot)
	// report shows the end.
	report(r *Report) error
	// close leaves a terminal as it was found.
	close() error
}

// newPresenter is a live view on a terminal, and lines of text elsewhere.
func newPresenter(o Options) presenter {
	if o.JSON {
		return &plain{out: o.Err, results: o.Out, json: true, begin: time.Now()}
	}
	if file, ok := o.Out.(*os.File); ok && term.IsTerminal(int(file.Fd())) { //nolint:gosec // file descriptors are small
		return newLive(file)
	}
	return &plain{out: o.Out, results: o.Out, begin: time.Now()}
}

// heartbeat is between two lines that only say how things are.
const heartbeat = 5 * time.Second

// plain writes lines.
type plain struct {
	json bool
	// results gets the report.
	results io.Writer
	begin   time.Time

	mu   sync.Mutex
	out  io.Writer
	last time.Time // of any line
}

func (p *plain) event(format string, args ...any) {
	p.line(fmt.Sprintf(format, args...))
}

func (p *plain) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	_, _ = fmt.Fprintf(p.out, "%s  %s\n", elapsed(p.begin), text) // progress that nobody reads is no failure
}

func elapsed(begin time.Time) string {
	d := time.Since(begin).Round(time.Second)
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

func (p *plain) stage(s Stage) { p.line("== " + stageLine(s)) }

// stageLine is a stage in a line.
func stageLine(s Stage) string {
	text := fmt.Sprintf("%s: %d nodes (%d spot), $%.4f/h, at least $%.4f/h; %s", strings.ToUpper(s.Name), s.Nodes, s.Spot, s.USDPerHour, s.LowerBound,
		compare(s.Requested, s.Used))
	if s.PricesMoved {
		text += "; spot prices moved meanwhile"
	}
	return fmt.Sprintf("%s; %d pods restarted, %d budgets violated; %.0f s", text, s.Restarted, len(s.Violations), s.Seconds)
}

func (p *plain) update(o observe.Snapshot) {
	p.mu.Lock()
	due := time.Since(p.last) >= heartbeat
	p.mu.Unlock()
	if due && (o.Pods.Total > 0 || len(o.Nodes) > 0) {
		p.line("   " + describe(o))
	}
}

func (p *plain) report(r *Report) error {
	if p.json {
		return encode(p.results, r)
	}
	_, err := fmt.Fprintf(p.results, "\n%s", Summary(r))
	return err
}

func (p *plain) close() error { return nil }
