package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"supercargo.dev/plan"
	"supercargo.dev/plan/plantest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// call runs the command line as main does.
func call(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, stdio{strings.NewReader(stdin), &out, &errs})
	return code, out.String(), errs.String()
}

// dumpOf is a generated cluster as kubectl prints it.
func dumpOf(t testing.TB, nodes, pods int) string {
	t.Helper()
	var b bytes.Buffer
	if err := plantest.Write(&b, plantest.Options{Nodes: nodes, Pods: pods, Seed: 11}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (go test ./cmd/supercargo -update writes it anew): -want +got:\n%s", path, d)
	}
}

func TestThePlanOfADump(t *testing.T) {
	text := dumpOf(t, 10, 150)
	for name, args := range map[string][]string{
		"plan.txt":      {"plan", "-"},
		"plan.json":     {"plan", "-", "-o", "json"},
		"plan.yaml":     {"plan", "-", "-o", "yaml"},
		"plan-spot.txt": {"plan", "-", "--spot", "--families", "m6i,c6i,r6i"},
		"change.txt":    {"plan", "-", "-f", "testdata/deploy.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := call(t, text, args...)
			if code != 0 || stderr != "" {
				t.Fatalf("code %d: %s", code, stderr)
			}
			golden(t, name, stdout)
		})
	}
}

func TestJSONAndYAMLSayTheSame(t *testing.T) {
	text := dumpOf(t, 10, 150)
	var fromJSON, fromYAML plan.Report
	_, stdout, _ := call(t, text, "plan", "-", "-o", "json")
	if err := json.Unmarshal([]byte(stdout), &fromJSON); err != nil {
		t.Fatal(err)
	}
	_, stdout, _ = call(t, text, "plan", "-", "-o", "yaml")
	if err := yaml.UnmarshalStrict([]byte(stdout), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(fromJSON, fromYAML); d != "" {
		t.Error(d)
	}
}

func TestADumpInPartsIsOneCluster(t *testing.T) {
	text := dumpOf(t, 10, 150)
	_, whole, _ := call(t, text, "plan", "-")
	nodes, pods := filepath.Join(t.TempDir(), "nodes.json"), filepath.Join(t.TempDir(), "pods.json")
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	for path, items := range map[string][]json.RawMessage{nodes: list.Items[:10], pods: list.Items[10:]} {
		data, err := json.Marshal(map[string]any{"kind": "List", "items": items})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, parts, stderr := call(t, "", "plan", pods, nodes)
	if code != 0 {
		t.Fatalf("code %d: %s", code, stderr)
	}
	if d := cmp.Diff(whole, parts); d != "" {
		t.Error(d)
	}
}

func TestExitCodesMeanSomething(t *testing.T) {
	text := dumpOf(t, 3, 20)
	broken := strings.Replace(text, `"memory": "96Mi"`, `"memory": "lots"`, 1)
	nodesOnly := strings.ReplaceAll(text, `"kind": "Pod"`, `"kind": "Secret"`)
	for name, tc := range map[string]struct {
		stdin  string
		args   []string
		want   int
		stderr string
	}{
		"0 for a plan":                       {text, []string{"plan", "-"}, 0, ""},
		"0 for help":                         {"", []string{"plan", "--help"}, 0, ""},
		"1 for a file that is not there":     {"", []string{"plan", "nowhere.json"}, 1, "nowhere.json: no such file"},
		"1 for an empty input":               {"", []string{"plan", "-"}, 1, "neither nodes nor pods"},
		"1 for a kubeconfig that is not one": {"", []string{"plan", "--kubeconfig", "nowhere"}, 1, "loading the kubeconfig"},
		"1 for nodes without their pods":     {nodesOnly, []string{"plan", "-"}, 1, "3 nodes and no pods"},
		"2 for an unknown region":            {text, []string{"plan", "-", "--region", "moon-1"}, 2, `region "moon-1" is not in the catalog`},
		"2 for an unknown cloud":             {text, []string{"plan", "-", "--cloud", "moon"}, 2, `no prices of cloud "moon"`},
		"2 for a zone of another region":     {text, []string{"plan", "-", "--zones", "eu-west-1a"}, 2, `no zone "eu-west-1a"`},
		"2 for families that there are not":  {text, []string{"plan", "-", "--families", "zz"}, 2, "families zz"},
		"2 for an unknown flag":              {text, []string{"plan", "-", "--cheap"}, 2, "unknown flag: --cheap"},
		"2 for an unknown command":           {text, []string{"plam"}, 2, `unknown command "plam"`},
		"2 for an unknown output":            {text, []string{"plan", "-", "-o", "xml"}, 2, "want table, json or yaml"},
		"2 for a bad selector":               {text, []string{"plan", "-", "--keep", "a b"}, 2, "--keep"},
		"2 for reading standard input twice": {text, []string{"plan", "-", "-f", "-"}, 2, "once only"},
		"2 for a mode taken for a file":      {text, []string{"plan", "-", "--spot", "only"}, 2, "write --spot=only"},
		"3 for an item that is broken":       {broken, []string{"plan", "-"}, 3, "standard input, item 4 (Pod kube-system/cni-00000): quantities must match"},
		"3 for a truncated dump":             {text[:len(text)/2], []string{"plan", "-"}, 3, "it is truncated after item"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := call(t, tc.stdin, tc.args...)
			if code != tc.want || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("code %d, want %d; stderr %q lacks %q", code, tc.want, stderr, tc.stderr)
			}
			if (code == 0 || code == exitPartial) != (stdout != "") {
				t.Errorf("code %d with output %q", code, stdout)
			}
		})
	}
}

// TestCommandsSayThatNoClusterIsConfigured: no file, and no remedy that does not help.
func TestCommandsSayThatNoClusterIsConfigured(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	for _, args := range [][]string{{"plan"}, {"workloads"}, {"explain", "workload", "web"}, {"apply", "--all"}, {"migrate", "vpa"}, {"doctor"}} {
		code, _, stderr := call(t, "", args...)
		if code != exitError || !strings.Contains(stderr, "no cluster is configured: name a kubeconfig") {
			t.Errorf("%v: code %d: %s", args, code, stderr)
		}
	}
}

// TestACommandReadsADumpOrACluster: what names both is a mistake.
func TestACommandReadsADumpOrACluster(t *testing.T) {
	for _, args := range [][]string{{"plan", "-"}, {"workloads", "-"}, {"explain", "workload", "web", "-f", "-"}, {"migrate", "vpa", "-"}} {
		for _, flag := range []string{"--context", "--kubeconfig"} {
			code, _, stderr := call(t, "", append(args, flag, "x")...)
			if code != exitUsage || !strings.Contains(stderr, "want one of them") {
				t.Errorf("%v %s: code %d: %s", args, flag, code, stderr)
			}
		}
	}
}

func TestBrokenItemsAreInTheOutputToo(t *testing.T) {
	broken := strings.Replace(dumpOf(t, 3, 20), `"memory": "96Mi"`, `"memory": "lots"`, 1)
	_, stdout, _ := call(t, broken, "plan", "-", "-o", "json")
	var r plan.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Input.Problems) != 1 || r.Input.Problems[0].Item != 4 || r.Input.Problems[0].Name != "cni-00000" {
		t.Errorf("problems %+v", r.Input.Problems)
	}
}
