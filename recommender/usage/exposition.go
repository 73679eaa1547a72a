package usage

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxLine bounds a line of text: a sample with labels of the greatest length takes a few KiB.
const maxLine = 1 << 20

const (
	cpuMetric         = "container_cpu_usage_seconds_total"
	memoryMetric      = "container_memory_working_set_bytes"
	scrapeErrorMetric = "resource_scrape_error"
)

// point is one line of a metrics text.
type point struct {
	metric                    string
	namespace, pod, container string
	value                     float64
	at                        time.Time // zero: the line has none
}

// format says in which unit timestamps are written.
type format int

const (
	prometheusText  format = iota // whole milliseconds
	openMetricsText               // seconds, with a fraction
)

// scan reads the samples of a text and calls yield for each. Comments and blank lines are skipped. Errors name the line.
func scan(r io.Reader, f format, yield func(line int, p point) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	n := 0
	for lines.Scan() {
		n++
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		p, err := parsePoint(text, f)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := yield(n, p); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

// parsePoint reads `name{label="value",...} value [timestamp] [# exemplar]`.
func parsePoint(text string, f format) (point, error) {
	var p point
	end := strings.IndexAny(text, "{ \t")
	if end <= 0 {
		return p, fmt.Errorf("metric name: %q is no sample", clip(text))
	}
	p.metric = text[:end]
	rest := text[end:]
	if rest[0] == '{' {
		var err error
		if rest, err = p.labels(rest[1:]); err != nil {
			return p, err
		}
	}
	rest, _, _ = strings.Cut(rest, "#")
	fields := strings.Fields(rest)
	if len(fields) == 0 || len(fields) > 2 {
		return p, fmt.Errorf("value: want a value and perhaps a timestamp, found %q", clip(rest))
	}
	var err error
	if p.value, err = strconv.ParseFloat(fields[0], 64); err != nil {
		return p, fmt.Errorf("value: %q is not a number", clip(fields[0]))
	}
	if len(fields) == 2 {
		if p.at, err = parseTime(fields[1], f); err != nil {
			return p, err
		}
	}
	return p, nil
}

// labels reads up to the closing brace and returns what follows it.
func (p *point) labels(s string) (rest string, err error) {
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return "", fmt.Errorf("labels: no closing brace")
		}
		if s[0] == '}' {
			return s[1:], nil
		}
		name, after, ok := strings.Cut(s, "=")
		name = strings.TrimSpace(name)
		after = strings.TrimLeft(after, " \t")
		if !ok || name == "" || after == "" || after[0] != '"' {
			return "", fmt.Errorf("labels: want name=\"value\", found %q", clip(s))
		}
		value, tail, err := quoted(after[1:])
		if err != nil {
			return "", fmt.Errorf("label %s: %w", clip(name), err)
		}
		switch name {
		case "namespace":
			p.namespace = value
		case "pod":
			p.pod = value
		case "container":
			p.container = value
		}
		s = tail
	}
}

// quoted reads a label value up to its closing quote.
func quoted(s string) (value, rest string, err error) {
	end := strings.IndexAny(s, `"\`)
	if end >= 0 && s[end] == '"' {
		return s[:end], s[end+1:], nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			i++
			if i == len(s) {
				return "", "", fmt.Errorf("no closing quote")
			}
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case '"', '\\':
				b.WriteByte(s[i])
			default:
				return "", "", fmt.Errorf(`\%c is not an escape`, s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", fmt.Errorf("no closing quote")
}

// maxSeconds is the year 2200: a later timestamp is in the wrong unit.
const maxSeconds = 230 * 366 * 86400

func parseTime(s string, f format) (time.Time, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && f == prometheusText {
		v /= 1000
	}
	if err != nil || math.IsNaN(v) || v < 0 || v > maxSeconds {
		unit := "milliseconds"
		if f == openMetricsText {
			unit = "seconds"
		}
		return time.Time{}, fmt.Errorf("timestamp: %q is not a time in %s since 1970", clip(s), unit)
	}
	whole, fraction := math.Modf(v)
	return time.Unix(int64(whole), int64(math.Round(fraction*1e3))*1e6), nil
}

// clip keeps error messages readable.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
