package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// A kubeconfig to nowhere: everything is built, nothing answers.
const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u}]
current-context: c
`

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func parsed(t *testing.T, args ...string) *options {
	t.Helper()
	o := defaultOptions()
	cmd := command()
	cmd.ResetFlags()
	o.addFlags(cmd.Flags())
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTheShippedConfigurationBuildsAScheduler(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	kube := scheduleroptions.NewOptions()
	kube.SecureServing.BindPort = 0
	var err error
	if kube.ComponentConfig, err = parsed(t, "--kubeconfig="+write(t, "kubeconfig", kubeconfig)).load(); err != nil {
		t.Fatal(err)
	}
	cc, s, err := assemble(ctx, kube)
	if err != nil {
		t.Fatal(err)
	}
	profile, ok := s.Profiles["supercargo-scheduler"]
	if !ok || len(s.Profiles) != 1 {
		t.Fatalf("profiles %v", s.Profiles)
	}
	scores := map[string]int32{}
	for _, p := range profile.ListPlugins().Score.Enabled {
		scores[p.Name] = p.Weight
	}
	if scores["RightsizedPacking"] == 0 || scores["SpotPreference"] == 0 || scores["NodeResourcesFit"] != 0 || scores["NodeResourcesBalancedAllocation"] != 0 {
		t.Errorf("score plugins are %v", scores)
	}
	if le := cc.ComponentConfig.LeaderElection; !le.LeaderElect || le.ResourceName != "supercargo-scheduler" || le.ResourceNamespace != "supercargo-system" {
		t.Errorf("leader election is %+v", le)
	}

	server := httptest.NewServer(health(cc, readiness(ctx, s)))
	defer server.Close()
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/livez": http.StatusOK, "/readyz": http.StatusInternalServerError} {
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != want {
			t.Errorf("%s answers %d before any cache is filled, want %d", path, response.StatusCode, want)
		}
	}
}

func TestLoad(t *testing.T) {
	own := write(t, "config.yaml", `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: /from/config}
leaderElection: {leaderElect: false, resourceNamespace: elsewhere}
`)
	for name, tc := range map[string]struct {
		args       []string
		kubeconfig string
		elect      bool
		namespace  string
	}{
		"the built-in configuration": {elect: true, namespace: "supercargo-system"},
		"one of the user's":          {args: []string{"--config=" + own}, kubeconfig: "/from/config", namespace: "elsewhere"},
		"flags override it":          {args: []string{"--config=" + own, "--kubeconfig=/from/flag", "--leader-elect=true", "--leader-election-namespace=here"}, kubeconfig: "/from/flag", elect: true, namespace: "here"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parsed(t, tc.args...).load()
			if err != nil {
				t.Fatal(err)
			}
			if c.ClientConnection.Kubeconfig != tc.kubeconfig || c.LeaderElection.LeaderElect != tc.elect || c.LeaderElection.ResourceNamespace != tc.namespace {
				t.Errorf("got kubeconfig %q, leader election %+v", c.ClientConnection.Kubeconfig, c.LeaderElection)
			}
		})
	}
	for name, tc := range map[string]struct{ config, want string }{
		"a file that is not there":   {config: filepath.Join(t.TempDir(), "none"), want: "no such file"},
		"something else than config": {config: write(t, "pod.yaml", "apiVersion: v1\nkind: Pod\n"), want: "Pod"},
		"a misspelt field":           {config: write(t, "bad.yaml", "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofile: []\n"), want: "profile"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parsed(t, "--config="+tc.config).load(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestVerbosity(t *testing.T) {
	for level, want := range map[string]uint32{"error": 0, "info": 2, "debug": 4} {
		if got, err := verbosity(level); err != nil || got != want {
			t.Errorf("%s: got %d, %v", level, got, err)
		}
	}
	if _, err := verbosity("loud"); err == nil {
		t.Error("a level that does not exist is accepted")
	}
}
