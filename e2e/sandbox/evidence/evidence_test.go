package evidence

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/recommender/checkpoint"
)

func TestTheAuditLogIsReadUpToTheLineThatIsBeingWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	text := `{"verb":"get","requestURI":"/a","user":{"username":"system:serviceaccount:supercargo-system:supercargo-recommender"},"objectRef":{"resource":"pods","subresource":"resize"}}
{"verb":"get","requestURI":"/b","user":{"username":"admin"},"objectRef":{"resource":"pods"}}
{"verb":"list","requestURI":"/c","user":{"username":"system:serviceaccount:supercargo-system:supercargo-scheduler"},"annotations":{"authorization.k8s.io/decision":"forbid"}}
{"verb":"wat`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Requests(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Request{
		{Component: sandbox.Recommender, Verb: "get", URI: "/a", Resource: "pods", Subresource: "resize"},
		{Component: sandbox.Scheduler, Verb: "list", URI: "/c", Unauthorized: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Requests(path + "-none"); err == nil {
		t.Error("an audit log that is not there has no requests, instead of an error")
	}
}

func TestUsageOfThePastEndsBeforeNow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.om")
	now := time.Unix(1_800_000_100, 0)
	if err := WriteHistory(path, now, []Usage{{Pod: PodsOf("web", 1)[0], Container: "app", MilliCPU: 100, Mebibytes: 128}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	const samples = 4 * 24 * 12
	if len(lines) != 2*samples+3 || lines[len(lines)-1] != "# EOF" {
		t.Fatalf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	for at, want := range map[int]string{
		0:             "# TYPE container_cpu_usage_seconds counter",
		1:             `container_cpu_usage_seconds_total{namespace="default",pod="web-6bdf9c7c5d-abc00",container="app"} 0 1799654400`,
		2:             `container_cpu_usage_seconds_total{namespace="default",pod="web-6bdf9c7c5d-abc00",container="app"} 30 1799654700`,
		samples + 1:   "# TYPE container_memory_working_set_bytes gauge",
		2*samples + 1: `container_memory_working_set_bytes{namespace="default",pod="web-6bdf9c7c5d-abc00",container="app"} 1.34217728e+08 1799999700`,
	} {
		if lines[at] != want {
			t.Errorf("line %d is\n%s\nwant\n%s", at+1, lines[at], want)
		}
	}
}

func TestACheckpointCountsFromWhenItWasWritten(t *testing.T) {
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		manifest string
		want     string // part of the error; empty: none
	}{
		"written since":  {`{"written":"2026-03-01T12:00:01Z"}`, ""},
		"written before": {`{"written":"2026-03-01T11:59:59Z"}`, "before"},
		"half written":   {`{`, "manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: sandbox.Namespace, Name: checkpoint.ManifestName}, Data: map[string]string{"manifest": tc.manifest}}
			err := Checkpointed(t.Context(), fake.NewClientBuilder().WithObjects(cm).Build(), since)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if err := Checkpointed(t.Context(), fake.NewClientBuilder().Build(), since); err == nil {
		t.Error("a checkpoint that is not there counts")
	}
}
