package plan

import (
	"maps"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/catalog"
	"supercargo.dev/recommender/demand"
)

// sizes tells what pods ask for, now and in the plan.
type sizes struct {
	index   *demand.Index // nil where pods are planned as they are
	regions map[string]*catalog.Region
	// rightsized counts the pods that the plan packs at another size.
	rightsized int
	// low counts recommendations that rest on too little data, and without those of workloads that have none.
	low, without int
}

// newSizes takes the recommendations as if their policies applied them, whatever the mode: in Preview, where everything
// starts, the plan is what shows their worth.
func newSizes(scalers []*v1alpha1.WorkloadScaler, rightsized bool) (*sizes, error) {
	s := &sizes{regions: map[string]*catalog.Region{}}
	if !rightsized {
		return s, nil
	}
	s.index = demand.NewIndex(demand.Options{})
	for _, scaler := range scalers {
		switch r := scaler.Status.Recommendation; {
		case r == nil:
			s.without++
			continue
		case r.Confidence.Level != v1alpha1.ConfidenceFull:
			s.low++
			continue
		}
		if err := s.index.SetScaler(demand.AsIfApplied(scaler)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// of returns what is enforced for a pod, and what the plan packs.
func (s *sizes) of(p *corev1.Pod) (enforced, wanted corev1.ResourceList) {
	enforced = demand.Enforced(p)
	if s.index == nil {
		return enforced, enforced
	}
	if s.index.Change(p) == (demand.Resources{}) {
		return enforced, enforced
	}
	s.rightsized++
	return enforced, s.index.Wanted(p)
}

// template returns the pod of a daemonset at the size that the plan gives it.
func (s *sizes) template(p *corev1.Pod) *corev1.Pod {
	if s.index == nil {
		return p
	}
	targets, _, ok := s.index.Target(p)
	if !ok {
		return p
	}
	sized := p.DeepCopy()
	for _, list := range [][]corev1.Container{sized.Spec.Containers, sized.Spec.InitContainers} {
		for i := range list {
			target, ok := targets[list[i].Name]
			if !ok {
				continue
			}
			if list[i].Resources.Requests == nil {
				list[i].Resources.Requests = corev1.ResourceList{}
			}
			maps.Copy(list[i].Resources.Requests, target.Requests)
		}
	}
	return sized
}
