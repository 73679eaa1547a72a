package dump

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// yamlDocuments cuts YAML into documents, and lists as kubectl prints them into items, by indentation: each item is decoded
// by itself, so that a broken one leaves the others whole. A list in another style is decoded as one.
func (d *reading) yamlDocuments(ctx context.Context) {
	lines := bufio.NewReaderSize(&rest{s: d.s}, bufferSize)
	y := &yamlCutter{d: d}
	for ctx.Err() == nil {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 && !y.line(line) {
			return
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				d.s.err = err
				return
			}
			y.endDocument()
			return
		}
	}
}

// rest is what of the input the scanner has not taken.
type rest struct{ s *scanner }

func (r *rest) Read(p []byte) (int, error) {
	if !r.s.fill() {
		return 0, r.s.err
	}
	n := copy(p, r.s.buf[r.s.pos:r.s.end])
	r.s.pos += n
	return n, nil
}

// yamlCutter follows the lines of a document.
type yamlCutter struct {
	d        *reading
	document []byte // the lines outside of items
	content  bool   // the document holds more than comments
	items    bool   // a line "items:" was seen, and what follows is its list
	indent   int    // of the dashes of the list, -1 until the first
	item     []byte
	n        int // items begun
	isList   bool
	trailer  bool // a field follows the list
}

// line takes the next line. It returns false where the input is too large to be believed.
func (y *yamlCutter) line(line []byte) bool {
	text := bytes.TrimRight(line, " \t\r\n")
	switch {
	case bytes.Equal(text, []byte("---")) || bytes.HasPrefix(text, []byte("--- ")) || bytes.Equal(text, []byte("...")):
		y.endDocument()
		return true
	case !y.items && bytes.Equal(text, []byte("items:")):
		y.items, y.isList, y.content, y.indent = true, true, true, -1
		return true
	case y.items && len(text) > 0 && text[0] != '#':
		spaces := len(text) - len(bytes.TrimLeft(text, " "))
		dash := text[spaces] == '-' && (len(text) == spaces+1 || text[spaces+1] == ' ')
		if dash && y.indent < 0 {
			y.indent = spaces
		}
		switch {
		case dash && spaces == y.indent:
			y.endItem()
			y.n++
			line = append([]byte(nil), line...)
			line[spaces] = ' '
			y.item = append(y.item, line...)
			return true
		case spaces > y.indent && y.indent >= 0:
			y.item = append(y.item, line...)
			return y.believable(y.item)
		}
		y.endItem()
		y.items, y.trailer = false, true
	case y.items:
		y.item = append(y.item, line...)
		return true
	}
	if len(text) > 0 && text[0] != '#' {
		y.content = true
	}
	y.document = append(y.document, line...)
	return y.believable(y.document)
}

func (y *yamlCutter) believable(data []byte) bool {
	if len(data) <= 8*maxItem {
		return true
	}
	y.d.document++
	y.d.problem(Problem{Message: fmt.Sprintf("a document or item is larger than %d MiB; what follows is not read", 8*maxItem>>20)})
	return false
}

func (y *yamlCutter) endItem() {
	if len(bytes.TrimSpace(y.item)) > 0 {
		y.d.emit(raw{document: y.d.document + 1, item: y.n, data: y.item, isYAML: true})
	}
	y.item = nil
}

func (y *yamlCutter) endDocument() {
	y.endItem()
	if y.content {
		y.d.document++
		if !y.isList {
			y.d.emit(raw{document: y.d.document, data: y.document, isYAML: true})
		} else if y.n > 0 && !y.trailer && !strings.Contains(string(y.document), "kind:") {
			// kubectl writes the kind of the list after its items.
			y.d.truncated = true
			y.d.problem(Problem{Message: fmt.Sprintf("the list has no end after item %d: it is truncated, and that item may be incomplete", y.n)})
		}
	}
	*y = yamlCutter{d: y.d}
}
