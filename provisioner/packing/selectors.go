package packing

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// podMatcher selects pods by namespace and labels, as a pod affinity term or a
// spread constraint does.
type podMatcher struct {
	everywhere bool
	namespaces []string // sorted, when not everywhere
	selector   labels.Selector
	id         string
}

func (m *podMatcher) matches(p *corev1.Pod) bool {
	if !m.everywhere {
		if _, ok := slices.BinarySearch(m.namespaces, p.Namespace); !ok {
			return false
		}
	}
	return m.selector.Matches(labels.Set(p.Labels))
}

func newPodMatcher(everywhere bool, namespaces []string, s labels.Selector) podMatcher {
	slices.Sort(namespaces)
	namespaces = slices.Compact(namespaces)
	id := s.String()
	if s.Empty() {
		id = "*" // Nothing and Everything print alike
	}
	return podMatcher{
		everywhere: everywhere, namespaces: namespaces, selector: s,
		id: fmt.Sprintf("%t|%s|%s", everywhere, strings.Join(namespaces, ","), id),
	}
}

// selectorCache parses label selectors once per text.
type selectorCache struct {
	namespaces map[string]map[string]string
	parsed     map[string]labels.Selector
}

func (s *selectorCache) parse(in *metav1.LabelSelector) (labels.Selector, error) {
	if in == nil {
		return labels.Nothing(), nil
	}
	key, err := in.Marshal()
	if err != nil {
		return nil, fmt.Errorf("reading label selector, %w", err)
	}
	if sel, ok := s.parsed[string(key)]; ok {
		return sel, nil
	}
	sel, err := metav1.LabelSelectorAsSelector(in)
	if err != nil {
		return nil, fmt.Errorf("reading label selector, %w", err)
	}
	s.parsed[string(key)] = sel
	return sel, nil
}

// spread is the matcher of a topology spread constraint of a pod.
func (s *selectorCache) spread(p *corev1.Pod, c *corev1.TopologySpreadConstraint) (podMatcher, error) {
	sel, err := s.parse(c.LabelSelector)
	if err != nil {
		return podMatcher{}, err
	}
	if len(c.MatchLabelKeys) > 0 {
		set := labels.Set{}
		for _, k := range c.MatchLabelKeys {
			if v, ok := p.Labels[k]; ok {
				set[k] = v
			}
		}
		if rs, ok := sel.Requirements(); ok && len(set) > 0 {
			sel = labels.SelectorFromSet(set).Add(rs...)
		}
	}
	return newPodMatcher(false, []string{p.Namespace}, sel), nil
}

// term is the matcher of a pod affinity term of a pod.
func (s *selectorCache) term(p *corev1.Pod, t *corev1.PodAffinityTerm) (podMatcher, error) {
	sel, err := s.parse(t.LabelSelector)
	if err != nil {
		return podMatcher{}, err
	}
	if len(t.Namespaces) == 0 && t.NamespaceSelector == nil {
		return newPodMatcher(false, []string{p.Namespace}, sel), nil
	}
	names := slices.Clone(t.Namespaces)
	if t.NamespaceSelector != nil {
		ns, err := s.parse(t.NamespaceSelector)
		if err != nil {
			return podMatcher{}, err
		}
		if ns.Empty() {
			return newPodMatcher(true, nil, sel), nil
		}
		for name, set := range s.namespaces {
			if ns.Matches(labels.Set(set)) {
				names = append(names, name)
			}
		}
	}
	return newPodMatcher(false, names, sel), nil
}
