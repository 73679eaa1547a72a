package scenarios

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
)

// TestAPendingPodIsRightsizedBeforeANodeIsBoughtForIt: a pod that asks for 6 CPUs and needs a tenth of one gets a small node.
func TestAPendingPodIsRightsizedBeforeANodeIsBoughtForIt(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.create(nodePool("default", noConsolidation)...)
	w.recommend("web", v1alpha1.UpdateModeInPlace, "100m", "128Mi")
	w.recommend("shown", v1alpha1.UpdateModePreview, "100m", "128Mi")
	w.create(deployment("web", 2, "6", "8Gi"), deployment("shown", 1, "500m", "512Mi"))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
	for _, p := range list(w, &corev1.PodList{}, client.InNamespace(metav1.NamespaceDefault)).Items {
		want := "100m"
		if p.Labels["app"] == "shown" {
			want = "500m"
		}
		if got := p.Spec.Containers[0].Resources.Requests.Cpu().String(); got != want {
			t.Errorf("pod %s runs with a request of %s, want %s", p.Name, got, want)
		}
		if n := p.Status.ContainerStatuses[0].RestartCount; n != 0 {
			t.Errorf("pod %s restarted %d times", p.Name, n)
		}
	}
	var cpu int64
	for _, i := range w.instances() {
		cpu += i.Capacity.Cpu().Value()
	}
	if cpu > 4 {
		t.Errorf("%d CPUs were bought for pods that need less than one", cpu)
	}
}

// TestConsolidationCutsTheBillWithinDisruptionBudgets: pods go, nodes are left half empty, and the rest moves together
// without any workload falling below what its budget promises.
func TestConsolidationCutsTheBillWithinDisruptionBudgets(t *testing.T) {
	w := newWorld(t)
	// Pods that have just started, and those whose budget allows one eviction, cost twice as much to move.
	w.withProvisioner("--consolidation-pod-move-cost=0.0001")
	w.create(nodePool("default")...)
	spread := spreadOver(corev1.LabelHostname, corev1.ScheduleAnyway)
	w.create(deployment("big", 8, "1500m", "2Gi", spread), deployment("web", 6, "300m", "512Mi", spread))
	w.create(&policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: metav1.NamespaceDefault},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: &intstr.IntOrString{Type: intstr.Int, IntVal: 5},
			Selector:     &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		},
	})
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 14))
	before := w.costPerHour()
	w.scale("big", 1)
	w.eventually("the bill falls to less than half", func(ctx context.Context) string {
		pdb := &policyv1.PodDisruptionBudget{}
		if err := w.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "web"}, pdb); err != nil {
			return err.Error()
		}
		if pdb.Status.CurrentHealthy < pdb.Status.DesiredHealthy {
			t.Errorf("%d healthy pods, the budget promises %d", pdb.Status.CurrentHealthy, pdb.Status.DesiredHealthy)
		}
		if now := w.costPerHour(); now > before/2 {
			return fmt.Sprintf("$%.4f/h of $%.4f/h", now, before)
		}
		return ""
	})
	w.eventually("pods run again", w.allRun(metav1.NamespaceDefault, 7))
	w.eventually("instances match claims", w.instancesMatchClaims)
	settled := w.costPerHour()
	w.throughout(15*time.Second, "nothing moves back", func(context.Context) string {
		if now := w.costPerHour(); now > settled*1.25 {
			return fmt.Sprintf("$%.4f/h after $%.4f/h", now, settled)
		}
		return ""
	})
}

// recommend makes a WorkloadScaler with a status as the recommender writes it.
func (w *world) recommend(name string, mode v1alpha1.UpdateMode, cpu, memory string) {
	w.t.Helper()
	ws := &v1alpha1.WorkloadScaler{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault},
		Spec:       v1alpha1.WorkloadScalerSpec{TargetRef: v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: name}},
	}
	w.create(ws)
	ws.Status.Policy = &v1alpha1.MatchedPolicy{Mode: mode}
	ws.Status.Recommendation = &v1alpha1.Recommendation{
		ComputedAt: metav1.Now(), Hash: "test",
		Confidence: v1alpha1.Confidence{Level: v1alpha1.ConfidenceFull, Watched: metav1.Duration{Duration: 24 * time.Hour}, CoveragePercent: 100},
		Containers: []v1alpha1.ContainerRecommendation{{Name: "app", Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		}}},
	}
	if err := w.Status().Update(w.t.Context(), ws); err != nil {
		w.t.Fatalf("writing the status of WorkloadScaler %s: %v", name, err)
	}
}

// TestWhatNodesWouldRealiseIsReportedBesideWhatRequestsWouldSave is D9: in Preview nothing changes, yet the scaler says which part of its
// net savings a packing of the cluster turns into fewer or cheaper nodes.
func TestWhatNodesWouldRealiseIsReportedBesideWhatRequestsWouldSave(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner("--realisable-interval=500ms")
	w.create(nodePool("default", noConsolidation)...)
	w.create(greedy("web", 8))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 8))
	w.withRecommender([]string{"web"})
	w.create(scaler("web", v1alpha1.UpdateModePreview))
	w.eventually("the scaler says what is realisable", func(ctx context.Context) string {
		impact := w.scaler(ctx, "web").Status.CostImpact
		if impact == nil || impact.Realisable == "" {
			return fmt.Sprintf("impact %+v", impact)
		}
		net, err := strconv.ParseFloat(impact.Net, 64)
		if err != nil {
			return err.Error()
		}
		realisable, err := strconv.ParseFloat(impact.Realisable, 64)
		if err != nil {
			return err.Error()
		}
		if impact.OnNodePools != impact.Net { // all of it runs there
			return fmt.Sprintf("$%s on NodePools of $%s", impact.OnNodePools, impact.Net)
		}
		// Eight cores are asked for and one would do: most of it is nodes.
		if realisable < net/4 || realisable > net {
			return fmt.Sprintf("%v of %v", realisable, net)
		}
		return ""
	})
}
