//go:build linux

package scenarios

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/e2e/sandbox"
)

// nothingWasForbidden fails the test for every request of the recommender's ServiceAccount that its role did not allow.
func (w *world) nothingWasForbidden() {
	w.t.Helper()
	f, err := os.Open(w.AuditLog)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	requests := 0
	for lines.Scan() {
		var e struct {
			Verb, RequestURI string
			User             struct{ Username string }
			ResponseStatus   struct{ Code int }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || !strings.HasSuffix(e.User.Username, ":"+sandbox.Recommender) {
			continue // the last line may be half written
		}
		requests++
		if e.ResponseStatus.Code == http.StatusForbidden && !strings.HasSuffix(e.RequestURI, "/resize") { // beyond the node's capacity
			w.t.Errorf("the recommender may not %s %s", e.Verb, e.RequestURI)
		}
	}
	if err := lines.Err(); err != nil || requests == 0 {
		w.t.Errorf("%d requests of the recommender in the audit log, %v", requests, err)
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
		cm := &corev1.ConfigMap{}
		if err := w.Get(ctx, client.ObjectKey{Namespace: sandbox.Namespace, Name: "supercargo-history"}, cm); err != nil {
			return err.Error()
		}
		var m struct{ Written time.Time }
		if err := json.Unmarshal([]byte(cm.Data["manifest"]), &m); err != nil || m.Written.Before(since) {
			return fmt.Sprintf("%s, %v", cm.Data["manifest"], err)
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
