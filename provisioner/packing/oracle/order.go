package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	fwk "k8s.io/kube-scheduler/framework"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// verdict is the plugin that refuses a pod and why; empty when none does.
type verdict struct{ plugin, reason string }

// twin identifies pods that differ in their names only and share a node: whichever of them is taken off, what remains is the
// same, so that one verdict holds for all.
type twin struct{ node, pod string }

func twinOf(pod *corev1.Pod) (twin, error) {
	text, err := json.Marshal(struct {
		Namespace string
		Labels    map[string]string
		Spec      *corev1.PodSpec
	}{pod.Namespace, pod.Labels, &pod.Spec})
	if err != nil {
		return twin{}, fmt.Errorf("comparing pod %s, %w", pod.Name, err)
	}
	return twin{pod.Spec.NodeName, string(text)}, nil
}

// bare is a pod that is not on its node yet.
func bare(pod *corev1.Pod) *corev1.Pod {
	out := pod.DeepCopy()
	out.Spec.NodeName = ""
	return out
}

// maxTries bounds the search for an order, in looks at one pod on one node.
const maxTries = 2000

// reachable tells whether the pods can be placed one after another: in the order that the plan gives or, failing that, in one
// that a search finds. In the search, those that the final state would refuse take their turn as soon as it can be, before
// others add to what they are refused for; a search that takes too long has found none.
func (w *world) reachable(ctx context.Context, fragile map[*corev1.Pod]bool) (bool, error) {
	if len(w.plan.Order) == len(w.placed) {
		ok, err := w.replay(ctx)
		if ok || err != nil {
			return ok, err
		}
	}
	s, err := w.vacant(ctx)
	if err != nil {
		return false, err
	}
	var first, constrained, rest []*corev1.Pod
	for _, pod := range w.placed {
		switch {
		case fragile[pod]:
			first = append(first, pod)
		case len(pod.Spec.TopologySpreadConstraints) > 0:
			constrained = append(constrained, pod)
		default:
			rest = append(rest, pod)
		}
	}
	search := &search{s: s, refused: map[*corev1.Pod]bool{}}
	groups := [][]*corev1.Pod{first, constrained, rest}
	for {
		placed, left := false, 0
		for g, waiting := range groups {
			for i, pod := range waiting {
				ok, err := search.place(ctx, pod)
				if err != nil {
					return false, err
				}
				if ok {
					groups[g] = append(waiting[:i:i], waiting[i+1:]...)
					placed = true
					break
				}
			}
			if placed {
				break
			}
			left += len(waiting)
		}
		if !placed {
			return left == 0, nil
		}
		if search.tries > maxTries {
			return false, nil
		}
	}
}

// search places pods and remembers which were refused for a spread that nothing has changed since.
type search struct {
	s       *scheduler
	refused map[*corev1.Pod]bool
	tries   int
}

func (f *search) place(ctx context.Context, pod *corev1.Pod) (bool, error) {
	if f.refused[pod] {
		return false, nil
	}
	f.tries++
	plugin, _, err := f.s.refuses(ctx, bare(pod), pod.Spec.NodeName)
	if err != nil {
		return false, err
	}
	if plugin != "" {
		f.refused[pod] = plugin == names.PodTopologySpread
		return false, nil
	}
	if err := f.s.put(pod); err != nil {
		return false, err
	}
	for other := range f.refused {
		if counts(other, pod) {
			delete(f.refused, other)
		}
	}
	return true, nil
}

// counts tells whether a spread constraint of a pod may count another pod. Only such a pod can raise the least of its domains.
func counts(pod, other *corev1.Pod) bool {
	if pod.Namespace != other.Namespace {
		return false
	}
	for i := range pod.Spec.TopologySpreadConstraints {
		s, err := metav1.LabelSelectorAsSelector(pod.Spec.TopologySpreadConstraints[i].LabelSelector)
		if err != nil || s.Matches(labels.Set(other.Labels)) {
			return true
		}
	}
	return false
}

// replay places the pods in the plan's order and tells whether each was accepted.
func (w *world) replay(ctx context.Context) (bool, error) {
	s, err := w.vacant(ctx)
	if err != nil {
		return false, err
	}
	at := make(map[int]*corev1.Pod, len(w.placed))
	for i, pod := range w.placed {
		at[w.index[i]] = pod
	}
	for _, i := range w.plan.Order {
		pod := at[i]
		if pod == nil {
			return false, nil // listed twice, or not placed
		}
		delete(at, i)
		if w.looked(pod) {
			plugin, _, err := s.refuses(ctx, bare(pod), pod.Spec.NodeName)
			if err != nil || plugin != "" {
				return false, err
			}
		}
		if err := s.put(pod); err != nil {
			return false, err
		}
	}
	return true, nil
}

// vacant is a scheduler whose nodes hold what was there before the plan. The snapshot is made with all pods on it, because it
// lists the nodes that have pods with affinity only once. It lists the claims in use only once, too, so that every claim seems to be in
// use: VolumeRestrictions is left out. What it forbids does not depend on the order, and was looked at with all pods in place.
func (w *world) vacant(ctx context.Context) (*scheduler, error) {
	s, err := newScheduler(ctx, w, append(append([]*corev1.Pod(nil), w.residents...), w.placed...))
	if err != nil {
		return nil, err
	}
	s.plugins = slices.DeleteFunc(s.plugins, func(p fwk.Plugin) bool { return p.Name() == names.VolumeRestrictions })
	for _, pod := range w.placed {
		info, err := s.snapshot.NodeInfos().Get(pod.Spec.NodeName)
		if err != nil {
			return nil, fmt.Errorf("reading node, %w", err)
		}
		if err := info.RemovePod(s.logger, pod); err != nil {
			return nil, fmt.Errorf("taking pod off node, %w", err)
		}
	}
	return s, nil
}

// put adds a pod to its node.
func (s *scheduler) put(pod *corev1.Pod) error {
	info, err := s.snapshot.NodeInfos().Get(pod.Spec.NodeName)
	if err != nil {
		return fmt.Errorf("reading node, %w", err)
	}
	podInfo, err := framework.NewPodInfo(pod)
	if err != nil {
		return fmt.Errorf("reading pod, %w", err)
	}
	info.AddPodInfo(podInfo)
	return nil
}
