package scenarios

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/cluster/kubelet"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/e2e/sandbox/evidence"
)

// withRecommender starts the recommender, tuned for tests, with the history of the named Deployments: two pods each that used
// 100m and 128Mi all the time.
func (w *world) withRecommender(deployments []string, args ...string) *sandbox.Process {
	w.t.Helper()
	all := []string{"--scrape-interval=2s", "--checkpoint-interval=3s"}
	if len(deployments) > 0 {
		all = append(all, "--history-file="+w.history(deployments))
	}
	return w.component(sandbox.Recommender, append(all, args...)...)
}

// history writes usage of the past and returns the path of the file.
func (w *world) history(deployments []string) (path string) {
	w.t.Helper()
	path = filepath.Join(w.t.TempDir(), "history.om")
	var of []evidence.Usage
	for _, d := range deployments {
		for _, pod := range evidence.PodsOf(d, 2) {
			of = append(of, evidence.Usage{Pod: pod, Container: "app", MilliCPU: 100, Mebibytes: 128})
		}
	}
	if err := evidence.WriteHistory(path, time.Now(), of); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// bareNodes boots machines that belong to nobody's NodePool: so many of a general type, and others.
func (w *world) bareNodes(n int, others ...sim.Alternative) {
	w.t.Helper()
	all := others
	for range n {
		all = append(all, sim.Alternative{InstanceType: "m6i.2xlarge", Zone: "us-east-1a", CapacityType: "on-demand"})
	}
	for i, machine := range all {
		_, err := w.cloud.Create(w.t.Context(), &sim.CreateRequest{ClientToken: fmt.Sprintf("scenario-%d", i), Alternatives: []sim.Alternative{machine}})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.eventually("nodes are ready", func(context.Context) string {
		ready := 0
		for _, node := range list(w, &corev1.NodeList{}).Items {
			for _, c := range node.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		if ready != len(all) {
			return fmt.Sprintf("%d of %d", ready, len(all))
		}
		return ""
	})
}

// greedy makes a Deployment that asks for 1 CPU and 1Gi and uses a tenth of it.
func greedy(name string, replicas int32, change ...func(*corev1.PodTemplateSpec)) *appsv1.Deployment {
	usage := func(p *corev1.PodTemplateSpec) {
		p.Annotations = map[string]string{kubelet.AnnotationUsage: `{"app": {"cpu": "100m", "memory": "128Mi"}}`}
	}
	return deployment(name, replicas, "1", "1Gi", append([]func(*corev1.PodTemplateSpec){usage}, change...)...)
}

// scaler makes a WorkloadScaler of a Deployment, by hand.
func scaler(deployment string, mode v1alpha1.UpdateMode) *v1alpha1.WorkloadScaler {
	return &v1alpha1.WorkloadScaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: deployment},
		Spec: v1alpha1.WorkloadScalerSpec{
			TargetRef: v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: deployment},
			Resources: v1alpha1.WorkloadResources{UpdatePolicy: v1alpha1.UpdatePolicy{UpdateMode: mode}},
		},
	}
}

// rule makes a WorkloadScalerRule for the Deployments of the default namespace.
func rule(mode v1alpha1.UpdateMode) *v1alpha1.WorkloadScalerRule {
	r := &v1alpha1.WorkloadScalerRule{ObjectMeta: metav1.ObjectMeta{Name: "everything"}}
	r.Spec.ResourceSelectors = []v1alpha1.ResourceSelector{{Kind: "Deployment", Namespace: "default"}}
	r.Spec.Resources.UpdatePolicy.UpdateMode = mode
	return r
}

// recommended is a condition: the scaler's recommendation for container app is near what the history says, 100m and 128Mi with
// 10% on top, at full confidence.
func (w *world) recommended(name string) func(context.Context) string {
	return func(ctx context.Context) string {
		s := w.scaler(ctx, name)
		rec := s.Status.Recommendation
		if rec == nil || len(rec.Containers) != 1 {
			return fmt.Sprintf("recommendation %v, conditions %s", rec, conditions(s.Status.Conditions))
		}
		cpu, memory := rec.Containers[0].Requests.Cpu().MilliValue(), rec.Containers[0].Requests.Memory().Value()>>20
		if cpu < 105 || cpu > 120 || memory < 138 || memory > 150 || rec.Confidence.Level != v1alpha1.ConfidenceFull {
			return fmt.Sprintf("cpu %dm, memory %dMi, confidence %+v", cpu, memory, rec.Confidence)
		}
		return ""
	}
}

func (w *world) scaler(ctx context.Context, name string) *v1alpha1.WorkloadScaler {
	s := &v1alpha1.WorkloadScaler{}
	if err := w.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, s); client.IgnoreNotFound(err) != nil {
		w.t.Fatalf("reading workloadscaler %s: %v", name, err)
	}
	return s
}

func conditions(list []metav1.Condition) string {
	if len(list) == 0 {
		return "no conditions"
	}
	parts := make([]string, 0, len(list))
	for _, c := range list {
		parts = append(parts, fmt.Sprintf("%s=%s (%s: %s)", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(parts, "; ")
}

// pods are those of a Deployment of the default namespace.
func (w *world) pods(deployment string) []corev1.Pod {
	return list(w, &corev1.PodList{}, client.InNamespace(metav1.NamespaceDefault), client.MatchingLabels{"app": deployment}).Items
}

// requests is a condition: the pods of a Deployment ask for at most this much and none was restarted.
func (w *world) requests(deployment string, pods int, cpu string) func(context.Context) string {
	return func(context.Context) string {
		limit, found := resource.MustParse(cpu), 0
		for _, p := range w.pods(deployment) {
			if p.DeletionTimestamp != nil {
				continue
			}
			found++
			if is := p.Spec.Containers[0].Resources.Requests.Cpu(); is.Cmp(limit) > 0 {
				return fmt.Sprintf("pod %s asks for %s CPU", p.Name, is)
			}
			for _, s := range p.Status.ContainerStatuses {
				if s.RestartCount > 0 {
					return fmt.Sprintf("pod %s was restarted", p.Name)
				}
			}
		}
		if found != pods {
			return fmt.Sprintf("%d pods", found)
		}
		return ""
	}
}

// checkpointed is a condition: a checkpoint of the history was written since.
func (w *world) checkpointed(since time.Time) func(context.Context) string {
	return func(ctx context.Context) string {
		if err := evidence.Checkpointed(ctx, w, since); err != nil {
			return err.Error()
		}
		return ""
	}
}

// asked lists the requests of the recommender.
func (w *world) asked() []evidence.Request {
	w.t.Helper()
	all, err := evidence.Requests(w.AuditLog)
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(r evidence.Request) bool { return r.Component != sandbox.Recommender })
}

// requested counts the recommender's requests of a verb whose URI contains a text.
func (w *world) requested(verb, uri string) (n int) {
	w.t.Helper()
	for _, r := range w.asked() {
		if r.Verb == verb && strings.Contains(r.URI, uri) {
			n++
		}
	}
	return n
}

// nothingWasForbidden fails the test for every request of the recommender's ServiceAccount that its role did not allow.
func (w *world) nothingWasForbidden() {
	w.t.Helper()
	requests := w.asked()
	for _, r := range requests {
		if r.Unauthorized {
			w.t.Errorf("the recommender may not %s %s", r.Verb, r.URI)
		}
	}
	if len(requests) == 0 {
		w.t.Error("the audit log has no request of the recommender")
	}
}

func (w *world) scaleTo(name string, replicas int32) {
	w.t.Helper()
	d := &appsv1.Deployment{}
	if err := w.Get(w.t.Context(), client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, d); err != nil {
		w.t.Fatal(err)
	}
	base := d.DeepCopy()
	d.Spec.Replicas = ptr.To(replicas)
	if err := w.Patch(w.t.Context(), d, client.MergeFrom(base)); err != nil {
		w.t.Fatal(err)
	}
}
