//go:build linux

package scenarios

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/e2e/sandbox/evidence"
)

// nothingWasForbidden fails the test for every request of the recommender's ServiceAccount that its role did not allow.
func (w *world) nothingWasForbidden() {
	w.t.Helper()
	all, err := evidence.Requests(w.AuditLog)
	if err != nil {
		w.t.Fatal(err)
	}
	requests := 0
	for _, r := range all {
		if r.Component != sandbox.Recommender {
			continue
		}
		requests++
		if r.Unauthorized {
			w.t.Errorf("the recommender may not %s %s", r.Verb, r.URI)
		}
	}
	if requests == 0 {
		w.t.Error("the audit log has no request of the recommender")
	}
}

// count tells where the events of a reason about a scaler are not so many; one event may stand for several.
func (w *world) count(scaler, reason string, want int) string {
	n := 0
	for _, e := range w.events("WorkloadScaler", scaler, reason) {
		switch {
		case e.Series != nil:
			n += int(e.Series.Count)
		default:
			n += max(1, int(e.Count))
		}
	}
	if n != want {
		return fmt.Sprintf("%d events %s, want %d", n, reason, want)
	}
	return ""
}

// checkpointed waits until the recommender has written its history since now.
func (w *world) checkpointed() {
	w.t.Helper()
	since := time.Now()
	w.eventually("a checkpoint is written", func(ctx context.Context) string {
		if err := evidence.Checkpointed(ctx, w, since); err != nil {
			return err.Error()
		}
		return ""
	})
}

// leak makes a pod take more memory than it may have. The answer never comes: the container is killed.
func (w *world) leak(pod string, mebibytes int64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	status, err := w.post(ctx, pod, "memoryMiB", mebibytes)
	if err == nil {
		w.t.Fatalf("pod %s takes %d MiB and lives: status %d", pod, mebibytes, status)
	}
}

// metric reads a counter of a process.
func metric(t *testing.T, url, name string) float64 {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.Reader(response.Body))
	if err != nil {
		t.Fatal(err)
	}
	if families[name] == nil {
		t.Fatalf("%s has no %s", url, name)
	}
	return families[name].Metric[0].GetCounter().GetValue()
}
