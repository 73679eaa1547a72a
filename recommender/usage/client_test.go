package usage

import (
	"encoding/pem"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRequestsCarryWhatTheServerAsksFor(t *testing.T) {
	var got http.Header
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer s.Close()
	ca := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	for name, c := range map[string]struct {
		o             ClientOptions
		authorization string
		tenant        string
	}{
		"a token":                 {ClientOptions{BearerTokenFile: file(t, "abc\n"), CAFile: ca}, "Bearer abc", ""},
		"a user":                  {ClientOptions{Username: "u", PasswordFile: file(t, "p"), CAFile: ca}, "Basic dTpw", ""},
		"a tenant":                {ClientOptions{Headers: []string{"x-scope-orgid: team-a"}, CAFile: ca}, "", "team-a"},
		"any certificate will do": {ClientOptions{InsecureSkipVerify: true}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got = nil
			client, err := NewClient(c.o)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			if err := answer.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if got.Get("Authorization") != c.authorization || got.Get("X-Scope-OrgID") != c.tenant {
				t.Errorf("got %v", got)
			}
		})
	}
	client, err := NewClient(ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := client.Get(s.URL); err == nil {
		t.Errorf("a certificate of nobody was accepted: %v", answer.Body.Close())
	}
}

func TestARotatedTokenIsUsedAtOnce(t *testing.T) {
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
	defer s.Close()
	token := file(t, "old")
	client, err := NewClient(ClientOptions{BearerTokenFile: token})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"old", "new"} {
		if err := os.WriteFile(token, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		answer, err := client.Get(s.URL)
		if err != nil || got != "Bearer "+want {
			t.Fatalf("%q, %v", got, err)
		}
		if err := answer.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCredentialsDoNotFollowARedirectElsewhere(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another server was told %q", r.Header.Get("Authorization"))
	}))
	defer other.Close()
	s := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer s.Close()
	client, err := NewClient(ClientOptions{BearerTokenFile: file(t, "abc")})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := client.Get(s.URL); err == nil {
		t.Errorf("the redirect was followed: %v", answer.Body.Close())
	}
}

func TestAClientThatCannotWorkIsRefused(t *testing.T) {
	for name, o := range map[string]ClientOptions{
		"a token file that is not there":     {BearerTokenFile: "/nowhere"},
		"an empty token":                     {BearerTokenFile: file(t, "\n")},
		"a token and a user":                 {BearerTokenFile: file(t, "a"), Username: "u", PasswordFile: file(t, "p")},
		"a user without password":            {Username: "u"},
		"a password without user":            {PasswordFile: file(t, "p")},
		"an authority without a certificate": {CAFile: file(t, "no PEM")},
		"a header without a value":           {Headers: []string{"X-Scope-OrgID"}},
		"a header of two lines":              {Headers: []string{"X: a\r\nY: b"}},
	} {
		if _, err := NewClient(o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

const podMetrics = `{"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "items": [
{"metadata": {"name": "cart-a", "namespace": "shop"}, "timestamp": "2026-03-02T10:00:00Z", "window": "15s",
 "containers": [{"name": "app", "usage": {"cpu": "250123456n", "memory": "131072Ki"}}, {"name": "proxy", "usage": {"cpu": "2m"}}]},
{"metadata": {"name": "cart-b", "namespace": "shop"}, "containers": [{"name": "app", "usage": {"cpu": "1"}}]}]}`

func TestTheMetricsAPIIsReadOnceForAllPods(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != "/apis/metrics.k8s.io/v1beta1/pods" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if _, err := w.Write([]byte(podMetrics)); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	gv := schema.GroupVersion{Version: "v1"}
	client, err := rest.RESTClientFor(&rest.Config{Host: s.URL, APIPath: "/api", ContentConfig: rest.ContentConfig{
		GroupVersion: &gv, NegotiatedSerializer: scheme.Codecs.WithoutConversion(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	samples, err := NewMetricsAPI(client).Scrape(t.Context(), Cluster)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	want := []Sample{
		{Namespace: "shop", Pod: "cart-a", Container: "app", CPUAt: at, MemoryAt: at, Rated: true, Cores: 0.250123456, MemoryBytes: 128 << 20},
		{Namespace: "shop", Pod: "cart-a", Container: "proxy", CPUAt: at, Rated: true, Cores: 0.002},
	}
	if d := cmp.Diff(want, samples); d != "" || asked != 1 {
		t.Errorf("asked %d times: %s", asked, d)
	}
}

func TestARateIsTakenAsItIsAndOnce(t *testing.T) {
	var c counters
	tr := newTracker(&c)
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	s := Sample{Namespace: "n", Pod: "p", Container: "c", Rated: true, CPUAt: at, Cores: 0.25}
	if u, ok := tr.usage(s, time.Time{}); !ok || u.MilliCPU != 250 {
		t.Errorf("%+v, %v", u, ok)
	}
	if u, ok := tr.usage(s, time.Time{}); ok {
		t.Errorf("the same measurement was taken twice: %+v", u)
	}
	for _, absurd := range []float64{math.NaN(), -1, 1e9, math.Inf(1)} {
		s.CPUAt, s.Cores = s.CPUAt.Add(time.Minute), absurd
		if u, ok := tr.usage(s, time.Time{}); ok {
			t.Errorf("%v cores were taken: %+v", absurd, u)
		}
	}
	if got := c.read(); got.Absurd != 4 || got.Stale != 1 {
		t.Errorf("%+v", got)
	}
}

func FuzzParsePodMetrics(f *testing.F) {
	f.Add(podMetrics)
	f.Add(`{"kind": "PodMetricsList", "items": [{"metadata": {"name": "a", "namespace": "b"}, "timestamp": "2026-03-02T10:00:00Z", "containers": [{"usage": {"cpu": "x"}}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		samples, err := ParsePodMetrics(strings.NewReader(text))
		for _, s := range samples {
			if err != nil || s.Pod == "" || s.CPUAt.IsZero() && s.CPUSeconds != 0 {
				t.Errorf("%+v, %v", s, err)
			}
		}
	})
}
