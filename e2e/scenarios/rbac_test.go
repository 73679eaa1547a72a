package scenarios

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/e2e/sandbox/evidence"
)

// permission is what RBAC decides on: a verb on a kind of object, asked by a component.
type permission struct {
	component, verb, group, resource string // the resource with its subresource, as roles write it
}

// String writes a permission as it reads in a message.
func (p permission) String() string {
	return fmt.Sprintf("%s: %s %s", p.component, p.verb, strings.TrimSuffix(p.resource+"."+p.group, "."))
}

// mayBeRefused are requests that RBAC may refuse, with the reason why that is no defect. A 403 that the API gives for another
// reason, such as a resize above what the node has, is no decision of RBAC and is not looked at. Nor is the time after a restart of
// the API server, in which it has not read the roles yet: no API server restarts here.
func mayBeRefused() map[permission]string { return map[permission]string{} }

// TestNoComponentIsRefusedAnythingItAsksFor lets all components run as their ServiceAccounts through the life of two workloads:
// nodes are bought, both schedulers place pods, pods are resized, moved and removed, nodes are given back.
func TestNoComponentIsRefusedAnythingItAsksFor(t *testing.T) {
	w := newWorld(t)
	workloads := []string{"web", "api"}
	components := []*sandbox.Process{w.component(sandbox.Scheduler), w.withRecommender(workloads), w.withProvisioner(movesCostNothing)}
	policy := &v1alpha1.AutoscalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "in-place"}}
	policy.Spec.UpdateSchedule = []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeInPlace}}
	w.create(policy, rule(v1alpha1.UpdateModeInPlace))
	w.create(nodePool("default")...)
	w.create(greedy("web", 2), greedy("api", 2, func(p *corev1.PodTemplateSpec) { p.Spec.SchedulerName = sandbox.Scheduler }))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 4))
	for _, name := range workloads {
		w.eventually(name+" is recommended", w.recommended(name+"-deployment"))
		w.eventually(name+" is resized", func(context.Context) string {
			// Two schedulers that fill one node may bind one pod too many; kubelet refuses it, and it is replaced.
			for _, p := range w.livePods(name) {
				if cpu := p.Spec.Containers[0].Resources.Requests.Cpu(); cpu.MilliValue() > 120 {
					return fmt.Sprintf("pod %s asks for %s CPU", p.Name, cpu)
				}
			}
			return ""
		})
	}
	w.scale("web", 1)
	w.scale("api", 1)
	w.eventually("one pod of each is left", w.allRun(metav1.NamespaceDefault, 2))
	w.scale("web", 0)
	w.scale("api", 0)
	w.eventually("the nodes are given back", func(context.Context) string {
		if n := len(list(w, &karpv1.NodeClaimList{}).Items); n > 0 {
			return fmt.Sprintf("%d nodeclaims are left", n)
		}
		return ""
	})
	if err := sandbox.StopAll(components); err != nil {
		t.Fatal(err)
	}
	allowed, refused := w.permissions()
	for _, name := range sandbox.Components() {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(allowed)), func(p permission) bool { return p.component == name }) {
			t.Errorf("the audit log has no request of %s: nothing is shown", name)
		}
	}
	for p, example := range refused {
		if mayBeRefused()[p] == "" {
			t.Errorf("%s is refused, for example %s", p, example)
		}
	}
}

// permissions are what the components asked for, and what of it RBAC refused, each with the URI of one request.
func (w *world) permissions() (allowed, refused map[permission]string) {
	w.t.Helper()
	requests, err := evidence.Requests(w.AuditLog)
	if err != nil {
		w.t.Fatal(err)
	}
	allowed, refused = map[permission]string{}, map[permission]string{}
	for _, r := range requests {
		if r.Resource == "" {
			continue // discovery and the like
		}
		p := permission{component: r.Component, verb: r.Verb, group: r.Group, resource: r.Resource}
		if r.Subresource != "" {
			p.resource += "/" + r.Subresource
		}
		if r.Unauthorized {
			refused[p] = r.URI
		} else {
			allowed[p] = r.URI
		}
	}
	return allowed, refused
}
