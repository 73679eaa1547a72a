package dump

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
)

const (
	// batchItems and batchBytes bound what is handed to a decoder at a time.
	batchItems = 128
	batchBytes = 1 << 20
)

// Options of Read. The zero value is usable.
type Options struct {
	// Progress is told now and then how many bytes and items were read. It is called from the goroutine that called Read.
	Progress func(bytes int64, items int)
}

// reading is one input as it is cut up and decoded.
type reading struct {
	source    string
	s         *scanner
	progress  func(bytes int64, items int)
	document  int
	items     int
	lastSize  int
	truncated bool
	problems  []Problem
	batch     []raw
	held      int // bytes in batch
	queue     chan batch
	done      []result
	flush     func() // hands the batch to a decoder
}

type batch struct {
	number int
	items  []raw
	into   chan<- result
}

// Read adds what the input holds to the objects. Items that cannot be read are added to their Problems; the error is that of
// the reader or the context only.
func (o *Objects) Read(ctx context.Context, source string, r io.Reader, opts Options) error {
	d := &reading{source: source, s: newScanner(r), progress: opts.Progress, queue: make(chan batch, 2)}
	results := make(chan result, 16)
	var decoders sync.WaitGroup
	for range max(1, runtime.GOMAXPROCS(0)) {
		decoders.Go(func() {
			for b := range d.queue {
				b.into <- decodeBatch(b)
			}
		})
	}
	var collector sync.WaitGroup
	collector.Go(func() {
		for r := range results {
			d.done = append(d.done, r)
		}
	})
	d.documents(ctx, results)
	close(d.queue)
	decoders.Wait()
	close(results)
	collector.Wait()

	if err := d.s.failed(); err != nil {
		return fmt.Errorf("reading %s, %w", source, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("reading %s, %w", source, err)
	}
	slices.SortFunc(d.done, func(a, b result) int { return cmp.Compare(a.number, b.number) })
	for i := range d.done {
		o.merge(&d.done[i])
		for _, p := range d.done[i].problems {
			d.problem(p)
		}
	}
	// What concerns a whole document comes after its items.
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Document, b.Document), cmp.Compare(uint(a.Item-1), uint(b.Item-1)))
	})
	o.Problems = append(o.Problems, d.problems...)
	return nil
}

// documents cuts the input into items, in JSON or YAML by its first byte.
func (d *reading) documents(ctx context.Context, results chan<- result) {
	number := 0
	flush := func() {
		if len(d.batch) > 0 {
			d.queue <- batch{number: number, items: d.batch, into: results}
			number++
			d.batch, d.held = nil, 0
		}
		if d.progress != nil {
			d.progress(d.s.read, d.items)
		}
	}
	d.flush = flush
	d.skipByteOrderMark()
	if c, ok := d.s.peek(); ok && (c == '{' || c == '[') {
		d.jsonDocuments(ctx)
	} else if ok {
		d.yamlDocuments(ctx)
	}
	flush()
}

// skipByteOrderMark skips the mark that Windows writes at the beginning of a file.
func (d *reading) skipByteOrderMark() {
	if string(d.s.ahead(nil, 3)) == "\xef\xbb\xbf" {
		d.s.pos += 3
	}
}

func (d *reading) emit(r raw) {
	d.batch = append(d.batch, r)
	d.held += len(r.data)
	d.lastSize = len(r.data)
	d.items++
	if len(d.batch) >= batchItems || d.held >= batchBytes {
		d.flush()
	}
}

// buffer is what the next item is read into.
func (d *reading) buffer() []byte { return make([]byte, 0, min(d.lastSize*5/4+256, batchBytes)) }

// problem notes a problem of the current document, unless it names another.
func (d *reading) problem(p Problem) {
	p.Source = d.source
	if p.Document == 0 {
		p.Document = d.document
	}
	d.problems = append(d.problems, p)
}
