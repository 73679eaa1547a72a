package demo

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"supercargo.dev/e2e/demo/observe"
)

// Control sequences of terminals (ECMA-48, and the synchronized output that terminals which do not know it ignore).
const (
	hideCursor, showCursor = "\x1b[?25l", "\x1b[?25h"
	beginFrame, endFrame   = "\x1b[?2026h", "\x1b[?2026l"
	clearLine, clearBelow  = "\x1b[K", "\x1b[J"
	bold, plainText        = "\x1b[1m", "\x1b[0m"
)

// live redraws a picture of the cluster in place, below the events, which stay.
type live struct {
	file  *os.File
	begin time.Time

	mu     sync.Mutex
	drawn  int // lines of the picture on the screen
	latest observe.Snapshot
	over   bool
}

func newLive(file *os.File) *live {
	l := &live{file: file, begin: time.Now()}
	_, _ = file.WriteString(hideCursor) // a terminal that does not listen is no failure
	return l
}

func (l *live) event(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw(elapsed(l.begin) + "  " + fmt.Sprintf(format, args...))
}

func (l *live) stage(s Stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw(elapsed(l.begin) + "  " + bold + stageLine(s) + plainText)
}

func (l *live) update(o observe.Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest = o
	if !l.over {
		l.draw("")
	}
}

func (l *live) report(r *Report) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.erase()
	_, err := fmt.Fprintf(l.file, "\n%s", Summary(r))
	return err
}

func (l *live) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		l.erase()
	}
	_, err := l.file.WriteString(plainText + showCursor)
	return err
}

func (l *live) erase() {
	if l.drawn > 0 {
		_, _ = fmt.Fprintf(l.file, "\x1b[%dF%s", l.drawn, clearBelow) // the report follows in any case
		l.drawn = 0
	}
}

// draw replaces the picture, and puts text above it where there is any. Everything goes out in one write, so that nothing flickers.
func (l *live) draw(text string) {
	width, height, err := term.GetSize(int(l.file.Fd())) //nolint:gosec // file descriptors are small
	if err != nil || width <= 0 || height <= 0 {
		width, height = 100, 30
	}
	var b bytes.Buffer
	b.WriteString(beginFrame)
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dF", l.drawn)
	}
	if text != "" {
		for line := range strings.SplitSeq(text, "\n") {
			b.WriteString(line + clearLine + "\n")
		}
	}
	var lines []string
	if !l.over {
		lines = picture(l.latest, height-4)
	}
	for _, line := range lines {
		b.WriteString(cut(line, width-1) + clearLine + "\n")
	}
	b.WriteString(clearBelow + endFrame)
	l.drawn = len(lines)
	_, _ = l.file.Write(b.Bytes()) // a terminal that does not listen is no failure
}

// cut shortens a line to the width of the terminal: one that wraps would not be erased.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:max(width-1, 0)]) + "…"
}

// barWidth of the fill of a node, in characters.
const barWidth = 20

// picture is the cluster in at most so many lines.
func picture(o observe.Snapshot, height int) []string {
	lines := []string{
		"",
		fmt.Sprintf("$%.4f/h   %d nodes (%d spot)   %d of %d pods ready, %d without a node   requested %s", o.Bill.PerHour, len(o.Nodes), o.Spot(),
			o.Pods.Ready, o.Pods.Total, o.Pods.Pending, compare(amounts(o.Requested), amounts(o.Used))),
		fmt.Sprintf("spent $%.5f   moved %d   restarted %d   budgets violated %d", o.Bill.Spent, o.Counts.Moved, o.Counts.Restarts, len(o.Violations)),
	}
	nodes := slices.SortedStableFunc(slices.Values(o.Nodes), func(a, b observe.Node) int { return cmp.Compare(b.USDPerHour, a.USDPerHour) })
	for i := range nodes {
		if len(lines) >= height-1 && i < len(nodes)-1 {
			return append(lines, fmt.Sprintf("  … and %d more nodes", len(nodes)-i))
		}
		lines = append(lines, nodeLine(nodes[i]))
	}
	return lines
}

func nodeLine(n observe.Node) string {
	capacityType, price := "on-demand", "$     ?/h"
	if n.Spot {
		capacityType = "spot"
	}
	if !math.IsNaN(n.USDPerHour) {
		price = fmt.Sprintf("$%.4f/h", n.USDPerHour)
	}
	filled := min(int(math.Round(n.Fill()*barWidth)), barWidth)
	return fmt.Sprintf("  %-20s %-13s %-11s %-9s %s  %s%s %3.0f%%  %3d pods  %s", n.Name, n.InstanceType, n.Zone, capacityType, price,
		strings.Repeat("█", filled), strings.Repeat("░", barWidth-filled), 100*n.Fill(), n.Pods, n.Phase)
}
