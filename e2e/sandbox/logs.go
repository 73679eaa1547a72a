package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

const (
	// tailLines is how much of a log an error message shows.
	tailLines = 15
	// tailBytes bounds what Tail reads.
	tailBytes = 64 << 10
)

// Tail returns the last lines of a file, at most 64 KiB of it. When the file cannot be read it says so instead.
func Tail(path string, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	defer func() { _ = f.Close() }() // only read
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return fmt.Sprintf("(%v)", err)
		}
	}
	content, err := io.ReadAll(f)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	content = bytes.TrimRight(content, "\n")
	all := bytes.Split(content, []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

// firstLine is a writer that hands the first line to whoever waits for it and drops the rest.
type firstLine struct {
	line chan []byte // buffered, receives once

	mu      sync.Mutex
	pending []byte
	sent    bool
}

func newFirstLine() *firstLine { return &firstLine{line: make(chan []byte, 1)} }

func (f *firstLine) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.sent {
		f.pending = append(f.pending, p...)
		if line, _, found := bytes.Cut(f.pending, []byte("\n")); found {
			f.line <- line
			f.sent, f.pending = true, nil
		}
	}
	return len(p), nil
}
