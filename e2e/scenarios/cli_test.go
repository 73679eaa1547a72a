package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/recommender/insight"
)

// cli runs the command line against the world and returns its standard output; the test fails where it exits with anything but want.
func (w *world) cli(want int, args ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(os.Getenv(sandbox.BinDirVariable), "supercargo"), args...) //nolint:gosec // our own binary
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		w.t.Fatalf("supercargo %v: %v", args, err)
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		w.t.Fatalf("supercargo %v: exit code %d, want %d\n%s%s", args, code, want, &out, &errs)
	}
	return out.String()
}

// template is a condition: the template of a Deployment asks for this much CPU.
func (w *world) template(deployment, cpu string) func(context.Context) string {
	return func(ctx context.Context) string {
		d := &appsv1.Deployment{}
		if err := w.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: deployment}, d); err != nil {
			return err.Error()
		}
		if is := d.Spec.Template.Spec.Containers[0].Resources.Requests.Cpu().String(); is != cpu {
			return "it asks for " + is
		}
		return ""
	}
}

// TestALoopOfReviewApplyAndAutomateByTheCommandLine is A1, A4, A9, A10 and A16: the inventory is filtered and sorted, a recommendation is
// explained, applied once by a rollout, and then automated for one workload; doctor finds the installation in order.
func TestALoopOfReviewApplyAndAutomateByTheCommandLine(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	web := greedy("web", 2)
	web.Labels = map[string]string{"team": "shop"}
	w.create(web, greedy("api", 2))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 4))
	w.withRecommender([]string{"web", "api"})
	w.create(scaler("web", v1alpha1.UpdateModePreview), scaler("api", v1alpha1.UpdateModePreview))
	w.eventually("web is recommended", w.recommended("web"))
	w.eventually("api is recommended", w.recommended("api"))

	var inventory struct {
		Items  []insight.Item
		Totals insight.Totals
	}
	read := func(args ...string) {
		t.Helper()
		if err := json.Unmarshal([]byte(w.cli(0, append([]string{"workloads", "-o", "json"}, args...)...)), &inventory); err != nil {
			t.Fatal(err)
		}
	}
	if read(); len(inventory.Items) != 2 || inventory.Totals.Net < 50 {
		t.Fatalf("the inventory of all is %+v", inventory)
	}
	if read("-l", "team=shop", "--kind", "deployment"); len(inventory.Items) != 1 || inventory.Items[0].Name != "web" || inventory.Items[0].Priority == nil {
		t.Errorf("the inventory of one team is %+v", inventory)
	}
	if text := w.cli(0, "explain", "workload", "deployment/web"); !strings.Contains(text, "cpu: request 1 → ") || !strings.Contains(text, "Overhead") {
		t.Errorf("the explanation is\n%s", text)
	}

	if patch := w.cli(0, "apply", "web", "-n", "default", "--dry-run", "-o", "yaml"); !strings.Contains(patch, "kind: Deployment") {
		t.Errorf("the patch is\n%s", patch)
	}
	if why := w.template("web", "1")(t.Context()); why != "" {
		t.Fatalf("a dry run changed the template: %s", why)
	}
	cpu := w.scaler(t.Context(), "web").Status.Recommendation.Containers[0].Requests.Cpu().String()
	w.cli(0, "apply", "web", "-n", "default", "--yes")
	w.eventually("the template asks for what is recommended", w.template("web", cpu))
	w.eventually("the rollout has replaced the pods", w.requests("web", 2, cpu))

	w.cli(0, "apply", "-n", "default", "--name", "api", "--mode", "InPlace", "--yes")
	w.eventually("api is resized in place", w.requests("api", 2, "150m"))
	if why := w.template("api", "1")(t.Context()); why != "" {
		t.Errorf("the mode changed the template: %s", why)
	}

	findings := w.cli(0, "doctor")
	for _, want := range []string{"ok       recommender's loop", "ok       admission webhook", "ok       leader of recommender"} {
		if !strings.Contains(findings, want) {
			t.Errorf("doctor's findings lack %q:\n%s", want, findings)
		}
	}
	if left := list(w, &v1alpha1.WorkloadScalerList{}).Items; len(left) != 2 {
		t.Errorf("doctor left something behind: %d WorkloadScalers, want 2", len(left))
	}
}

// TestAModeThatIsSetByHandStandsOverThatOfTheRule is A5 and A16 as README installs it: a rule makes the scalers, in Preview, and one
// workload is automated by its name; the rule lets it be until the mode is given back.
func TestAModeThatIsSetByHandStandsOverThatOfTheRule(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	w.create(greedy("web", 2), greedy("api", 2))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 4))
	w.withRecommender([]string{"web", "api"})
	everything := rule(v1alpha1.UpdateModePreview)
	w.create(everything)
	w.eventually("web is recommended", w.recommended("web-deployment"))
	w.cli(0, "apply", "web", "-n", "default", "--mode", "InPlace", "--yes")
	w.eventually("web is resized in place", w.requests("web", 2, "150m"))
	mode := func(name string, want v1alpha1.UpdateMode) func(context.Context) string {
		return func(ctx context.Context) string {
			s := w.scaler(ctx, name)
			if is := s.Spec.Resources.UpdatePolicy.UpdateMode; is != want || s.Status.Policy == nil || s.Status.Policy.Mode != want {
				return fmt.Sprintf("mode %s, policy %+v", is, s.Status.Policy)
			}
			return ""
		}
	}
	update(w, everything, func(r *v1alpha1.WorkloadScalerRule) { r.Spec.Interval = "1h" })
	w.eventually("the rule changes its scalers", func(ctx context.Context) string {
		if is := w.scaler(ctx, "web-deployment").Spec.Interval; is != "1h" {
			return "the interval is " + is
		}
		return ""
	})
	if why := mode("web-deployment", v1alpha1.UpdateModeInPlace)(t.Context()); why != "" {
		t.Errorf("the rule took the mode back: %s", why)
	}
	if text := w.cli(0, "explain", "workload", "web"); !strings.Contains(text, "mode InPlace, set by hand over WorkloadScalerRule everything") {
		t.Errorf("the explanation is\n%s", text)
	}
	if why := mode("api-deployment", v1alpha1.UpdateModePreview)(t.Context()); why != "" {
		t.Errorf("another workload changed, too: %s", why)
	}
	w.cli(0, "apply", "web", "-n", "default", "--mode", "Rule", "--yes")
	w.eventually("the rule's mode holds again", mode("web-deployment", v1alpha1.UpdateModePreview))
	w.nothingWasForbidden()
}

// TestDoctorFindsTheRecommenderGone is B44: without a recommender neither the loop nor the webhook answers, and the exit code says so.
func TestDoctorFindsTheRecommenderGone(t *testing.T) {
	w := newWorld(t)
	findings := w.cli(1, "doctor", "--timeout", "2s")
	for _, check := range []string{"leader of recommender", "recommender's loop", "admission webhook"} {
		if !strings.Contains(findings, fmt.Sprintf("%-8s %s", "failed", check)) {
			t.Errorf("doctor does not miss the %s:\n%s", check, findings)
		}
	}
}
