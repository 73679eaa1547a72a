package replay

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"time"
)

// sample is what a workload used at one time.
type sample struct {
	at time.Duration // since the first sample of the workload
	// cpu is a share of the CPU limit.
	cpu float64
	// memory in bytes.
	memory float64
}

// Series are the measured workloads by name.
type Series map[string][]sample

// The columns that are read. Others are ignored.
const (
	columnDay      = "day"
	columnWorkload = "workload"
	columnTime     = "ts"
	columnCPU      = "cpu_pct_of_limit"
	columnMemory   = "mem_mi"
)

const (
	// maxSamples bounds the memory that a file can take.
	maxSamples = 1 << 20
	// maxShare of a limit, and maxMemoryMi, are more than anything measured.
	maxShare, maxMemoryMi = 1000.0, 1 << 24
	mebibyte              = 1 << 20
)

// Load reads a CSV file, compressed with gzip or not, and keeps one day of it; the first day in the file when day is empty.
func Load(path, day string) (_ Series, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading measured usage, %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffered := bufio.NewReader(f)
	var content io.Reader = buffered
	if magic, peekErr := buffered.Peek(2); peekErr == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		if content, err = gzip.NewReader(buffered); err != nil {
			return nil, fmt.Errorf("reading measured usage from %s, %w", path, err)
		}
	}
	series, err := Parse(content, day)
	if err != nil {
		return nil, fmt.Errorf("reading measured usage from %s, %w", path, err)
	}
	return series, nil
}

// Parse reads CSV with a header that names at least the columns workload, ts (seconds since 1970), cpu_pct_of_limit and mem_mi; with
// a column day it keeps that day only, the first when day is empty. Rows may come in any order; samples of one workload at the same
// time, of several pods, are averaged. A workload needs samples of two times. Errors name line and column.
func Parse(r io.Reader, day string) (Series, error) {
	reader := csv.NewReader(r)
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the header, %w", err)
	}
	columns, err := locate(header)
	if err != nil {
		return nil, err
	}
	series := Series{}
	for count := 0; ; {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return series, series.settle(day)
		}
		if err != nil {
			return nil, err // names the line itself
		}
		if i, ok := columns[columnDay]; ok {
			if day == "" {
				day = string([]byte(record[i])) // records are reused
			}
			if record[i] != day {
				continue
			}
		}
		line, _ := reader.FieldPos(0)
		if count++; count > maxSamples {
			return nil, fmt.Errorf("line %d: more than %d samples", line, maxSamples)
		}
		if err := series.add(record, columns); err != nil {
			return nil, fmt.Errorf("line %d, %w", line, err)
		}
	}
}

func locate(header []string) (map[string]int, error) {
	columns := make(map[string]int, len(header))
	for i, name := range header {
		columns[name] = i
	}
	for _, name := range []string{columnWorkload, columnTime, columnCPU, columnMemory} {
		if _, ok := columns[name]; !ok {
			return nil, fmt.Errorf("the header has no column %q; it has %q", name, header)
		}
	}
	return columns, nil
}

// add appends a sample with its time since 1970.
func (s Series) add(record []string, columns map[string]int) error {
	workload := record[columns[columnWorkload]]
	if workload == "" {
		return fmt.Errorf("column %s is empty", columnWorkload)
	}
	at, err := strconv.ParseInt(record[columns[columnTime]], 10, 64)
	if err != nil || at < 0 || at > math.MaxInt32*2 {
		return fmt.Errorf("column %s: %q is not a time in seconds since 1970", columnTime, record[columns[columnTime]])
	}
	cpu, err := number(record, columns, columnCPU, maxShare*100)
	if err != nil {
		return err
	}
	memory, err := number(record, columns, columnMemory, maxMemoryMi)
	if err != nil {
		return err
	}
	workload = string([]byte(workload)) // records are reused
	s[workload] = append(s[workload], sample{at: time.Duration(at) * time.Second, cpu: cpu / 100, memory: memory * mebibyte})
	return nil
}

func number(record []string, columns map[string]int, column string, limit float64) (float64, error) {
	v, err := strconv.ParseFloat(record[columns[column]], 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > limit {
		return 0, fmt.Errorf("column %s: %q is not a number from 0 to %g", column, record[columns[column]], limit)
	}
	return v, nil
}

// settle sorts the samples, joins those of one time and counts time from the first.
func (s Series) settle(day string) error {
	if len(s) == 0 {
		if day != "" {
			return fmt.Errorf("there is no sample of day %s", day)
		}
		return errors.New("there is no sample")
	}
	for _, name := range s.Workloads() {
		all := s[name]
		slices.SortStableFunc(all, func(a, b sample) int { return cmp.Compare(a.at, b.at) })
		begin, joined := all[0].at, all[:0]
		for i := 0; i < len(all); {
			sum, n := sample{at: all[i].at - begin}, 0.0
			for same := all[i].at; i < len(all) && all[i].at == same; i++ {
				sum.cpu, sum.memory, n = sum.cpu+all[i].cpu, sum.memory+all[i].memory, n+1
			}
			sum.cpu, sum.memory = sum.cpu/n, sum.memory/n
			joined = append(joined, sum)
		}
		if len(joined) < 2 {
			return fmt.Errorf("workload %s has samples of one time; two are needed to know how long they last", name)
		}
		s[name] = joined
	}
	return nil
}

// Workloads returns the names of the measured workloads, sorted.
func (s Series) Workloads() []string {
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
