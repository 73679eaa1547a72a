package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progressEvery is the least time between two updates of the line.
const progressEvery = 100 * time.Millisecond

// progress shows in one line of a terminal what is being done; nothing where the stream is none.
type progress struct {
	w     io.Writer // nil where nobody looks
	last  time.Time
	shown bool
}

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{w: w}
	}
	return &progress{}
}

// reading returns what shows how much of a source was read.
func (p *progress) reading(source string) func(bytes int64, items int) {
	return func(bytes int64, items int) {
		if p.w != nil && time.Since(p.last) >= progressEvery {
			p.stage(fmt.Sprintf("reading %s: %d items, %d MiB", source, items, bytes>>20))
		}
	}
}

func (p *progress) stage(text string) {
	if p.w == nil {
		return
	}
	p.last, p.shown = time.Now(), true
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", text)
}

// done clears the line.
func (p *progress) done() {
	if p.shown {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
