package component

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestFlagsThatMakeNoSenseAreNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Options)
		want   string // part of the error; empty: none
	}{
		"the defaults":                  {func(*Options) {}, ""},
		"an unknown level":              {func(o *Options) { o.LogLevel = "loud" }, `--log-level is "loud"`},
		"a level that exists elsewhere": {func(o *Options) { o.LogLevel = "panic" }, "debug, info or error"},
		"no requests":                   {func(o *Options) { o.QPS = 0 }, "--kube-api-qps"},
		"a rate that is no number":      {func(o *Options) { o.QPS = float32(math.NaN()) }, "--kube-api-qps"},
		"no request at once":            {func(o *Options) { o.Burst = 0 }, "--kube-api-burst"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Defaults(100, 200)
			o.AddFlags(pflag.NewFlagSet("x", pflag.ContinueOnError), "", "lease")
			tc.change(&o)
			if err := o.Validate(); (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

// TestWithoutAKubeconfigOnlyThePodsServiceAccountCounts: a component on an administrator's machine must not act on whatever cluster
// the administrator's own kubeconfig names.
func TestWithoutAKubeconfigOnlyThePodsServiceAccountCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	text := `{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: "https://a.example"}}],
contexts: [{name: a, context: {cluster: a, user: a}}], users: [{name: a, user: {token: secret}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", path)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	o := Defaults(100, 200)
	if cfg, err := o.Config("x", "v1"); err == nil || !strings.Contains(err.Error(), "--kubeconfig is needed") {
		t.Errorf("config %v, error %v, want one that names the remedy", cfg, err)
	}
	o.Kubeconfig = path
	cfg, err := o.Config("x", "v1")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Host != "https://a.example" || cfg.UserAgent != "x/v1" || cfg.QPS != 100 || cfg.Burst != 200 {
		t.Errorf("host %s, user agent %s, %g requests a second, %d at once", cfg.Host, cfg.UserAgent, cfg.QPS, cfg.Burst)
	}
	o.Kubeconfig += "-none"
	if _, err := o.Config("x", "v1"); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("error %v, want one that names the flag", err)
	}
}
