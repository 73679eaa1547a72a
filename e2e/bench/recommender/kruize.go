package recommender

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// windowMinutes is how long a window of Kruize's files is.
const windowMinutes = 15

// windowColumns are the names that Kruize's files have for the same things.
type windowColumns struct {
	start, layout         string
	cpu, memory           [3]string // average, least, highest; cores, and memoryUnit bytes
	memoryUnit            float64
	workload, container   string // empty: the file is of one container
	cpuRequest, memoryAsk string // of Kruize's recommendations, with the term in place of %s; empty: none
}

func kruizeFormats() []windowColumns {
	return []windowColumns{
		{
			start: "interval_start", layout: "2006-01-02 15:04:05 -0700 MST", workload: "workload", container: "container_name", memoryUnit: 1,
			cpu:    [3]string{"cpu_usage_container_avg", "cpu_usage_container_min", "cpu_usage_container_max"},
			memory: [3]string{"memory_usage_container_avg", "memory_usage_container_min", "memory_usage_container_max"},
		},
		{
			start: "start_timestamp", layout: time.UnixDate, memoryUnit: 1,
			cpu:    [3]string{"cpu_usage_avg_container", "cpu_usage_min_container", "cpu_usage_max_container"},
			memory: [3]string{"mem_usage_avg_container", "mem_usage_min_container", "mem_usage_max_container"},
		},
		{
			start: "timezone", layout: time.RFC3339, container: "container_name", memoryUnit: mib,
			cpu:        [3]string{"cpuUsage_avg", "cpuUsage_min", "cpuUsage_max"},
			memory:     [3]string{"memoryUsage_avg", "memoryUsage_min", "memoryUsage_max"},
			cpuRequest: "%s_cpu_requests", memoryAsk: "%s_memory_requests",
		},
	}
}

// terms of Kruize's recommendations: for cost or performance, from 1, 7 and 15 days of usage.
func terms() []string {
	return []string{
		"cost_short_term", "cost_medium_term", "cost_long_term",
		"performance_short_term", "performance_medium_term", "performance_long_term",
	}
}

// Advice is what somebody else recommended from a time on.
type Advice struct {
	At      time.Time
	Request Request
}

// ParseKruize reads windows of fifteen minutes with average, least and highest usage per container, in any of the three
// layouts of Kruize's files. Where the file holds Kruize's recommendations too, they are returned by term.
//
// Each window becomes fifteen minutes with the least, the highest and, in the others, what gives the window's average:
// a monitor that samples each minute would have seen no less and no more.
func ParseKruize(source string, r io.Reader) ([]Trace, map[string][]Advice, error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	first, err := rows.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s, %w", source, err)
	}
	h := newHeader(first)
	format, err := formatOf(h)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s, %w", source, err)
	}
	index := map[[2]string]int{}
	seen := map[[2]string]map[time.Time]bool{}
	advice := map[string][]Advice{}
	var out []Trace
	for line := 2; ; line++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s, %w", source, err)
		}
		start, err := time.Parse(format.layout, row[h[format.start]])
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s, line %d: %w", source, line, err)
		}
		start = start.UTC().Truncate(time.Minute)
		values, err := h.window(row, format)
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s, line %d: %w", source, line, err)
		}
		if err := h.advice(row, format, start, advice); err != nil {
			return nil, nil, fmt.Errorf("reading %s, line %d: %w", source, line, err)
		}
		if !usable(values[:]) {
			continue
		}
		key := [2]string{h.text(row, format.workload), h.text(row, format.container)}
		i, ok := index[key]
		if !ok {
			i = len(out)
			index[key], seen[key] = i, map[time.Time]bool{}
			out = append(out, Trace{Source: source, Workload: source + "/" + key[0] + "/" + key[1], Pod: "pod"})
		}
		if seen[key][start] { // a few windows are there twice
			continue
		}
		seen[key][start] = true
		out[i].Samples = appendWindow(out[i].Samples, start, values)
	}
	sortTraces(out)
	for _, a := range advice {
		slices.SortStableFunc(a, func(x, y Advice) int { return x.At.Compare(y.At) })
	}
	return out, advice, nil
}

func formatOf(h header) (windowColumns, error) {
	var missing error
	for _, f := range kruizeFormats() {
		names := append(append([]string{f.start}, f.cpu[:]...), f.memory[:]...)
		err := h.require(names...)
		if err == nil {
			return f, nil
		}
		missing = err
	}
	return windowColumns{}, fmt.Errorf("neither samples a minute nor windows of fifteen, %w", missing)
}

func (h header) text(row []string, name string) string {
	if i, ok := h[name]; ok {
		return row[i]
	}
	return ""
}

// window reads average, least and highest of CPU in thousandths of a core and of memory in bytes.
func (h header) window(row []string, f windowColumns) (out [6]float64, err error) {
	for i, name := range append(append([]string{}, f.cpu[:]...), f.memory[:]...) {
		if out[i], err = h.number(row, name); err != nil {
			return out, err
		}
		if i < len(f.cpu) {
			out[i] *= 1000
		} else {
			out[i] *= f.memoryUnit
		}
	}
	return out, nil
}

// advice reads what Kruize recommended at the end of a window.
func (h header) advice(row []string, f windowColumns, start time.Time, into map[string][]Advice) error {
	if f.cpuRequest == "" {
		return nil
	}
	for _, term := range terms() {
		names := []string{fmt.Sprintf(f.cpuRequest, term), fmt.Sprintf(f.memoryAsk, term)}
		if h.require(names...) != nil {
			continue
		}
		cpu, err := h.number(row, names[0])
		if err != nil {
			return err
		}
		memory, err := h.number(row, names[1])
		if err != nil {
			return err
		}
		if usable([]float64{cpu, memory}) {
			at := start.Add(windowMinutes * time.Minute)
			into[term] = append(into[term], Advice{at, Request{cpu * 1000, memory * f.memoryUnit}})
		}
	}
	return nil
}

// appendWindow spreads a window over its minutes. Where the highest comes moves from window to window.
func appendWindow(samples []Sample, start time.Time, w [6]float64) []Sample {
	high := int(start.Unix()/60) * 7 % windowMinutes
	low := (high + 5) % windowMinutes
	cpu, memory := spread([3]float64(w[:3])), spread([3]float64(w[3:]))
	for m := range windowMinutes {
		which := 0
		switch m {
		case low:
			which = 1
		case high:
			which = 2
		}
		samples = append(samples, Sample{start.Add(time.Duration(m) * time.Minute), cpu[which], memory[which]})
	}
	return samples
}

// spread gives the value of the middle minutes, the least and the highest. Windows whose figures contradict each other
// (a least above the highest) are set right towards their average.
func spread(w [3]float64) [3]float64 {
	average, least, highest := w[0], min(w[1], w[0]), max(w[2], w[0])
	middle := (windowMinutes*average - least - highest) / (windowMinutes - 2)
	return [3]float64{math.Min(math.Max(middle, least), highest), least, highest}
}
