package recommender

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Case is a set of traces that is replayed as one.
type Case struct {
	Name   string
	Traces []Trace
	// Kills tells engines of rises above the request as OOM kills.
	Kills bool
	// Advice is what Kruize recommended for the workload, by term.
	Advice map[string][]Advice
}

// ReadFolder reads all files of a folder whose names end in .csv or .csv.gz, in either format. Files without usage (such
// as derived limits) are skipped and named.
func ReadFolder(folder string) (cases []Case, skipped []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, nil, fmt.Errorf("reading traces, %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || !strings.HasSuffix(name, ".csv") && !strings.HasSuffix(name, ".csv.gz") {
			continue
		}
		c, err := readFile(filepath.Join(folder, name))
		if err != nil {
			skipped = append(skipped, err.Error())
			continue
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		return nil, skipped, fmt.Errorf("reading traces, %s holds no file of usage: %w", folder, fs.ErrNotExist)
	}
	return cases, skipped, nil
}

func readFile(path string) (c Case, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".gz"), ".csv")
	open := func() (io.Reader, error) {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("reading %s, %w", path, err)
		}
		if !strings.HasSuffix(path, ".gz") {
			return f, nil
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("reading %s, %w", path, err)
		}
		return z, nil
	}
	r, err := open()
	if err != nil {
		return c, err
	}
	traces, minutes := ParseNezha(name, r)
	if minutes == nil {
		return Case{Name: name, Traces: traces}, nil
	}
	if r, err = open(); err != nil {
		return c, err
	}
	traces, advice, windows := ParseKruize(name, r)
	if windows != nil {
		return c, fmt.Errorf("%s has neither format: %w", filepath.Base(path), errors.Join(minutes, windows))
	}
	return Case{Name: name, Traces: traces, Advice: advice}, nil
}

// Names of the cases that bars are judged on.
const (
	caseAll      = "usage-nezha"
	caseTuning   = "usage-nezha/tuning"
	caseHeldOut  = "usage-nezha/held-out"
	caseRecorded = "usage-nezha/as-recorded"
	caseLeaks    = "usage-nezha+leaks"
	caseKruize   = "usage-kruize"
	caseAdvice   = "usage-kruize/cert-manager"
)

// StandardCases are those of the two data sets in a folder: usage-nezha whole, by halves, with CPU as recorded and with
// leaks; usage-kruize whole; and the workload that Kruize's own recommendations are there for. It is false where the
// folder has no data.
func StandardCases(folder string) (cases []Case, found bool, err error) {
	nezha, _, err := ReadFolder(filepath.Join(folder, "usage-nezha"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	var all []Trace
	for _, c := range nezha {
		all = append(all, c.Traces...)
	}
	sortTraces(all)
	var halves [2][]Trace
	recorded := make([]Trace, len(all))
	for i, t := range all {
		halves[i%2] = append(halves[i%2], t)
		recorded[i] = asRecorded(t)
	}
	cases = []Case{
		{Name: caseAll, Traces: all},
		{Name: caseTuning, Traces: halves[0]},
		{Name: caseHeldOut, Traces: halves[1]},
		{Name: caseRecorded, Traces: recorded},
		{Name: caseLeaks, Traces: withLeaks(all), Kills: true},
	}
	kruize, _, err := ReadFolder(filepath.Join(folder, "usage-kruize"))
	if errors.Is(err, fs.ErrNotExist) {
		return cases, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	whole := Case{Name: caseKruize}
	for _, c := range kruize {
		if len(c.Advice) == 0 {
			whole.Traces = append(whole.Traces, c.Traces...)
			continue
		}
		c.Name = caseAdvice
		judgeFromAdvice(&c)
		cases = append(cases, c)
	}
	sortTraces(whole.Traces)
	return append(cases, whole), true, nil
}

// asRecorded undoes the correction of the day whose CPU is probably ten times too small.
func asRecorded(t Trace) Trace {
	if !strings.HasPrefix(t.Workload, tenfoldDay) {
		return t
	}
	t.Samples = slices.Clone(t.Samples)
	for i := range t.Samples {
		t.Samples[i].MilliCPU /= 10
	}
	return t
}

// judgeFromAdvice judges all engines from when the last of Kruize's terms has begun.
func judgeFromAdvice(c *Case) {
	var from time.Time
	for _, a := range c.Advice {
		if a[0].At.After(from) {
			from = a[0].At
		}
	}
	for i := range c.Traces {
		c.Traces[i].JudgeFrom = from
	}
}

// Quality replays a case at every setting, and bounds what could be reached.
func Quality(c Case, settings []Setting) ([]Row, error) {
	var rows []Row
	peers := map[string]Outcome{}
	for _, s := range settings {
		o, err := Replay(c.Traces, c.Kills, func(string) (Engine, error) { return s.New() })
		if err != nil {
			return nil, fmt.Errorf("replaying %s with %s %s, %w", c.Name, s.Engine, s.Name, err)
		}
		rows = append(rows, qualityRow(c.Name, s.Engine, s.Name, len(c.Traces), o))
		if s.Engine == VPA {
			peers[s.Name] = o
		}
	}
	bounds, err := hindsightRows(c, peers)
	if err != nil {
		return nil, err
	}
	rows = append(rows, bounds...)
	for _, term := range terms() {
		a := c.Advice[term]
		if len(a) == 0 {
			continue
		}
		o, err := Replay(c.Traces, c.Kills, func(string) (Engine, error) { return &adviser{advice: a}, nil })
		if err != nil {
			return nil, fmt.Errorf("replaying Kruize's recommendations, %w", err)
		}
		rows = append(rows, qualityRow(c.Name, Kruize, term, len(c.Traces), o))
	}
	return rows, nil
}

// adviser is an Engine that repeats what was recommended at the time.
type adviser struct {
	advice []Advice
	next   int
}

func (*adviser) Observe(string, Sample)                  {}
func (*adviser) OOM(string, time.Time, float64, float64) {}
func (*adviser) Applied(string, Request)                 {}

func (a *adviser) Recommend(now time.Time) (Request, bool) {
	for a.next < len(a.advice) && !a.advice[a.next].At.After(now) {
		a.next++
	}
	if a.next == 0 {
		return Request{}, false
	}
	return a.advice[a.next-1].Request, true
}
