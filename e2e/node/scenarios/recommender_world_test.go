//go:build linux

package scenarios

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/cluster/kubelet/resizecases"
	"supercargo.dev/e2e/node"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/e2e/sandbox/evidence"
	"supercargo.dev/recommender/admission"
)

// past usage of the pods of a Deployment: the same all the time.
type used struct {
	deployment          string
	milliCPU, mebibytes int64
}

// history writes usage of the past and returns the path of the file.
func (w *world) history(of ...used) string {
	w.t.Helper()
	var usage []evidence.Usage
	for _, u := range of {
		usage = append(usage, evidence.Usage{Pod: evidence.PodsOf(u.deployment, 1)[0], Container: "main", MilliCPU: u.milliCPU, Mebibytes: u.mebibytes})
	}
	path := filepath.Join(w.t.TempDir(), "history.om")
	if err := evidence.WriteHistory(path, time.Now(), usage); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// recommender starts the recommender, tuned for tests, until the end of the test.
func (w *world) recommender(history string, args ...string) *sandbox.Process {
	w.t.Helper()
	all := []string{"--scrape-interval=2s", "--checkpoint-interval=2s"}
	if history != "" {
		all = append(all, "--history-file="+history)
	}
	p, err := w.Component(w.t.Context(), sandbox.Recommender, append(all, args...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("%s ends:\n%s", p.Log(), sandbox.Tail(p.Log(), 30))
		}
		if err := p.Stop(); err != nil {
			w.t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := p.AwaitReady(ctx); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// admits is a condition: the API server asks the recommender's webhook. Where it does not yet, the recommender would look again only
// after a minute.
func (w *world) admits() func(context.Context) string {
	return func(ctx context.Context) string {
		// A prover remembers its answer for a while.
		prover := admission.NewProver(w.Client, sandbox.Namespace, sandbox.Recommender, clock.RealClock{}, uint64(time.Now().UnixNano())) //nolint:gosec // any bits do
		if works, err := prover.Proven(ctx); err != nil || !works {
			return fmt.Sprintf("not called, %v", err)
		}
		return ""
	}
}

// deployment makes a Deployment whose pods ask for requests and limits, "cpu memory" each, and use what args say. They are ready when
// they do.
func deployment(name string, replicas int32, requests, limits string, args ...string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: ptr.To(int64(1)),
					Containers: []corev1.Container{{
						Name: "main", Image: node.WorkloadImage, ImagePullPolicy: corev1.PullNever, Args: args,
						Resources: corev1.ResourceRequirements{Requests: resizecases.List(requests), Limits: resizecases.List(limits)},
						ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
							HTTPGet: &corev1.HTTPGetAction{Path: "/use", Port: intstr.FromInt32(8080)},
						}},
					}},
				},
			},
		},
	}
}

// inPlace makes what turns a Deployment on: its WorkloadScaler, and an AutoscalingPolicy by which limits are the recommended requests
// times the factor, and a refused resize has the given consequence.
func inPlace(deployment, limitFactor string, fallback v1alpha1.FallbackPolicy) []client.Object {
	scaler := &v1alpha1.WorkloadScaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: deployment},
		Spec:       v1alpha1.WorkloadScalerSpec{TargetRef: v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: deployment}},
	}
	p := &v1alpha1.AutoscalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: deployment}}
	p.Spec.TargetRefs = []v1alpha1.WorkloadSelector{{Name: deployment}}
	p.Spec.UpdateSchedule = []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeInPlace}}
	p.Spec.InPlaceFallback.DefaultPolicy = fallback
	if limitFactor != "" {
		limit := v1alpha1.LimitPolicy{Policy: v1alpha1.LimitMultiplier, Multiplier: limitFactor}
		p.Spec.LimitPolicies = map[corev1.ResourceName]v1alpha1.LimitPolicy{corev1.ResourceCPU: limit, corev1.ResourceMemory: limit}
	}
	return []client.Object{p, scaler}
}

// running waits until the pods of a Deployment are ready and measured, and returns them.
func (w *world) running(deployment string, replicas int) []corev1.Pod {
	w.t.Helper()
	var pods []corev1.Pod
	w.eventually("the pods of "+deployment+" run", func(ctx context.Context) string {
		pods = w.pods(deployment)
		if len(pods) != replicas {
			return strconv.Itoa(len(pods)) + " pods"
		}
		for i := range pods {
			name := pods[i].Name
			if waiting := w.ready(name)(ctx); waiting != "" {
				return waiting
			}
			if waiting := w.measured(name, 0)(ctx); waiting != "" {
				return waiting
			}
			pods[i] = *w.pod(name) // it may have become ready since it was listed
		}
		return ""
	})
	return pods
}

// pods of a Deployment that are neither over nor going.
func (w *world) pods(deployment string) []corev1.Pod {
	w.t.Helper()
	list := &corev1.PodList{}
	if err := w.List(w.t.Context(), list, client.InNamespace(metav1.NamespaceDefault), client.MatchingLabels{"app": deployment}); err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	})
}

func (w *world) scaler(name string) *v1alpha1.WorkloadScaler {
	w.t.Helper()
	s := &v1alpha1.WorkloadScaler{}
	if err := w.Get(w.t.Context(), client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, s); err != nil {
		w.t.Fatalf("reading workloadscaler %s: %v", name, err)
	}
	return s
}

// applied is a condition: the scaler says so much about its pods, in the reason of condition Applied.
func (w *world) applied(scaler, reason string) func(context.Context) string {
	return func(context.Context) string {
		var all []string
		for _, c := range w.scaler(scaler).Status.Conditions {
			if c.Type == v1alpha1.ConditionApplied && c.Reason == reason {
				return ""
			}
			all = append(all, fmt.Sprintf("%s=%s (%s: %s)", c.Type, c.Status, c.Reason, c.Message))
		}
		return strings.Join(all, "; ")
	}
}

// events of a reason about an object.
func (w *world) events(kind, name, reason string) []corev1.Event {
	w.t.Helper()
	list := &corev1.EventList{}
	if err := w.List(w.t.Context(), list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(e corev1.Event) bool {
		return e.InvolvedObject.Kind != kind || e.InvolvedObject.Name != name || e.Reason != reason
	})
}

// event is a condition: there is an event whose message has all the words.
func (w *world) event(kind, name, reason string, words ...string) func(context.Context) string {
	return func(context.Context) string {
		found := w.events(kind, name, reason)
		for _, e := range found {
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(e.Message, word) }) {
				return ""
			}
		}
		return fmt.Sprintf("no event %s with %q about %s %s: %v", reason, words, kind, name, found)
	}
}

// enforced is a condition: the kernel gives the pod, under the same container as before, these requests and limits within the
// tolerance of 3%, and the container was never restarted. 0 is no limit.
func (w *world) enforced(before *corev1.Pod, milliCPU, limitMilliCPU, limitMebibytes int64) func(context.Context) string {
	return func(context.Context) string {
		now := w.pod(before.Name)
		if s, was := now.Status.ContainerStatuses[0], before.Status.ContainerStatuses[0]; s.RestartCount != was.RestartCount || s.ContainerID != was.ContainerID {
			w.t.Fatalf("pod %s was restarted: %+v", now.Name, s)
		}
		c, err := w.node.Cgroup(now, "main")
		if err != nil {
			return err.Error()
		}
		if !near(c.MilliCPURequest, milliCPU) || !near(c.MilliCPULimit, limitMilliCPU) || !near(c.MemoryLimit>>20, limitMebibytes) {
			return fmt.Sprintf("%+v, spec %+v", c, now.Spec.Containers[0].Resources)
		}
		return ""
	}
}

// near allows for the relative error of the recommender's sketches, 2%, and for rounding.
func near(got, want int64) bool {
	tolerance := want*3/100 + 2
	return got >= want-tolerance && got <= want+tolerance
}

// asks is a condition: the pod's spec asks for just this, "cpu memory" each.
func (w *world) asks(pod, requests, limits string) func(context.Context) string {
	return func(context.Context) string {
		r := w.pod(pod).Spec.Containers[0].Resources
		if got := resizecases.Amounts(r.Requests) + " / " + resizecases.Amounts(r.Limits); got != requests+" / "+limits {
			return got
		}
		return ""
	}
}

// asksNear is a condition: the pod's spec asks for about so much.
func (w *world) asksNear(pod string, milliCPU, mebibytes int64) func(context.Context) string {
	return func(context.Context) string {
		r := w.pod(pod).Spec.Containers[0].Resources.Requests
		if !near(r.Cpu().MilliValue(), milliCPU) || !near(r.Memory().Value()>>20, mebibytes) {
			return resizecases.Amounts(r)
		}
		return ""
	}
}

// resizeCondition is a condition: the pod's status has a condition of the type and reason.
func (w *world) resizeCondition(pod string, kind corev1.PodConditionType, reason string) func(context.Context) string {
	return func(context.Context) string {
		p := w.pod(pod)
		for _, c := range p.Status.Conditions {
			if c.Type == kind && c.Status == corev1.ConditionTrue && c.Reason == reason {
				return ""
			}
		}
		return fmt.Sprintf("%+v", p.Status.Conditions)
	}
}

// bare makes a pod that asks for requests, "cpu memory", and does nothing.
func bare(name, requests string) *corev1.Pod {
	p := resizecases.Pod{Name: name, Requests: requests}.Object()
	p.Spec.Containers[0].Image, p.Spec.Containers[0].ImagePullPolicy = node.WorkloadImage, corev1.PullNever
	return p
}
