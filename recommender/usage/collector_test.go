package usage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// machines is a source of nodes that use half a core each; some can be made to fail.
type machines struct {
	mu     sync.Mutex
	visits map[string][]time.Time
	broken map[string]error
	skew   time.Duration
	under  int
	most   int
}

func (m *machines) Name() string { return "machines" }

func (m *machines) Scrape(ctx context.Context, node string) ([]Sample, error) {
	m.mu.Lock()
	m.under++
	m.most = max(m.most, m.under)
	m.visits[node] = append(m.visits[node], time.Now())
	err := m.broken[node]
	m.mu.Unlock()
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
		err = ctx.Err()
	}
	m.mu.Lock()
	m.under--
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	at := time.Now().Add(m.skew)
	return []Sample{{Namespace: "n", Pod: "on-" + node, Container: "c", CPUAt: at, MemoryAt: at, CPUSeconds: float64(at.UnixMilli()) / 2000, MemoryBytes: 5}}, nil
}

type sunk struct {
	mu  sync.Mutex
	all []Usage
}

func (s *sunk) take(u Usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, u)
}

func TestEveryNodeIsVisitedEachIntervalAtItsOwnMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machines{visits: map[string][]time.Time{}, broken: map[string]error{"n3": errors.New("no route")}}
		var s sunk
		var nodes []string
		for i := range 20 {
			nodes = append(nodes, fmt.Sprintf("n%d", i))
		}
		var failures int
		c, err := NewCollector(CollectorOptions{
			Source: m, Sink: s.take, Clock: clock.RealClock{}, Concurrency: 3, Seed: 1,
			Nodes:   func() []string { m.mu.Lock(); defer m.mu.Unlock(); return nodes },
			OnError: func(string, error) { m.mu.Lock(); defer m.mu.Unlock(); failures++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := c.Start(ctx); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		m.mu.Lock()
		first := map[time.Time]int{}
		for _, node := range nodes {
			if got := len(m.visits[node]); got < 4 || got > 6 {
				t.Errorf("node %s was visited %d times in 5 minutes", node, got)
			}
			first[m.visits[node][0]]++
		}
		if len(first) < 15 {
			t.Errorf("20 nodes were visited at %d moments", len(first))
		}
		if m.most > 3 {
			t.Errorf("%d visits at once", m.most)
		}
		failed := failures
		m.mu.Unlock()
		s.mu.Lock()
		for _, u := range s.all[40:] {
			if u.MilliCPU < 499 || u.MilliCPU > 501 {
				t.Errorf("half a core is read as %v", u.MilliCPU)
			}
		}
		s.mu.Unlock()
		if _, ok := c.Age("n3"); ok || failed < 4 {
			t.Errorf("a node that never answered has an age; %d failures", failed)
		}
		if age, ok := c.Age("n1"); !ok || age > time.Minute+3*time.Second {
			t.Errorf("age of a node that answers: %s, %v", age, ok)
		}
		// A node that stops answering ages visibly, and one that is gone is forgotten.
		m.mu.Lock()
		m.broken["n1"] = errors.New("gone dark")
		nodes = nodes[:10]
		m.mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if age, _ := c.Age("n1"); age < 9*time.Minute {
			t.Errorf("age of a node that is dark: %s", age)
		}
		status := c.Nodes()
		if len(status) != 10 || status[1].Node != "n1" || status[1].Err == nil || status[1].Containers != 1 {
			t.Errorf("status: %+v", status)
		}
		cancel()
		<-done
	})
}

func TestAClockThatIsOffIsCorrectedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machines{visits: map[string][]time.Time{}, skew: time.Hour}
		var s sunk
		c, err := NewCollector(CollectorOptions{Source: m, Sink: s.take, Nodes: func() []string { return []string{"n"} }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = c.Start(ctx) }()
		time.Sleep(5 * time.Minute)
		cancel()
		<-done
		now := time.Now()
		for i, u := range s.all {
			if u.At.After(now) {
				t.Errorf("usage of the future: %s", u.At)
			}
			if i > 0 && (u.MilliCPU < 499 || u.MilliCPU > 501) {
				t.Errorf("half a core by a skewed clock is read as %v", u.MilliCPU)
			}
		}
		if got := c.Counts(); got.Skewed != int64(len(s.all)) || got.Taken != got.Skewed || got.Taken == 0 {
			t.Errorf("counts: %+v for %d usages", got, len(s.all))
		}
	})
}

func TestACollectorNeedsItsParts(t *testing.T) {
	if _, err := NewCollector(CollectorOptions{}); err == nil {
		t.Error("a collector without a source is made")
	}
}

func TestKubeletsAreReadThroughTheNodeProxy(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/nodes/worker-1/proxy/metrics/resource" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(kubeletText))
	}))
	defer server.Close()
	gv := schema.GroupVersion{Version: "v1"}
	client, err := rest.RESTClientFor(&rest.Config{Host: server.URL, APIPath: "/api", ContentConfig: rest.ContentConfig{
		GroupVersion: &gv, NegotiatedSerializer: scheme.Codecs.WithoutConversion(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	k := NewKubelet(client)
	got, err := k.Scrape(t.Context(), "worker-1")
	if err != nil || len(got) != 2 {
		t.Errorf("%d samples, %v", len(got), err)
	}
	if _, err := k.Scrape(t.Context(), "worker-2"); err == nil || !strings.Contains(err.Error(), "worker-2") {
		t.Errorf("an unknown node: %v", err)
	}
}

// server answers range queries about one container: 0.25 cores and 100 bytes, at every step.
func server(t *testing.T, queries *[]string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/prom/api/v1/query_range" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		*queries = append(*queries, r.FormValue("query"))
		var start, end, step float64
		for name, into := range map[string]*float64{"start": &start, "end": &end, "step": &step} {
			if _, err := fmt.Sscan(r.FormValue(name), into); err != nil {
				t.Error(err)
			}
		}
		value := "0.25"
		if strings.Contains(r.FormValue("query"), memoryMetric) {
			value = "100"
		}
		var values []string
		for at := start; at <= end; at += step {
			values = append(values, fmt.Sprintf("[%f,%q]", at, value))
		}
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"namespace":"n","pod":"p","container":"c"},"values":[%s]}]}}`, strings.Join(values, ","))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestPrometheusIsAskedForEachStepOnce(t *testing.T) {
	var queries []string
	s, err := Prometheus(PrometheusOptions{URL: server(t, &queries).URL + "/prom", From: t0, To: t0.Add(15 * time.Hour), Selector: `{cluster="a"}`})
	if err != nil {
		t.Fatal(err)
	}
	got := collect(t, s)
	if want := 15*12 + 1; len(got) != want {
		t.Errorf("%d usages, want %d", len(got), want)
	}
	for i, u := range got {
		want := Usage{"n", "p", "c", t0.Add(time.Duration(i) * 5 * time.Minute), 250, 100, nil}
		if d := cmp.Diff(want, u); d != "" {
			t.Fatalf("usage %d: %s", i, d)
		}
	}
	if len(queries) != 6 {
		t.Errorf("%d queries for 15 h in parts of 6 h", len(queries))
	}
	if want := `sum by (namespace,pod,container) (rate(container_cpu_usage_seconds_total{container!="",container!="POD",pod!="",cluster="a"}[300s]))`; queries[0] != want {
		t.Errorf("asked %s", queries[0])
	}
}

func TestAnswersOfPrometheusThatAreNoneAreExplained(t *testing.T) {
	for answer, want := range map[string]string{
		`<html>`: "not that of a Prometheus API",
		`{"status":"error","error":"too many samples"}`:                                                                                              "too many samples",
		`{"status":"success","data":{"resultType":"vector"}}`:                                                                                        "data.resultType",
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"pod":"p"}}]}}`:                                                      "data.result[0].metric",
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"namespace":"n","pod":"p","container":"c"},"values":[["x","1"]]}]}}`: "data.result[0].values[0]",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		p, err := Prometheus(PrometheusOptions{URL: s.URL, From: t0, To: t0.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if err := p(t.Context(), func(Usage) error { return nil }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", answer, err, want)
		}
		s.Close()
	}
}

func TestABackfillThatCannotWorkIsRefused(t *testing.T) {
	for name, o := range map[string]PrometheusOptions{
		"no server":      {URL: "prometheus", From: t0, To: t0.Add(1)},
		"another scheme": {URL: "ftp://prometheus", From: t0, To: t0.Add(1)},
		"no time":        {URL: "http://p", From: t0, To: t0},
		"a long step":    {URL: "http://p", From: t0, To: t0.Add(1), Step: 24 * time.Hour},
	} {
		if _, err := Prometheus(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseMatrix(f *testing.F) {
	f.Add(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"namespace":"n","pod":"p","container":"c"},"values":[[1,"1"],[2,"NaN"]]}]}}`)
	f.Fuzz(func(t *testing.T, s string) {
		err := parseMatrix(strings.NewReader(s), func(_ identity, ms int64, v float64) {
			if !(v >= 0) || ms < 0 {
				t.Errorf("took %v at %d", v, ms)
			}
		})
		_ = err // either is right; it must only not crash
	})
}
