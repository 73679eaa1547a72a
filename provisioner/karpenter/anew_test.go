package karpenter

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"supercargo.dev/recommender/demand"
)

func cpuAndMemory(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// policy answers for every pod.
type policy struct {
	sets demand.Resources
	ok   bool
}

func (p policy) Expected(*corev1.Pod) demand.Resources          { return p.sets }
func (p policy) Successor(*corev1.Pod) (demand.Resources, bool) { return p.sets, p.ok }

func TestAPodsSuccessorAsksForWhatItsTemplateSaysUnlessAPolicySetsIt(t *testing.T) {
	container := func(list corev1.ResourceList) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{Requests: list}}}}
	}
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-1"},
		Spec:       appsv1.ReplicaSetSpec{Template: corev1.PodTemplateSpec{Spec: container(cpuAndMemory("1500m", "1Gi"))}},
	}
	owner := *metav1.NewControllerRef(rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	for name, tc := range map[string]struct {
		generation  int64
		owner       metav1.OwnerReference
		expectation Expectation
		holds, want corev1.ResourceList
	}{
		"a pod that was never changed starts as it did":      {1, owner, nil, cpuAndMemory("100m", "1Gi"), nil},
		"one that was resized starts with its template's":    {2, owner, nil, cpuAndMemory("100m", "1Gi"), cpuAndMemory("1500m", "1Gi")},
		"one that grew needs what it has grown to":           {2, owner, nil, cpuAndMemory("2", "2Gi"), nil},
		"one whose policy shrinks its successor stays so":    {2, owner, policy{demand.Resources{MilliCPU: 100, MemoryBytes: 1 << 30}, true}, cpuAndMemory("100m", "1Gi"), nil},
		"one whose policy enlarges its successor needs that": {1, owner, policy{demand.Resources{MilliCPU: 300, MemoryBytes: 1 << 30}, true}, cpuAndMemory("100m", "1Gi"), cpuAndMemory("300m", "1Gi")},
		"where no policy applies the template decides":       {2, owner, policy{}, cpuAndMemory("100m", "1Gi"), cpuAndMemory("1500m", "1Gi")},
		"a controller that is not known says nothing":        {2, metav1.OwnerReference{Kind: "Rollout", Name: "web", Controller: owner.Controller}, nil, cpuAndMemory("100m", "1Gi"), nil},
		"a controller that is gone says nothing":             {2, metav1.OwnerReference{Kind: "StatefulSet", Name: "gone", Controller: owner.Controller}, nil, cpuAndMemory("100m", "1Gi"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := &Machinery{cfg: Config{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(rs).Build(), Expectation: tc.expectation}}
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-1-x", Generation: tc.generation, OwnerReferences: []metav1.OwnerReference{tc.owner}}}
			got, err := m.anew(t.Context(), pod, tc.holds)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheTightestBudgetThatAllowsEvictionsIsAPodsSlack(t *testing.T) {
	pdb := func(namespace, name string, allowed int32, selector *metav1.LabelSelector) *policyv1.PodDisruptionBudget {
		return &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       policyv1.PodDisruptionBudgetSpec{Selector: selector},
			Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed},
		}
	}
	web := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	m := &Machinery{cfg: Config{Clock: clocktesting.NewFakeClock(metav1.Now().Time), Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(
		pdb("default", "wide", 5, &metav1.LabelSelector{}), pdb("default", "tight", 2, web), pdb("default", "spent", 0, web),
		pdb("default", "nobody", 1, nil), pdb("elsewhere", "tighter", 1, web),
	).Build()}}
	moves, err := m.podMoves(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		namespace, app string
		want           int32
	}{
		"the tighter of two":                   {"default", "web", 2},
		"the one that selects all":             {"default", "db", 5},
		"that of its own namespace":            {"elsewhere", "web", 1},
		"none where no budget selects the pod": {"elsewhere", "db", 0},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: tc.namespace, Labels: map[string]string{"app": tc.app}}}
			if got := moves.slack(pod); got != tc.want {
				t.Errorf("slack is %d, want %d", got, tc.want)
			}
		})
	}
}
