package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PrometheusOptions of a backfill from a Prometheus-compatible server.
type PrometheusOptions struct {
	// URL of the server, for example http://prometheus.monitoring:9090.
	URL string
	// Client to ask with; it carries authentication and TLS. Nil: a plain one.
	Client *http.Client
	// From and To bound the history.
	From, To time.Time
	// Step between samples. Default 5m.
	Step time.Duration
	// Selector is added to every query, for example `cluster="a"`.
	Selector string
}

const (
	defaultStep = 5 * time.Minute
	// chunk is how much is asked for at once: servers bound samples per query, and what is held here is bounded too.
	chunk = 6 * time.Hour
	// maxAnswer bounds what is read of one answer.
	maxAnswer = 2 << 30
)

type prometheus struct {
	o    PrometheusOptions
	base *url.URL
}

// Prometheus reads usage by range queries, a part of the time at once.
func Prometheus(o PrometheusOptions) (Stream, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the URL of a server such as http://prometheus.monitoring:9090", o.URL)
	}
	if !o.From.Before(o.To) {
		return nil, fmt.Errorf("history from %s to %s is empty", o.From.Format(time.RFC3339), o.To.Format(time.RFC3339))
	}
	if o.Step == 0 {
		o.Step = defaultStep
	}
	if o.Step < time.Second || o.Step > chunk {
		return nil, fmt.Errorf("step %s is not between 1s and %s", o.Step, chunk)
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 5 * time.Minute}
	}
	p := prometheus{o, base}
	return p.stream, nil
}

// queries by resource. A container that restarted has several series for a while: their rates add up, and of their
// memory the greater counts.
func (p prometheus) queries() (cpu, memory string) {
	selector := `container!="",container!="POD",pod!=""`
	if s := strings.Trim(p.o.Selector, "{}, "); s != "" {
		selector += "," + s
	}
	window := max(p.o.Step, 2*time.Minute)
	cpu = fmt.Sprintf("sum by (namespace,pod,container) (rate(%s{%s}[%ds]))", cpuMetric, selector, int(window.Seconds()))
	memory = fmt.Sprintf("max by (namespace,pod,container) (%s{%s})", memoryMetric, selector)
	return cpu, memory
}

func (p prometheus) stream(ctx context.Context, yield func(Usage) error) error {
	cpuQuery, memoryQuery := p.queries()
	for from := p.o.From; !from.After(p.o.To); {
		// Both ends of a range query are inclusive.
		to := from.Add(chunk - p.o.Step).Truncate(time.Second)
		if to.Before(from) {
			to = from
		}
		if to.After(p.o.To) {
			to = p.o.To
		}
		merged := map[identity]map[int64]Usage{}
		if err := p.query(ctx, cpuQuery, from, to, merged, func(u *Usage, v float64) {
			if v <= maxCores {
				u.MilliCPU = v * 1000
			}
		}); err != nil {
			return err
		}
		if err := p.query(ctx, memoryQuery, from, to, merged, func(u *Usage, v float64) { u.MemoryBytes = v }); err != nil {
			return err
		}
		for _, u := range inOrder(merged) {
			if math.IsNaN(u.MilliCPU) && math.IsNaN(u.MemoryBytes) {
				continue // its only value was absurd
			}
			if err := yield(u); err != nil {
				return err
			}
		}
		steps := to.Sub(from)/p.o.Step + 1
		from = from.Add(steps * p.o.Step)
	}
	return nil
}

func inOrder(merged map[identity]map[int64]Usage) []Usage {
	var all []Usage
	for _, series := range merged {
		all = slices.AppendSeq(all, maps.Values(series))
	}
	slices.SortFunc(all, func(a, b Usage) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Namespace+"/"+a.Pod+"/"+a.Container, b.Namespace+"/"+b.Pod+"/"+b.Container)
	})
	return all
}

func (p prometheus) query(ctx context.Context, query string, from, to time.Time, into map[identity]map[int64]Usage, set func(*Usage, float64)) error {
	form := url.Values{
		"query": {query}, "start": {unix(from)}, "end": {unix(to)}, "step": {strconv.FormatFloat(p.o.Step.Seconds(), 'f', -1, 64)},
	}
	at := p.base.JoinPath("api", "v1", "query_range").String()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("asking %s, %w", at, err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := p.o.Client.Do(request)
	if err != nil {
		return fmt.Errorf("asking %s, %w", at, err)
	}
	err = parseMatrix(io.LimitReader(answer.Body, maxAnswer), func(id identity, ms int64, v float64) {
		series := into[id]
		if series == nil {
			series = map[int64]Usage{}
			into[id] = series
		}
		u, ok := series[ms]
		if !ok {
			u = Usage{Namespace: id.namespace, Pod: id.pod, Container: id.container, At: time.UnixMilli(ms), MilliCPU: math.NaN(), MemoryBytes: math.NaN()}
		}
		set(&u, v)
		series[ms] = u
	})
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return fmt.Errorf("asking %s for %q from %s to %s: status %s, %w",
			at, query, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339), answer.Status, err)
	}
	return nil
}

func unix(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64) }

// matrix is the answer to a range query.
type matrix struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		ResultType string `json:"resultType"`
		Result     []struct {
			Metric map[string]string `json:"metric"`
			Values [][2]any          `json:"values"`
		} `json:"result"`
	} `json:"data"`
}

// parseMatrix reads the answer to a range query. Values that are no usage (NaN, negative, absurd) are left out; an
// answer that is no matrix is an error.
func parseMatrix(r io.Reader, take func(id identity, ms int64, v float64)) error {
	var m matrix
	if err := json.NewDecoder(r).Decode(&m); err != nil {
		return fmt.Errorf("the answer is not that of a Prometheus API: %w", err)
	}
	if m.Status != "success" {
		return fmt.Errorf("the server answered %q: %s", m.Status, m.Error)
	}
	if m.Data.ResultType != "matrix" {
		return fmt.Errorf("data.resultType is %q, not matrix", m.Data.ResultType)
	}
	for i, series := range m.Data.Result {
		id := identity{series.Metric["namespace"], series.Metric["pod"], series.Metric["container"]}
		if id.namespace == "" || id.pod == "" || id.container == "" {
			return fmt.Errorf("data.result[%d].metric: labels namespace, pod and container are needed", i)
		}
		for j, pair := range series.Values {
			at, ok := pair[0].(float64)
			text, isText := pair[1].(string)
			v, err := strconv.ParseFloat(text, 64)
			if !ok || !isText || err != nil || at < 0 || at > maxSeconds {
				return fmt.Errorf("data.result[%d].values[%d]: %v is not a time and a number", i, j, pair)
			}
			if v >= 0 && v <= maxBytes {
				take(id, int64(at*1000+0.5), v)
			}
		}
	}
	return nil
}
