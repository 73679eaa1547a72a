package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// bufferSize of the input; large enough that most items lie within it.
	bufferSize = 256 << 10
	// maxItem is the largest item that is believed, in bytes without white space. An API server stores no object above
	// 3 MiB; what goes on longer has lost its end.
	maxItem = 16 << 20
	// maxDepth is how deep values may nest, as encoding/json has it.
	maxDepth = 10000
)

// errTruncated says that the input ends within a value.
var errTruncated = errors.New("the input ends within it")

// errUnclosed says that the next item of the list began before this one ended.
var errUnclosed = errors.New("a closing bracket is missing: the next item begins before this one ends")

// scanner cuts JSON values out of a stream without looking into them. It checks brackets and strings, so that it knows
// where a value ends; the decoder checks the rest.
type scanner struct {
	r    io.Reader
	buf  []byte
	pos  int
	end  int
	err  error // of the reader; io.EOF at the end
	read int64 // bytes taken from r

	// open are the brackets of the value being scanned, as the bytes that close them.
	open []byte
}

// unread says whether the value of a key is an object or list that nothing looks at; together they are most of a dump. Labels
// and the like may bear the same names, and have strings for values.
func unread(key []byte) bool {
	switch string(key) {
	case "managedFields", "env", "envFrom", "volumeMounts", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle",
		"securityContext", "args", "command", "images", "projected", "state", "lastState", "imagePullSecrets", "hostIPs", "podIPs":
		return true
	}
	return false
}

// keyBefore is the key whose value comes next, nil where no key does.
func keyBefore(dst []byte) []byte {
	key, ok := bytes.CutSuffix(dst, []byte(`":`))
	if !ok {
		return nil
	}
	return key[bytes.LastIndexByte(key, '"')+1:]
}

func newScanner(r io.Reader) *scanner { return &scanner{r: r, buf: make([]byte, bufferSize)} }

// fill reads more once the buffer is used up. It returns false at the end of the input or at an error of the reader.
func (s *scanner) fill() bool {
	if s.pos < s.end {
		return true
	}
	s.pos, s.end = 0, 0
	for empty := 0; s.end == 0; empty++ {
		if s.err != nil {
			return false
		}
		if empty == 100 {
			s.err = io.ErrNoProgress
			return false
		}
		s.end, s.err = s.r.Read(s.buf)
		s.read += int64(s.end)
	}
	return true
}

// failed returns the reader's error, unless it is the end of the input.
func (s *scanner) failed() error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

// peek skips white space and returns the next byte without taking it.
func (s *scanner) peek() (byte, bool) {
	for s.fill() {
		for s.pos < s.end {
			switch c := s.buf[s.pos]; c {
			case ' ', '\t', '\r', '\n':
				s.pos++
			default:
				return c, true
			}
		}
	}
	return 0, false
}

// indent skips white space like peek, and returns how many spaces precede the next byte on its line; -1 where the line holds
// more than them.
func (s *scanner) indent() int {
	width := -1
	for s.fill() {
		for s.pos < s.end {
			switch s.buf[s.pos] {
			case '\n':
				width = 0
			case ' ':
				if width >= 0 {
					width++
				}
			case '\t', '\r':
				width = -1
			default:
				return width
			}
			s.pos++
		}
	}
	return -1
}

// value appends the next value to dst without the white space between its tokens, and with null for what is unread. itemIndent is the indentation at which
// an item of the list that it is in begins, and 0 where there is no telling: a line that begins so within the value means that
// the value lacks its end. On an error dst holds what was read of it.
func (s *scanner) value(dst []byte, itemIndent int) ([]byte, error) {
	if _, ok := s.peek(); !ok {
		return dst, errTruncated
	}
	s.open = s.open[:0]
	start := len(dst)
	width := -1 // spaces since the line began, -1 after anything else
	muted := 0  // depth of the unread value that is being skipped
	for s.fill() {
		if len(dst)-start > maxItem {
			return dst, fmt.Errorf("it is larger than %d MiB, which no object of Kubernetes is", maxItem>>20)
		}
		window := s.buf[s.pos:s.end]
		for i := 0; i < len(window); i++ {
			c := window[i]
			switch c {
			case ' ':
				if width >= 0 {
					width++
				}
				continue
			case '\n':
				width = 0
				if len(s.open) == 0 {
					s.pos += i
					return dst, nil
				}
				continue
			case '\t', '\r':
				continue
			case '"':
				s.pos += i
				var err error
				length := len(dst)
				if dst, err = s.text(dst); err != nil {
					return dst, err
				}
				if muted > 0 {
					dst = dst[:length]
				}
				if len(s.open) == 0 {
					return dst, nil
				}
				width = -1
				window, i = s.buf[s.pos:s.end], -1
				continue
			case '{', '[':
				if c == '{' && itemIndent > 0 && width == itemIndent && len(s.open) > 0 {
					s.pos += i
					return dst, errUnclosed
				}
				if len(s.open) == maxDepth {
					s.pos += i
					return dst, fmt.Errorf("it nests more than %d deep", maxDepth)
				}
				s.open = append(s.open, c+2) // '}' and ']' follow their opening brackets but one
				if muted == 0 && len(s.open) > 1 && unread(keyBefore(dst)) {
					muted = len(s.open)
					dst = append(dst, "null"...)
				}
			case '}', ']', ',':
				if len(s.open) == 0 { // a bare number or word ends here
					s.pos += i
					return dst, nil
				}
				if c == ',' {
					break
				}
				if want := s.open[len(s.open)-1]; c != want {
					s.pos += i
					return dst, fmt.Errorf("%q where %q should close", c, want)
				}
				s.open = s.open[:len(s.open)-1]
				if len(s.open) == 0 {
					s.pos += i + 1
					return append(dst, c), nil
				}
				if len(s.open) == muted-1 {
					muted, width = 0, -1
					continue
				}
			}
			width = -1
			if muted == 0 {
				dst = append(dst, c)
			}
		}
		s.pos = s.end
	}
	if len(s.open) == 0 && len(dst) > start {
		return dst, nil
	}
	return dst, errTruncated
}

// text appends a string with its quotes; the buffer is at the opening one.
func (s *scanner) text(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, '"')
	s.pos++
	escaped := false
	for s.fill() {
		if len(dst)-start > maxItem {
			return dst, fmt.Errorf("a string is longer than %d MiB", maxItem>>20)
		}
		window := s.buf[s.pos:s.end]
		i := 0
		for ; i < len(window); i++ {
			c := window[i]
			if escaped {
				escaped = false
				continue
			}
			if c == '"' {
				s.pos += i + 1
				return append(dst, window[:i+1]...), nil
			}
			if c == '\\' {
				escaped = true
			} else if c == '\n' {
				s.pos += i
				return append(dst, window[:i]...), errors.New("a line ends within a string")
			}
		}
		dst = append(dst, window...)
		s.pos = s.end
	}
	return dst, errTruncated
}

// skipToItem goes on to the line where the next item of the list begins, or where the list ends, by the indentation of its
// first item. It returns false where the input ends before that.
func (s *scanner) skipToItem(itemIndent int) bool {
	var line []byte
	for s.fill() {
		nl := bytes.IndexByte(s.buf[s.pos:s.end], '\n')
		if nl < 0 {
			s.pos = s.end
			continue
		}
		s.pos += nl + 1
		line = s.ahead(line[:0], itemIndent+1)
		spaces := len(line) - len(bytes.TrimLeft(line, " "))
		if spaces == itemIndent && len(line) > spaces && line[spaces] == '{' {
			return true
		}
		// The list's own closing bracket is indented less than its items, and more than nothing only in a nested list.
		if spaces < itemIndent && len(line) > spaces && line[spaces] == ']' {
			return true
		}
	}
	return false
}

// ahead appends the next n bytes without taking them.
func (s *scanner) ahead(dst []byte, n int) []byte {
	if !s.fill() {
		return dst
	}
	if s.end-s.pos < n && s.err == nil {
		copy(s.buf, s.buf[s.pos:s.end])
		s.end -= s.pos
		s.pos = 0
		for s.end < n && s.err == nil {
			var got int
			got, s.err = s.r.Read(s.buf[s.end:])
			s.end += got
			s.read += int64(got)
		}
	}
	return append(dst, s.buf[s.pos:min(s.end, s.pos+n)]...)
}

// discardLine skips the rest of the line.
func (s *scanner) discardLine() {
	for s.fill() {
		if nl := bytes.IndexByte(s.buf[s.pos:s.end], '\n'); nl >= 0 {
			s.pos += nl + 1
			return
		}
		s.pos = s.end
	}
}
