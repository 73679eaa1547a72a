package scenarios

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
)

// autoscaling makes a policy for the named Deployments of the default namespace that always has one mode.
func autoscaling(name string, mode v1alpha1.UpdateMode, deployment string, change ...func(*v1alpha1.AutoscalingPolicySpec)) *v1alpha1.AutoscalingPolicy {
	p := &v1alpha1.AutoscalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.UpdateSchedule = []v1alpha1.ScheduleItem{{Name: "always", Mode: mode}}
	p.Spec.TargetRefs = []v1alpha1.WorkloadSelector{{Kind: "Deployment", Namespace: metav1.NamespaceDefault, Name: deployment}}
	for _, c := range change {
		c(&p.Spec)
	}
	return p
}

// update changes an object that others write too.
func update[T client.Object](w *world, o T, change func(T)) {
	w.t.Helper()
	w.eventually("updating "+o.GetName(), func(ctx context.Context) string {
		if err := w.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return err.Error()
		}
		change(o)
		if err := w.Update(ctx, o); err != nil {
			return err.Error()
		}
		return ""
	})
}

// boosts is a condition: so many pods of a Deployment carry a state of the startup boost, and their cpu requests are within bounds.
func (w *world) boosts(deployment, state string, pods int, lowest, highest int64) func(context.Context) string {
	return func(context.Context) string {
		found := 0
		for _, p := range w.pods(deployment) {
			if p.Annotations[v1alpha1.StartupBoostAnnotation] != state {
				continue
			}
			found++
			if cpu := p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue(); cpu < lowest || cpu > highest {
				return fmt.Sprintf("pod %s, boost %s, asks for %dm", p.Name, state, cpu)
			}
			for _, s := range p.Status.ContainerStatuses {
				if s.RestartCount > 0 {
					return fmt.Sprintf("pod %s was restarted", p.Name)
				}
			}
		}
		if found != pods {
			return fmt.Sprintf("%d pods with boost %s, want %d", found, state, pods)
		}
		return ""
	}
}

// TestNewPodsStartWithABoostThatEndsInPlace is C20 and C35 to C39: new pods start with three times the recommended CPU, and give it back
// without a restart when minBoost and minReady are over, also where the mode is Off by then.
func TestNewPodsStartWithABoostThatEndsInPlace(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	w.create(greedy("web", 1))
	policy := autoscaling("boost", v1alpha1.UpdateModeInPlace, "web", func(s *v1alpha1.AutoscalingPolicySpec) {
		s.StartupBoost = &v1alpha1.StartupBoost{
			Enabled: true, CPUMultiplier: "3", MinBoost: &metav1.Duration{Duration: 4 * time.Second}, MinReady: &metav1.Duration{Duration: 2 * time.Second},
		}
	})
	w.create(policy)
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 1))
	w.withRecommender([]string{"web"})
	w.create(scaler("web", v1alpha1.UpdateModePreview))
	w.eventually("web is recommended", w.recommended("web"))
	w.scaleTo("web", 3)
	w.eventually("new pods start with three times as much", w.boosts("web", v1alpha1.BoostActive, 2, 315, 360))
	w.eventually("the boost ends in place", w.boosts("web", v1alpha1.BoostReverted, 2, 105, 120))
	w.scaleTo("web", 4)
	w.eventually("another pod starts", w.boosts("web", v1alpha1.BoostActive, 1, 315, 360))
	update(w, policy, func(p *v1alpha1.AutoscalingPolicy) { p.Spec.UpdateSchedule[0].Mode = v1alpha1.UpdateModeOff })
	w.eventually("its boost ends in mode Off", w.boosts("web", v1alpha1.BoostReverted, 3, 105, 120))
	w.eventually("the scaler says so", func(ctx context.Context) string {
		s := w.scaler(ctx, "web")
		for _, c := range s.Status.Conditions {
			if c.Type == v1alpha1.ConditionStartupBoost && c.Reason == "Ended" && s.Status.Applied.Boosted == 0 {
				return ""
			}
		}
		return fmt.Sprintf("%d boosted, %s", s.Status.Applied.Boosted, conditions(s.Status.Conditions))
	})
	for _, p := range w.pods("web") {
		if p.Status.Phase != corev1.PodRunning {
			t.Errorf("pod %s is %s", p.Name, p.Status.Phase)
		}
	}
	w.nothingWasForbidden()
}

// TestPodsGetBackWhatTheyAskedForWhenTheirPolicyGoes is C3, C26 and C27: in place where the policy says so, by new pods where it says
// that; whether it is deleted or turned off.
func TestPodsGetBackWhatTheyAskedForWhenTheirPolicyGoes(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	w.create(greedy("web", 2), greedy("api", 2))
	removal := func(how v1alpha1.RemovalPolicy) func(*v1alpha1.AutoscalingPolicySpec) {
		return func(s *v1alpha1.AutoscalingPolicySpec) { s.OnPolicyRemoval = how }
	}
	deleted := autoscaling("in-place", v1alpha1.UpdateModeInPlace, "web", removal(v1alpha1.RemovalInPlace))
	turnedOff := autoscaling("by-new-pods", v1alpha1.UpdateModeInPlace, "api", removal(v1alpha1.RemovalReCreate))
	w.create(deleted, turnedOff)
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 4))
	w.withRecommender([]string{"web", "api"}, "--workload-recreate-every=500ms")
	w.create(scaler("web", v1alpha1.UpdateModePreview), scaler("api", v1alpha1.UpdateModePreview))
	w.eventually("web's pods are resized", w.requests("web", 2, "120m"))
	w.eventually("api's pods are resized", w.requests("api", 2, "120m"))
	before := map[string][]corev1.Pod{"web": w.pods("web"), "api": w.pods("api")}
	if err := w.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	update(w, turnedOff, func(p *v1alpha1.AutoscalingPolicy) { p.Spec.Enable = new(bool) })
	for name, same := range map[string]int{"web": 2, "api": 0} {
		w.eventually(name+"'s pods ask for what their template says", func(ctx context.Context) string {
			kept := 0
			pods := w.pods(name)
			for _, p := range pods {
				if cpu := p.Spec.Containers[0].Resources.Requests.Cpu().String(); cpu != "1" || p.Annotations[v1alpha1.OriginalResourcesAnnotation] != "" {
					return fmt.Sprintf("pod %s asks for %s; %s", p.Name, cpu, conditions(w.scaler(ctx, name).Status.Conditions))
				}
				for _, old := range before[name] {
					if old.UID == p.UID {
						kept++
					}
				}
			}
			if len(pods) != 2 || kept != same {
				return fmt.Sprintf("%d pods, %d of them as before, want %d", len(pods), kept, same)
			}
			return ""
		})
		w.eventually("the policy of "+name+" is forgotten", func(ctx context.Context) string {
			s := w.scaler(ctx, name)
			if s.Status.Policy == nil || s.Status.Policy.AutoscalingPolicy != "" || s.Status.Policy.Mode != v1alpha1.UpdateModePreview {
				return fmt.Sprintf("%+v", s.Status.Policy)
			}
			return ""
		})
	}
	w.nothingWasForbidden()
}
