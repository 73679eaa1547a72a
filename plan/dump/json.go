package dump

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// raw is an item that was cut out of the input and waits to be decoded.
type raw struct {
	document, item int
	list           header // of the items, where the list states it for them
	data           []byte
	isYAML         bool
}

// jsonDocuments reads one document after the other until the input ends.
func (d *reading) jsonDocuments(ctx context.Context) {
	for ctx.Err() == nil {
		c, ok := d.s.peek()
		if !ok {
			return
		}
		switch c {
		case '{':
			d.document++
			if !d.jsonObject(ctx) {
				return
			}
		case '[':
			d.document++
			d.s.pos++
			if !d.jsonItems(ctx, header{}) {
				return
			}
		case '-': // "---" between documents
			d.s.discardLine()
		default:
			d.document++
			d.problem(Problem{Message: fmt.Sprintf("a document begins with %q, and is not read; nor is what follows", c)})
			return
		}
	}
}

// jsonObject reads a list, or an object that is none. It returns false where nothing after it can be read.
func (d *reading) jsonObject(ctx context.Context) bool {
	d.s.pos++ // {
	whole := []byte{'{'}
	list, isList := header{}, false
	lost := func(err error) bool {
		p := identify(whole)
		p.Message = fmt.Sprintf("%v; what follows is not read", err)
		if isList {
			p = Problem{Kind: list.Kind, Message: fmt.Sprintf("after the items of the list, %v; what follows is not read", err)}
		}
		d.truncated = d.truncated || errors.Is(err, errTruncated)
		d.problem(p)
		return false
	}
	for {
		c, ok := d.s.peek()
		switch {
		case !ok:
			return lost(errTruncated)
		case c == '}':
			d.s.pos++
			if !isList {
				d.emit(raw{document: d.document, data: append(whole, '}')})
			}
			return true
		case c == ',':
			d.s.pos++
			whole = append(whole, ',')
			continue
		case c != '"':
			return lost(fmt.Errorf("%q where a field should begin", c))
		}
		start := len(whole)
		var err error
		if whole, err = d.s.text(whole); err != nil {
			return lost(err)
		}
		field := string(whole[start:])
		if c, ok = d.s.peek(); !ok {
			return lost(errTruncated)
		} else if c != ':' {
			return lost(fmt.Errorf("%q after the field %s", c, field))
		}
		d.s.pos++
		whole = append(whole, ':')
		if c, ok = d.s.peek(); ok && c == '[' && field == `"items"` {
			d.s.pos++
			isList = true
			whole = append(whole, '[', ']')
			if !d.jsonItems(ctx, list) {
				return false
			}
			continue
		}
		start = len(whole)
		if whole, err = d.s.value(whole, 0); err != nil {
			return lost(err)
		}
		switch text := strings.Trim(string(whole[start:]), `"`); field {
		case `"kind"`:
			list.Kind = itemKind(text)
		case `"apiVersion"`:
			list.APIVersion = text
		}
	}
}

// itemKind is the kind of the items of a list, which states none for them; empty where the items say it themselves.
func itemKind(kind string) string {
	if kind == "List" {
		return ""
	}
	items, ok := strings.CutSuffix(kind, "List")
	if !ok {
		return ""
	}
	return items
}

// jsonItems reads the items of a list, whose opening bracket is behind. It returns false where nothing after them can be read.
func (d *reading) jsonItems(ctx context.Context, list header) bool {
	itemIndent := 0
	for n := 0; ; {
		if ctx.Err() != nil {
			return false
		}
		width := d.s.indent()
		c, ok := d.s.peek()
		switch {
		case !ok:
			d.truncated = true
			d.problem(Problem{Message: fmt.Sprintf("the input ends after item %d of a list that goes on: it is truncated", n)})
			return false
		case c == ']':
			d.s.pos++
			return true
		case c == ',' && n > 0:
			d.s.pos++
			continue
		}
		if c != '{' && n > 0 { // the item before it ended too early
			if !d.brokenItem(n, nil, itemIndent, fmt.Errorf("%q after it, where the next item should begin", c)) {
				return false
			}
			continue
		}
		n++
		if itemIndent == 0 && width > 0 && c == '{' {
			itemIndent = width
		}
		var data []byte
		err := fmt.Errorf("%q where an item should begin", c)
		if c == '{' {
			data, err = d.s.value(d.buffer(), itemIndent)
		}
		if err == nil {
			d.emit(raw{document: d.document, item: n, list: list, data: data})
			if c, ok = d.s.peek(); !ok || c == ',' || c == ']' {
				continue
			}
			err = fmt.Errorf("%q after it", c)
			data = nil
		}
		if !d.brokenItem(n, data, itemIndent, err) {
			return false
		}
	}
}

// brokenItem reports an item without an end and finds the next one. It returns false where there is no telling where that is.
func (d *reading) brokenItem(n int, data []byte, itemIndent int, err error) bool {
	p := identify(data)
	p.Item = n
	p.Message = err.Error()
	switch {
	case errors.Is(err, errTruncated):
		d.truncated = true
		p.Message = fmt.Sprintf("the input ends within it: it is truncated after item %d", n-1)
	case errors.Is(err, errUnclosed):
		d.problem(p)
		return true // the scanner is at the next item
	case itemIndent == 0:
		p.Message += "; what follows is not read, since the input is not indented"
		d.problem(p)
		return false
	}
	d.problem(p)
	if d.truncated {
		return false
	}
	if d.s.skipToItem(itemIndent) {
		return true
	}
	d.truncated = true
	d.problem(Problem{Message: fmt.Sprintf("no item begins after item %d, and its list has no end: it is truncated", n)})
	return false
}
