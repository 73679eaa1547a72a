package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
)

// open is a situation that every gate lets pass.
func open() Situation {
	return Situation{
		Now: t0, WorkloadReady: true, Active: Active{Item: "always", Mode: v1alpha1.UpdateModeInPlace},
		Recommendation: &v1alpha1.Recommendation{PolicyHash: "p", Containers: []v1alpha1.ContainerRecommendation{{Name: "app"}}},
		PolicyHash:     "p", AdmissionProven: true,
		Pod:        &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod"}, Spec: corev1.PodSpec{NodeName: "n"}},
		Deviations: []Deviation{{Container: "app"}},
	}
}

func TestGatesStopWithTheirReason(t *testing.T) {
	type edit func(*Situation)
	const passed = ReasonPassed
	for name, c := range map[string]struct {
		edit                                 edit
		workload, pod, recreate, atAdmission string
	}{
		"nothing in the way":          {func(*Situation) {}, passed, passed, passed, passed},
		"paused":                      {func(s *Situation) { s.Paused = true }, "Paused", passed, passed, "Paused"},
		"opted out by annotation":     {func(s *Situation) { s.Target.Annotations = map[string]string{v1alpha1.DisabledAnnotation: "true"} }, "Disabled", passed, passed, "Disabled"},
		"pod-level resources":         {func(s *Situation) { s.PodLevel = true }, "PodLevelResources", passed, passed, "PodLevelResources"},
		"a GPU workload":              {func(s *Situation) { s.ReviewOnly = "gpu" }, "ReviewOnly", passed, passed, "ReviewOnly"},
		"a GPU workload, by hand":     {func(s *Situation) { s.ReviewOnly, s.ByHand = "gpu", true }, passed, passed, passed, passed},
		"mode off":                    {func(s *Situation) { s.Active.Mode = v1alpha1.UpdateModeOff }, "ModeOff", passed, passed, "ModeOff"},
		"mode preview":                {func(s *Situation) { s.Active.Mode = v1alpha1.UpdateModePreview }, "ModeOff", passed, passed, "ModeOff"},
		"mode on create":              {func(s *Situation) { s.Active.Mode = v1alpha1.UpdateModeOnCreate }, "ModeOnCreate", passed, passed, passed},
		"no recommendation":           {func(s *Situation) { s.Recommendation = nil }, "NotRecommended", passed, passed, "NotRecommended"},
		"a policy that has changed":   {func(s *Situation) { s.PolicyHash = "q" }, "PolicyChanged", passed, passed, "PolicyChanged"},
		"usage of two hours ago":      {func(s *Situation) { s.UsageAge = 2 * time.Hour }, "UsageStale", passed, passed, passed},
		"a rollout under way":         {func(s *Situation) { s.WorkloadReady = false }, "NotReady", passed, passed, passed},
		"a pod that is going":         {func(s *Situation) { s.Pod.DeletionTimestamp = ptr.To(metav1.NewTime(t0)) }, passed, "PodGoing", passed, passed},
		"a pod that has finished":     {func(s *Situation) { s.Pod.Status.Phase = corev1.PodSucceeded }, passed, "PodGoing", passed, passed},
		"a pod that is not scheduled": {func(s *Situation) { s.Pod.Spec.NodeName = "" }, passed, "PodUnscheduled", passed, passed},
		"a pod that is preempted": {func(s *Situation) {
			s.Pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}
		}, passed, "PodPreempted", passed, passed},
		"a static pod":               {func(s *Situation) { s.Pod.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }, passed, "StaticPod", passed, passed},
		"a pod within thresholds":    {func(s *Situation) { s.Deviations = nil }, passed, "WithinThresholds", passed, passed},
		"a DaemonSet":                {func(s *Situation) { s.Deferred = "daemon" }, passed, passed, "Deferred", passed},
		"admission that is unproven": {func(s *Situation) { s.AdmissionProven = false }, passed, passed, "AdmissionNotProven", passed},
	} {
		t.Run(name, func(t *testing.T) {
			s := open()
			c.edit(&s)
			want := []string{c.workload, c.pod, c.recreate, c.atAdmission}
			var got []string
			for _, chain := range []Chain{WorkloadGates(), PodGates(), RecreateGates(), AdmissionGates()} {
				v := chain.Check(s)
				if v.Stop != (v.Reason != passed) || v.Stop == (v.Message == "") {
					t.Errorf("verdict %+v contradicts itself", v)
				}
				got = append(got, v.Reason)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTheNewestPodComesFirstAndPodsThatAreGoingDoNotCome(t *testing.T) {
	pod := func(name string, minute int, edit func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(t0.Add(time.Duration(minute) * time.Minute))}, Spec: corev1.PodSpec{NodeName: "n"}}
		if edit != nil {
			edit(p)
		}
		return p
	}
	got := ""
	for _, p := range Order([]*corev1.Pod{
		pod("old", 0, nil), pod("b", 5, nil), pod("a", 5, nil), pod("new", 9, nil),
		pod("going", 10, func(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(metav1.NewTime(t0)) }),
		pod("pending", 10, func(p *corev1.Pod) { p.Spec.NodeName = "" }),
		pod("done", 10, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
	}) {
		got += p.Name + " "
	}
	if got != "new a b old " {
		t.Errorf("got %s", got)
	}
}

func TestWorkloadsThatAreNotRestartedForARecommendation(t *testing.T) {
	byHost := corev1.PodSpec{Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname}},
	}}}
	byZone := corev1.PodSpec{Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelTopologyZone}},
	}}}
	for name, c := range map[string]struct {
		kind     string
		spec     corev1.PodSpec
		rollouts bool
		want     bool
	}{
		"a Deployment":                        {kind: "Deployment"},
		"a StatefulSet":                       {kind: "StatefulSet"},
		"a ReplicaSet":                        {kind: "ReplicaSet"},
		"a custom kind":                       {kind: "Widget"},
		"a DaemonSet":                         {kind: "DaemonSet", want: true},
		"a Rollout":                           {kind: "Rollout", want: true},
		"a Rollout that may be restarted":     {kind: "Rollout", rollouts: true},
		"such a Rollout, on the host network": {kind: "Rollout", rollouts: true, spec: corev1.PodSpec{HostNetwork: true}, want: true},
		"a Job":                               {kind: "Job", want: true},
		"a CronJob":                           {kind: "CronJob", want: true},
		"host network":                        {kind: "Deployment", spec: corev1.PodSpec{HostNetwork: true}, want: true},
		"anti-affinity by host":               {kind: "StatefulSet", spec: byHost, want: true},
		"anti-affinity by zone":               {kind: "StatefulSet", spec: byZone},
	} {
		if got := Deferred(c.kind, c.spec, c.rollouts) != ""; got != c.want {
			t.Errorf("%s: deferred %v, want %v", name, got, c.want)
		}
	}
}

func TestCriticalWorkloadsAreForReview(t *testing.T) {
	for name, want := range map[string]bool{"system-cluster-critical": true, "system-node-critical": true, "gold": false, "": false} {
		if got := ReviewOnly(corev1.PodSpec{PriorityClassName: name}) != ""; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestWorkloadsWithAcceleratorsAreForReview(t *testing.T) {
	for name, want := range map[string]bool{"nvidia.com/gpu": true, "amd.com/gpu": true, "google.com/tpu": true, "nvidia.com/mig-1g.5gb": true, "hugepages-2Mi": false, "example.com/dongle": false, "cpu": false} {
		spec := corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceName(name): resource.MustParse("1")}}}}}
		if got := ReviewOnly(spec) != ""; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
