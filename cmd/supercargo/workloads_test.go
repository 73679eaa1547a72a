package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const scalersDump = "testdata/scalers.yaml"

func TestTheInventoryOfADump(t *testing.T) {
	for name, args := range map[string][]string{
		"workloads.txt":          {"workloads", scalersDump},
		"workloads-wide.txt":     {"workloads", scalersDump, "-o", "wide", "--sort", "score"},
		"workloads.json":         {"workloads", scalersDump, "-o", "json", "--kind", "statefulset"},
		"workloads-filtered.txt": {"workloads", scalersDump, "-n", "sh*", "-l", "team=shop", "--sort", "priority", "--limit", "1"},
		"workloads-clusters.txt": {"workloads", scalersDump, "testdata/plan.json", "--cluster", "scalers*", "--name", "[n-z]*"},
		"explain.txt":            {"explain", "workload", "web", "-n", "shop", "-f", scalersDump},
		"explain-none.txt":       {"explain", "workload", "cronjob/train", "-n", "ml", "-f", scalersDump},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := call(t, "", args...)
			if code != 0 && code != exitPartial {
				t.Fatalf("code %d: %s", code, stderr)
			}
			golden(t, name, stdout)
		})
	}
}

func TestMistakesInTheInventoryAreNamed(t *testing.T) {
	text, err := os.ReadFile(scalersDump)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args   []string
		want   int
		stderr string
	}{
		"an unknown sort key":                   {[]string{"workloads", "-", "--sort", "money"}, exitUsage, "want one of net, priority"},
		"a malformed glob":                      {[]string{"workloads", "-", "-n", "[a"}, exitUsage, "--namespace"},
		"a malformed selector":                  {[]string{"workloads", "-", "-l", "a b"}, exitUsage, "--selector"},
		"an unknown output":                     {[]string{"workloads", "-", "-o", "xml"}, exitUsage, "want table, wide, json or yaml"},
		"a negative limit":                      {[]string{"workloads", "-", "--limit", "-1"}, exitUsage, "--limit"},
		"a dump and a context":                  {[]string{"workloads", "-", "--context", "a"}, exitUsage, "want one of them"},
		"a workload that is not there":          {[]string{"explain", "workload", "webb", "-n", "shop", "-f", "-"}, exitError, `no WorkloadScaler in namespace shop binds a workload "webb"`},
		"no workload":                           {[]string{"explain", "workload"}, exitUsage, "want one workload"},
		"apply to nothing in particular":        {[]string{"apply"}, exitUsage, "name workloads, select them"},
		"apply to a name without a namespace":   {[]string{"apply", "web"}, exitUsage, "needs --namespace"},
		"apply to names and a selection":        {[]string{"apply", "web", "-n", "shop", "-l", "a=b"}, exitUsage, "want one of the two"},
		"apply with an unknown mode":            {[]string{"apply", "--all", "--mode", "Always"}, exitUsage, "--mode is"},
		"patches without a dry run":             {[]string{"apply", "--all", "-o", "yaml"}, exitUsage, "needs --dry-run"},
		"migrate from something that is no VPA": {[]string{"migrate", "vpa", scalersDump}, exitError, "document 1 is no JSON"},
		"doctor without time":                   {[]string{"doctor", "--timeout", "0s"}, exitUsage, "--timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := call(t, string(text), tc.args...)
			if code != tc.want || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("code %d, want %d; stderr %q lacks %q", code, tc.want, stderr, tc.stderr)
			}
		})
	}
}

func TestAnExplanationSaysThatPartOfItsInputCouldNotBeRead(t *testing.T) {
	text, err := os.ReadFile(scalersDump)
	if err != nil {
		t.Fatal(err)
	}
	broken := string(text) + "\n---\napiVersion: v1\nkind: Pod\nmetadata: [\n"
	code, stdout, stderr := call(t, broken, "explain", "workload", "web", "-n", "shop", "-f", "-")
	if code != exitPartial || !strings.Contains(stdout, "Deployment shop/web") || !strings.Contains(stderr, "1 problem with the input") {
		t.Errorf("code %d, stderr %s, output:\n%s", code, stderr, stdout)
	}
}

// TestMigratingWhereThereIsNoVPASaysSo: a cluster whose API server knows no group but its own.
func TestMigratingWhereThereIsNoVPASaysSo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api":
			_, _ = io.WriteString(w, `{"kind":"APIVersions","versions":["v1"]}`) // a client that is gone reads nothing
		case "/apis":
			_, _ = io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
		}
	}))
	t.Cleanup(server.Close)
	kubeconfig := filepath.Join(t.TempDir(), "config")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: '" + server.URL +
		"'}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {}}]\n"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := call(t, "", "migrate", "vpa", "--kubeconfig", kubeconfig)
	if code != exitError || !strings.Contains(stderr, "the Vertical Pod Autoscaler is not installed") {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestMigratedObjectsWriteDownNoDefaults(t *testing.T) {
	code, stdout, stderr := call(t, "", "migrate", "vpa", "../../recommender/migrate/testdata/vpas.json", "--keep-modes")
	if code != 0 || !strings.Contains(stderr, "5 VerticalPodAutoscalers read, 7 objects made, 9 settings to look at.") {
		t.Fatalf("code %d: %s", code, stderr)
	}
	golden(t, "migrated.yaml", stdout)
	for _, zero := range []string{": 0s", "null", "{}", "status:"} {
		if strings.Contains(stdout, zero) {
			t.Errorf("the manifests hold %q", zero)
		}
	}
}
