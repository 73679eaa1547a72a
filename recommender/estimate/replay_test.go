package estimate

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// traces are minutes of real pods: OnlineBoutique and TrainTicket under load with injected faults, from the Nezha data
// set (MIT). CI has them beside the repository.
const traces = "../../../shared/data/usage-nezha/pod_usage_1m.csv.gz"

type minute struct {
	at          time.Time
	cpu, memory float64
}

type podDay struct {
	workload, pod string
	minutes       []minute
}

func readTraces(t testing.TB) []podDay {
	t.Helper()
	f, err := os.Open(filepath.FromSlash(traces))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("SKIPPED: real traces are not there: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows := csv.NewReader(z)
	if _, err := rows.Read(); err != nil {
		t.Fatal(err)
	}
	index := map[string]int{}
	var out []podDay
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		number := func(i int) float64 {
			v, err := strconv.ParseFloat(row[i], 64)
			if err != nil {
				return math.NaN()
			}
			return v
		}
		i, ok := index[row[0]+row[1]]
		if !ok {
			i = len(out)
			index[row[0]+row[1]] = i
			out = append(out, podDay{workload: row[0] + "/" + row[2], pod: row[1]})
		}
		c := number(4)
		if row[0] == "2022-08-22" {
			c *= 10 // that day's CPU is ten times too small; see the data's notes
		}
		out[i].minutes = append(out[i].minutes, minute{time.Unix(int64(number(3)), 0), c, number(6) * mi})
	}
	for _, p := range out {
		slices.SortFunc(p.minutes, func(a, b minute) int { return a.at.Compare(b.at) })
	}
	slices.SortFunc(out, func(a, b podDay) int { return cmp.Compare(a.workload+a.pod, b.workload+b.pod) })
	return out
}

// Prices of one core-hour and one GiB-hour; only their ratio matters here.
const (
	corePrice = 0.0316
	gibPrice  = 0.0042
)

// outcome of a replay: a recommendation is applied every half hour and judged on the half hour that follows.
type outcome struct {
	reserved, used                       float64 // USD
	minutes, cpuViolations, memViolation int
	belowPeak                            int // half hours in which memory was below the highest sample so far
}

func (o outcome) costRatio() float64 { return o.reserved / o.used }

func (o *outcome) judge(m minute, n Need) {
	o.minutes++
	o.reserved += (float64(n.MilliCPU)/1000*corePrice + float64(n.MemoryBytes)/(1<<30)*gibPrice) / 60
	o.used += (m.cpu/1000*corePrice + m.memory/(1<<30)*gibPrice) / 60
	if m.cpu > float64(n.MilliCPU) {
		o.cpuViolations++
	}
	if m.memory > float64(n.MemoryBytes) {
		o.memViolation++
	}
}

func replay(pods []podDay, p Policy) outcome {
	var o outcome
	const period = 30
	for _, pod := range pods {
		s := NewStore(Options{})
		k := Key{"replay", "Deployment", pod.workload, "app"}
		peak := 0.0
		var applied Need
		for i, m := range pod.minutes {
			if i > 0 && i%period == 0 {
				needs := s.AppendNeeds(nil, k.Workload(), &p, m.at)
				applied = needs[0]
				if float64(applied.MemoryBytes) < peak {
					o.belowPeak++
				}
			}
			if i >= period {
				o.judge(m, applied)
			}
			s.Observe(k, pod.pod, m.at, m.cpu, m.memory)
			peak = max(peak, m.memory)
		}
	}
	return o
}

func TestReplayedOnRealTracesMemoryIsNeverBelowThePeak(t *testing.T) {
	pods := readTraces(t)
	byDefault := DefaultPolicy()
	variant := func(percentile float64, lookback time.Duration, overhead float64) Policy {
		p := byDefault
		p.CPU.Percentile, p.CPU.Lookback, p.CPU.Overhead = percentile, lookback, overhead
		return p
	}
	lean := variant(95, 7*day, 0.1)
	lean.Memory.Max, lean.Memory.Percentile = false, 95
	for _, c := range []struct {
		name   string
		policy Policy
	}{
		{"default: CPU p90 of 7d + 10% and bursts, memory max + 10%", byDefault},
		{"CPU p98 of 7d + 10%", variant(98, 7*day, 0.1)},
		{"CPU p99 of 7d + 10%", variant(99, 7*day, 0.1)},
		{"CPU p99 of 7d + 20%", variant(99, 7*day, 0.2)},
		{"CPU max of 7d + 10%", variant(100, 7*day, 0.1)},
		{"CPU p98 of 6h + 10%", variant(98, 6*time.Hour, 0.1)},
		{"CPU p99 of 6h + 10%", variant(99, 6*time.Hour, 0.1)},
		{"memory p95 as asked for", lean},
	} {
		o := replay(pods, c.policy)
		t.Logf("%-48s reserved/used %.2f, minutes above: CPU %.2f%%, memory %.3f%%",
			c.name, o.costRatio(), 100*float64(o.cpuViolations)/float64(o.minutes), 100*float64(o.memViolation)/float64(o.minutes))
		if c.policy.Memory.Max && o.belowPeak > 0 {
			t.Errorf("%s: memory was below the peak of the lookback in %d half hours", c.name, o.belowPeak)
		}
	}
}

// A leak that grows until the container is killed, again and again: with the kills counted, memory rises faster than
// the leak's peak, and what is recommended is never below it.
func TestALeakIsNeverGivenLessThanItsPeak(t *testing.T) {
	pods := readTraces(t)
	p := DefaultPolicy()
	for _, pod := range pods[:8] {
		s := NewStore(Options{})
		k := Key{"replay", "Deployment", pod.workload, "app"}
		peak, leak := 0.0, 0.0
		for i, m := range pod.minutes {
			leak += 2 * mi
			v := m.memory + leak
			if i%240 == 239 {
				s.OOM(k, Kill{Pod: pod.pod, At: m.at, Applied: true, MemoryBytes: v}, p.OOM)
				leak = 0
			}
			s.Observe(k, pod.pod, m.at, m.cpu, v)
			peak = max(peak, v)
			if i%30 == 29 {
				if got := s.AppendNeeds(nil, k.Workload(), &p, m.at)[0].MemoryBytes; float64(got) < peak {
					t.Fatalf("%s: %d bytes after a peak of %v", pod.pod, got, peak)
				}
			}
		}
	}
}
