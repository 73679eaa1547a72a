package recommendation

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/usage"
)

// kill lets the pod's container be OOM killed now, with a recommendation applied; phase is the pod's afterwards.
func (b *bench) kill(hash string, phase corev1.PodPhase) {
	b.t.Helper()
	p := &corev1.Pod{}
	if err := b.Client.Get(b.t.Context(), types.NamespacedName{Namespace: "shop", Name: "web-1-a"}, p); err != nil {
		b.t.Fatal(err)
	}
	p.Annotations = map[string]string{v1alpha1.RecommendationAnnotation: hash}
	if err := b.Client.Update(b.t.Context(), p); err != nil {
		b.t.Fatal(err)
	}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "OOMKilled", ExitCode: 137, ContainerID: "containerd://1", FinishedAt: metav1.NewTime(b.clock.Now()),
	}}
	p.Status.Phase = phase
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: ended}}
	if err := b.Client.Status().Update(b.t.Context(), p); err != nil {
		b.t.Fatal(err)
	}
	b.clock.Step(time.Second)
}

func TestAKillOfAPodThatIsNotRestartedRaisesMemoryAtOnce(t *testing.T) {
	b := newBench(t, web(v1alpha1.UpdateModePreview)...)
	b.reconcile()
	b.use(4 * 24 * time.Hour)
	before := b.reconcile().Status.Recommendation
	b.kill(before.Hash, corev1.PodFailed) // a run with restartPolicy Never
	after := b.reconcile().Status.Recommendation
	if was, is := before.Containers[0].Requests.Memory().Value(), after.Containers[0].Requests.Memory().Value(); float64(is) < 1.15*float64(was) {
		t.Errorf("memory %d after a kill at %d", is, was)
	}
}

func TestAKillCountsWhileTheRecommendationPolicyCannotBeRead(t *testing.T) {
	p := nightShift()
	p.Spec.RecommendationPolicyName = "gone"
	b := newBench(t, web(v1alpha1.UpdateModePreview)...)
	b.reconcile()
	b.use(4 * 24 * time.Hour)
	before := b.reconcile().Status.Recommendation
	if err := b.Client.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	b.kill(before.Hash, corev1.PodRunning)
	b.expect(b.reconcile(), v1alpha1.ConditionRecommended, metav1.ConditionFalse, "RecommendationPolicyNotFound")
	if err := b.Client.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	after := b.reconcile().Status.Recommendation
	if was, is := before.Containers[0].Requests.Memory().Value(), after.Containers[0].Requests.Memory().Value(); float64(is) < 1.15*float64(was) {
		t.Errorf("memory %d, and %d before the kill: it was forgotten", is, was)
	}
}

func TestPodsOfADaemonSetAreRecommendedWhatTheLargestOfThemNeeds(t *testing.T) {
	objects := web(v1alpha1.UpdateModePreview)
	template := objects[0].(*appsv1.Deployment).Spec.Template
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "web"}}
	d.Spec.Template = template
	s := objects[3].(*v1alpha1.WorkloadScaler)
	s.Spec.TargetRef.Kind = "DaemonSet"
	b := newBench(t, d, s)
	for _, name := range []string{"small-1", "small-2", "small-3", "large"} {
		p := objects[2].(*corev1.Pod).DeepCopy()
		p.Name, p.UID, p.OwnerReferences = name, types.UID(name), owned("DaemonSet", "web")
		if err := b.Client.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	b.reconcile()
	sink := b.Registry.Sink(b.Store)
	for end := b.clock.Now().Add(4 * 24 * time.Hour); b.clock.Now().Before(end); b.clock.Step(5 * time.Minute) {
		for name, milli := range map[string]float64{"small-1": 50, "small-2": 50, "small-3": 50, "large": 800} {
			sink(usage.Usage{Namespace: "shop", Pod: name, Container: "app", At: b.clock.Now(), MilliCPU: milli, MemoryBytes: milli * (1 << 20)})
		}
	}
	r := b.reconcile().Status.Recommendation.Containers[0].Requests
	if cpu, memory := r.Cpu().MilliValue(), r.Memory().Value()>>20; cpu < 870 || cpu > 900 || memory < 870 || memory > 900 {
		t.Errorf("cpu %dm, memory %dMi; want what the largest uses, 800 and 10%%", cpu, memory)
	}
}
