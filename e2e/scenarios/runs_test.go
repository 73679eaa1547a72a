package scenarios

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/cluster/kubelet"
)

// run starts a run of a CronJob by hand, as kubectl create job --from=cronjob does, and returns its Job.
func (w *world) run(c *batchv1.CronJob, name, usage string, change ...func(*corev1.PodSpec)) *batchv1.Job {
	w.t.Helper()
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Namespace: c.Namespace, Name: name, Annotations: map[string]string{"cronjob.kubernetes.io/instantiate": "manual"},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
	}}
	j.Spec = *c.Spec.JobTemplate.Spec.DeepCopy()
	j.Spec.Template.Annotations[kubelet.AnnotationUsage] = usage
	for _, f := range change {
		f(&j.Spec.Template.Spec)
	}
	w.create(j)
	return j
}

// podOf is the only pod of a Job once it has ended in the phase.
func (w *world) podOf(j *batchv1.Job, phase corev1.PodPhase) (pod corev1.Pod) {
	w.t.Helper()
	w.eventually("run "+j.Name+" ends", func(context.Context) string {
		for _, p := range w.pods("report") {
			if metav1.IsControlledBy(&p, j) && p.Status.Phase == phase {
				pod = p
				return ""
			}
		}
		return "no pod of it is " + string(phase)
	})
	return pod
}

// TestEachRunOfACronJobTeachesTheNext is B1 and B30: the pods of successive Jobs are one workload; a run starts with what the runs before
// it needed, though nothing of them is left running; and a run that is OOM killed and not restarted raises the memory of the next.
func TestEachRunOfACronJobTeachesTheNext(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	report := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "report"}}
	report.Spec.Schedule, report.Spec.Suspend = "0 0 1 1 *", ptr.To(true)
	report.Spec.JobTemplate.Spec.BackoffLimit = ptr.To[int32](0)
	report.Spec.JobTemplate.Spec.Template = greedy("report", 1, func(p *corev1.PodTemplateSpec) {
		p.Annotations[kubelet.AnnotationRunFor] = "10s"
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
	}).Spec.Template
	w.create(quick(), autoscaling("runs", v1alpha1.UpdateModeOnCreate, "report", func(s *v1alpha1.AutoscalingPolicySpec) {
		s.TargetRefs[0].Kind, s.RecommendationPolicyName = "CronJob", "quick"
	}), report)
	w.withRecommender(nil, "--scrape-interval=1s")
	s := scaler("report", v1alpha1.UpdateModePreview)
	s.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: "batch/v1", Kind: "CronJob", Name: "report"}
	s.Spec.Interval = "1s"
	w.create(s)
	recommends := func(what string, enough func(cpu, memory int64) bool) {
		t.Helper()
		w.eventually(what, func(ctx context.Context) string {
			s := w.scaler(ctx, "report")
			if s.Status.Recommendation == nil || s.Status.Applied.Pods != 0 {
				return fmt.Sprintf("%d pods; %s", s.Status.Applied.Pods, conditions(s.Status.Conditions))
			}
			r := s.Status.Recommendation.Containers[0].Requests
			if !enough(r.Cpu().MilliValue(), r.Memory().Value()>>20) {
				return fmt.Sprintf("it is recommended %v", r)
			}
			return ""
		})
	}
	asks := func(p corev1.Pod) (cpu, memory int64) {
		r := p.Spec.Containers[0].Resources.Requests
		return r.Cpu().MilliValue(), r.Memory().Value() >> 20
	}

	first := w.podOf(w.run(report, "report-1", `{"app": {"cpu": "100m", "memory": "128Mi"}}`), corev1.PodSucceeded)
	if cpu, _ := asks(first); cpu != 1000 {
		t.Errorf("the first run asked for %dm; nothing was known of it", cpu)
	}
	recommends("what the first run needed is known after its end", func(cpu, memory int64) bool { return cpu >= 105 && cpu <= 130 && memory >= 138 && memory < 300 })
	second := w.podOf(w.run(report, "report-2", `{"app": {"cpu": "300m", "memory": "200Mi"}}`), corev1.PodSucceeded)
	if cpu, memory := asks(second); cpu > 130 || memory >= 300 || second.Annotations[v1alpha1.RecommendationAnnotation] == "" {
		t.Errorf("the second run asked for %dm and %dMi", cpu, memory)
	}
	recommends("the second run counts beside the first", func(cpu, memory int64) bool { return cpu >= 310 && memory >= 220 })
	killed := w.podOf(w.run(report, "report-3", `{"app": {"cpu": "100m", "memory": "600Mi"}}`, func(p *corev1.PodSpec) {
		p.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("400Mi")}
		p.Containers[0].Resources.Requests[corev1.ResourceMemory] = resource.MustParse("400Mi")
	}), corev1.PodFailed)
	if ended := killed.Status.ContainerStatuses[0].State.Terminated; ended == nil || ended.Reason != "OOMKilled" {
		t.Fatalf("the third run ended with %+v", killed.Status.ContainerStatuses)
	}
	w.eventually("the kill is recorded", w.event("OOMKilled", "container app of pod "+killed.Name+" was OOM killed"))
	recommends("memory is above what the killed run had", func(_, memory int64) bool { return memory > 440 })
	fourth := w.podOf(w.run(report, "report-4", `{"app": {"cpu": "100m", "memory": "128Mi"}}`), corev1.PodSucceeded)
	if cpu, memory := asks(fourth); cpu > 400 || memory <= 440 {
		t.Errorf("the fourth run asked for %dm and %dMi", cpu, memory)
	}
	w.nothingWasForbidden()
}

// TestADaemonSetFitsItsLargestPods: where one node gives a DaemonSet's pod nine times as much to do as the other, both pods get what that
// one needs, in place, and at no time less.
func TestADaemonSetFitsItsLargestPods(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(2)
	template := greedy("agent", 1).Spec.Template
	template.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("2")
	agent := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "agent"}}
	agent.Spec.Selector, agent.Spec.Template = &metav1.LabelSelector{MatchLabels: template.Labels}, template
	w.create(agent)
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 2))
	w.uses(&w.pods("agent")[0], `{"app": {"cpu": "900m", "memory": "512Mi"}}`)
	w.create(quick(), autoscaling("agents", v1alpha1.UpdateModeInPlace, "agent", func(s *v1alpha1.AutoscalingPolicySpec) {
		s.TargetRefs[0].Kind, s.RecommendationPolicyName = "DaemonSet", "quick"
	}))
	w.withRecommender(nil, "--scrape-interval=1s")
	s := scaler("agent", v1alpha1.UpdateModePreview)
	s.Spec.TargetRef.Kind, s.Spec.Interval = "DaemonSet", "1s"
	w.create(s)
	fits := func(context.Context) string {
		for _, p := range w.pods("agent") {
			r := p.Spec.Containers[0].Resources.Requests
			if cpu, memory := r.Cpu().MilliValue(), r.Memory().Value()>>20; cpu < 900 || memory < 512 {
				t.Fatalf("pod %s has %dm and %dMi, and one of them needs 900m and 512Mi", p.Name, cpu, memory)
			}
			if p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue() > 1200 {
				return fmt.Sprintf("pod %s asks for %v; %s", p.Name, r, conditions(w.scaler(t.Context(), "agent").Status.Conditions))
			}
		}
		return ""
	}
	w.eventually("both pods get what the larger needs", fits)
	w.eventually("the scaler says so", func(ctx context.Context) string {
		s := w.scaler(ctx, "agent")
		if !meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionApplied) || s.Status.Applied.Recreated != 0 || s.Status.Applied.Pods != 2 {
			return fmt.Sprintf("%+v; %s", s.Status.Applied, conditions(s.Status.Conditions))
		}
		return ""
	})
	w.throughout(5*time.Second, "it stays so", fits)
	w.nothingWasForbidden()
}
