package recommendation

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/usage"
)

// evictedPod was evicted with this message.
func evictedPod(at time.Time, message string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1-gone", UID: "gone", OwnerReferences: owned("ReplicaSet", "web-1")}}
	p.Spec.Containers = []corev1.Container{{Name: "app", Resources: requests("1", "1Gi")}}
	p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", message
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "TerminationByKubelet", LastTransitionTime: metav1.NewTime(at)}}
	return p
}

func TestAnEvictionUnderMemoryPressureThatThePodCausedHoldsItsMemory(t *testing.T) {
	const low = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90112Ki. "
	for name, c := range map[string]struct {
		message string
		held    bool
	}{
		"the container used more than it asked for": {low + "Container app was using 600Mi, request is 128Mi, has larger consumption of memory. ", true},
		"another container did":                     {low + "Container injected was using 600Mi, request is 10Mi, has larger consumption of memory. ", false},
		"nobody in the pod did":                     {low, false},
		"the disk was full":                         {"The node was low on resource: ephemeral-storage. Container app was using 600Mi, request is 0, has larger consumption of ephemeral-storage. ", false},
		"usage is unknown":                          {low + "Container app was using , request is 128Mi, has larger consumption of memory. ", false},
		"the node was under pressure before":        {"The node had condition: [MemoryPressure]. ", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, web(v1alpha1.UpdateModePreview)...)
			recorder := events.NewFakeRecorder(100)
			b.Recorder = recorder
			b.reconcile()
			b.use(4 * 24 * time.Hour)
			before := b.reconcile().Status.Recommendation.Containers[0].Requests.Memory().Value()
			if err := b.Client.Create(t.Context(), evictedPod(b.clock.Now(), c.message)); err != nil {
				t.Fatal(err)
			}
			b.clock.Step(time.Second)
			after := b.reconcile().Status.Recommendation.Containers[0].Requests.Memory().Value()
			if held := after >= 660<<20; held != c.held || !c.held && after != before {
				t.Errorf("memory is %d, was %d", after, before)
			}
			b.reconcile()
			if got := len(recorder.Events); (got == 1) != c.held || got > 1 {
				t.Errorf("%d events", got)
			}
			b.use(9 * time.Hour)
			if later := b.reconcile().Status.Recommendation.Containers[0].Requests.Memory().Value(); later >= 660<<20 {
				t.Errorf("nine hours later memory is %d still", later)
			}
		})
	}
}

func TestASurgeIsAnsweredEveryQuarterOfAnHourAndRecorded(t *testing.T) {
	for name, enabled := range map[string]bool{"where the policy says so": true, "not else": false} {
		t.Run(name, func(t *testing.T) {
			ap := &v1alpha1.AutoscalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
			ap.Spec.Enable, ap.Spec.RecommendationPolicyName = ptr.To(true), "follow"
			ap.Spec.UpdateSchedule = []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeOnCreate}}
			rp := &v1alpha1.RecommendationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "follow"}}
			rp.Spec.CPU.Percentile = ptr.To(int32(50)) // usage above it for long
			rp.Spec.Surge = &v1alpha1.SurgePolicy{Enabled: enabled}
			b := newBench(t, append(web(v1alpha1.UpdateModePreview), ap, rp)...)
			recorder := events.NewFakeRecorder(100)
			b.Recorder = recorder
			b.reconcile()
			b.use(6 * 24 * time.Hour)
			b.reconcile()
			sink := b.Registry.Sink(b.Store)
			for range 90 { // minutes
				b.clock.Step(time.Minute)
				sink(usage.Usage{Namespace: "shop", Pod: "web-1-a", Container: "app", At: b.clock.Now(), MilliCPU: 1000, MemoryBytes: 128 << 20})
				b.reconcile()
			}
			cpu := b.reconcile().Status.Recommendation.Containers[0].Requests.Cpu().MilliValue()
			surged := len(recorder.Events) == 1 && strings.Contains(<-recorder.Events, "UsageSurged")
			if surged != enabled || (cpu > 1000) != enabled {
				t.Errorf("surge recorded: %v; after an hour and a half cpu is %dm, %+v", surged, cpu, b.reconcile().Status.Policy)
			}
		})
	}
}
