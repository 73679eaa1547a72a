package live_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"supercargo.dev/plan/dump"
	"supercargo.dev/plan/live"
)

// server answers lists as an API server does, and refuses those in refused.
func server(t *testing.T, refused map[string]int) *rest.Config {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status, ok := refused[r.URL.Path]; ok {
			http.Error(w, `{"kind":"Status"}`, status)
			return
		}
		text := `{"kind":"NamespaceList","apiVersion":"v1","items":[]}`
		switch r.URL.Path {
		case "/api/v1/nodes":
			text = `{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"n"},"status":{"allocatable":{"cpu":"4"}}}]}`
		case "/api/v1/pods":
			text = `{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"p","namespace":"web"},"spec":{"nodeName":"n","containers":[{"name":"c"}]}}]}`
		case "/apis/apps/v1/daemonsets":
			text = `{"kind":"DaemonSetList","apiVersion":"apps/v1","items":[{"metadata":{"name":"d","namespace":"web"},"spec":{"template":{"spec":{"containers":[{"name":"c"}]}}}}]}`
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return &rest.Config{Host: s.URL}
}

func TestRead(t *testing.T) {
	for name, tc := range map[string]struct {
		refused  map[string]int
		problems []string
		err      string
	}{
		"reads what there is":                        {},
		"a kind that is not installed is no problem": {refused: map[string]int{"/apis/supercargo.dev/v1alpha1/workloadscalers": http.StatusNotFound}},
		"a kind that may not be read is a problem": {
			refused:  map[string]int{"/api/v1/persistentvolumes": http.StatusForbidden},
			problems: []string{`/api/v1/persistentvolumes: listing /api/v1/persistentvolumes, Forbidden: {"kind":"Status"}`},
		},
		"pods that may not be read are an error": {refused: map[string]int{"/api/v1/pods": http.StatusForbidden}, err: "listing /api/v1/pods, Forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			var o dump.Objects
			err := live.Read(context.Background(), server(t, tc.refused), &o, dump.Options{})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(o.Nodes) != 1 || len(o.Pods) != 1 || len(o.Workloads) != 1 || o.Workloads[0].Kind != "DaemonSet" {
				t.Errorf("%d nodes, %d pods, workloads %+v", len(o.Nodes), len(o.Pods), o.Workloads)
			}
			var got []string
			for _, p := range o.Problems {
				got = append(got, p.String())
			}
			if d := cmp.Diff(tc.problems, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
