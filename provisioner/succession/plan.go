// Package succession says where the pods belong that controllers create in place of those that a consolidation evicts.
//
// A consolidation saves what it promises if pods end up where it planned them. Their successors have no names when it decides, so
// its plan is by owner: so many pods of this controller on that node. The provisioner writes the plan on the node, or on the
// NodeClaim that becomes it; provisioner and scheduler read it there, lead successors to their places, and keep the places free of
// others for as long as a successor may still come. Nothing here has a Kubernetes client.
package succession

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// MaxAge of a plan. Karpenter gives a disruption up after 10 min too (disruption.minRetryDuration).
	MaxAge = 10 * time.Minute
	// settle is how long after a plan was made its nodes may take to be closed. Those that are open after it stay: the
	// disruption was called off.
	settle = 30 * time.Second
	// linger is how long after the last of its nodes is gone a plan still holds. By then every successor exists, and wants but
	// to be scheduled.
	linger = 30 * time.Second
	// maxPlans and maxPlaces bound what is written on one node, maxFrom what one plan names. The newest plans are kept.
	maxPlans, maxPlaces, maxFrom = 8, 256, 64
)

// Plan is what one consolidation puts on one node.
type Plan struct {
	// Made is when it was decided, to the second.
	Made metav1.Time `json:"made"`
	// From names the nodes that are given up.
	From []string `json:"from"`
	// Places of successors, one entry for each owner.
	Places []Place `json:"places"`
}

// Place is room for pods of one owner.
type Place struct {
	// Owner is the UID of the controller that creates the pods.
	Owner types.UID `json:"owner"`
	// Pods is how many.
	Pods int `json:"pods"`
	// Requests of each.
	Requests corev1.ResourceList `json:"requests,omitempty"`
	// Priority of the pods. Others of higher priority need not keep away.
	Priority int32 `json:"priority,omitempty"`
}

// OwnerOf returns the UID of the controller that will create a pod's successor. There is none for a pod without controller, and
// one that belongs to its node has its successor there.
func OwnerOf(pod *corev1.Pod) (types.UID, bool) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil || owner.UID == "" || owner.Kind == "DaemonSet" || owner.Kind == "Node" {
		return "", false
	}
	return owner.UID, true
}

// Displaced is a pod that is given a place, with what its successor will ask for.
type Displaced struct {
	Pod      *corev1.Pod
	Requests corev1.ResourceList
}

// For makes the plan of a node for pods that are evicted from others. It reports false when none of them will have a successor.
func For(now time.Time, from []string, pods []Displaced) (Plan, bool) {
	plan := Plan{Made: metav1.NewTime(now.Truncate(time.Second)), From: slices.Sorted(slices.Values(from))}
	if len(plan.From) > maxFrom {
		plan.From = plan.From[:maxFrom]
	}
	for _, p := range pods {
		if owner, ok := OwnerOf(p.Pod); ok {
			plan.Places = add(plan.Places, Place{Owner: owner, Pods: 1, Requests: p.Requests, Priority: priority(p.Pod)})
		}
	}
	slices.SortFunc(plan.Places, func(a, b Place) int { return cmp.Compare(a.Owner, b.Owner) })
	return plan, len(plan.Places) > 0
}

// add counts a place among others. Where pods of one owner differ, each counts as the largest.
func add(places []Place, p Place) []Place {
	at := slices.IndexFunc(places, func(has Place) bool { return has.Owner == p.Owner })
	if at < 0 {
		p.Requests = p.Requests.DeepCopy()
		return append(places, p)
	}
	has := &places[at]
	has.Pods += p.Pods
	has.Priority = max(has.Priority, p.Priority)
	for name, q := range p.Requests {
		if known, ok := has.Requests[name]; !ok || known.Cmp(q) < 0 {
			if has.Requests == nil {
				has.Requests = corev1.ResourceList{}
			}
			has.Requests[name] = q.DeepCopy()
		}
	}
	return places
}

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

// Encode writes plans as the value of v1alpha1.PlannedSuccessorsAnnotation. Plans that are too old are left out, and the oldest
// of what is too much.
func Encode(plans []Plan, now time.Time) (string, error) {
	var kept []Plan
	places := 0
	for _, p := range slices.SortedStableFunc(slices.Values(plans), func(a, b Plan) int { return b.Made.Compare(a.Made.Time) }) {
		if places += len(p.Places); now.Sub(p.Made.Time) >= MaxAge || len(kept) == maxPlans || places > maxPlaces {
			break
		}
		kept = append(kept, p)
	}
	value, err := json.Marshal(kept)
	if err != nil {
		return "", fmt.Errorf("encoding planned successors, %w", err)
	}
	return string(value), nil
}

// Parse reads the value of v1alpha1.PlannedSuccessorsAnnotation. It returns an error for what Encode does not write: a plan that
// is misread keeps pods off a node.
func Parse(value string) ([]Plan, error) {
	if value == "" {
		return nil, nil
	}
	var plans []Plan
	if err := json.Unmarshal([]byte(value), &plans); err != nil {
		return nil, fmt.Errorf("parsing planned successors, %w", err)
	}
	if len(plans) > maxPlans {
		return nil, fmt.Errorf("parsing planned successors, %d plans are more than %d", len(plans), maxPlans)
	}
	places := 0
	for i := range plans {
		if plans[i].Made.IsZero() {
			return nil, fmt.Errorf("parsing planned successors, plan %d does not say when it was made", i)
		}
		if len(plans[i].From) > maxFrom {
			return nil, fmt.Errorf("parsing planned successors, plan %d gives up %d nodes, which are more than %d", i, len(plans[i].From), maxFrom)
		}
		if places += len(plans[i].Places); places > maxPlaces {
			return nil, fmt.Errorf("parsing planned successors, there are more than %d places", maxPlaces)
		}
		for _, p := range plans[i].Places {
			if err := p.validate(); err != nil {
				return nil, fmt.Errorf("parsing planned successors, plan %d, %w", i, err)
			}
		}
	}
	return plans, nil
}

// maxPods on one node is far above what any kubelet runs.
const maxPods = 10_000

func (p *Place) validate() error {
	if p.Owner == "" {
		return fmt.Errorf("a place has no owner")
	}
	if p.Pods < 1 || p.Pods > maxPods {
		return fmt.Errorf("%d pods of owner %s are not from 1 to %d", p.Pods, p.Owner, maxPods)
	}
	for name, q := range p.Requests {
		if q.Sign() < 0 {
			return fmt.Errorf("owner %s requests %s of %s, which is negative", p.Owner, q.String(), name)
		}
	}
	return nil
}

// Open are the places on a node that successors may still take: what the plans, all of which hold, foresee, less the pods of the
// same owners that came to the node since.
func Open(plans []Plan, onNode iter.Seq[*corev1.Pod]) []Place {
	var open []Place
	since := map[types.UID]time.Time{}
	for i := range plans {
		for _, p := range plans[i].Places {
			open = add(open, p)
			if t, ok := since[p.Owner]; !ok || plans[i].Made.Time.Before(t) {
				since[p.Owner] = plans[i].Made.Time
			}
		}
	}
	if len(open) == 0 {
		return nil
	}
	for pod := range onNode {
		owner, ok := OwnerOf(pod)
		if !ok {
			continue
		}
		if t, planned := since[owner]; planned && !pod.CreationTimestamp.Time.Before(t) {
			at := slices.IndexFunc(open, func(p Place) bool { return p.Owner == owner })
			open[at].Pods--
		}
	}
	return slices.DeleteFunc(open, func(p Place) bool { return p.Pods <= 0 })
}

// Held is what places need that a pod of the given priority has to leave free, the number of pods included.
func Held(places []Place, priority int32) corev1.ResourceList {
	held := corev1.ResourceList{}
	for _, p := range places {
		if p.Priority < priority {
			continue
		}
		for name, q := range p.Requests {
			if name == corev1.ResourcePods {
				continue
			}
			sum := held[name]
			one := q.DeepCopy()
			one.Mul(int64(p.Pods))
			sum.Add(one)
			held[name] = sum
		}
		sum := held[corev1.ResourcePods]
		sum.Add(*resource.NewQuantity(int64(p.Pods), resource.DecimalSI))
		held[corev1.ResourcePods] = sum
	}
	return held
}
