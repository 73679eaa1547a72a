package karpenter

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	karpsched "sigs.k8s.io/karpenter/pkg/scheduling"
	"sigs.k8s.io/karpenter/pkg/utils/daemonset"
	"sigs.k8s.io/karpenter/pkg/utils/resources"
)

// daemonPods returns one pod for each DaemonSet: a running one where there is one, because admission may have changed it.
func (m *Machinery) daemonPods(ctx context.Context) ([]*corev1.Pod, error) {
	list := &appsv1.DaemonSetList{}
	if err := m.cfg.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing daemonsets, %w", err)
	}
	pods := make([]*corev1.Pod, 0, len(list.Items))
	for i := range list.Items {
		d := &list.Items[i]
		pod := m.cluster.GetDaemonSetPod(d)
		if pod == nil {
			pod = daemonset.PodForDaemonSet(d.DeepCopy())
		} else {
			// The DaemonSet controller replaces the node affinity of each pod by one for its node; the template's is the one
			// that decides where further pods go.
			pod = pod.DeepCopy()
			pod.Spec.NodeName = ""
			if pod.Spec.Affinity != nil {
				pod.Spec.Affinity.NodeAffinity = nil
			}
			if a := d.Spec.Template.Spec.Affinity; a != nil && a.NodeAffinity != nil {
				if pod.Spec.Affinity == nil {
					pod.Spec.Affinity = &corev1.Affinity{}
				}
				pod.Spec.Affinity.NodeAffinity = a.NodeAffinity
			}
		}
		pods = append(pods, pod)
	}
	return pods, nil
}

// missingDaemons sums what the daemonsets that match a node will still request there.
func missingDaemons(daemons []*corev1.Pod, labels map[string]string, taints []corev1.Taint, present corev1.ResourceList) corev1.ResourceList {
	var matching []*corev1.Pod
	for _, d := range daemons {
		if karpsched.Taints(taints).ToleratesPod(d) != nil {
			continue
		}
		if karpsched.NewLabelRequirements(labels).Compatible(karpsched.NewStrictPodRequirements(d)) != nil {
			continue
		}
		matching = append(matching, d)
	}
	if len(matching) == 0 {
		return nil
	}
	missing := resources.Subtract(resources.RequestsForPods(matching...), present)
	for name, q := range missing {
		if q.Sign() <= 0 {
			delete(missing, name)
		}
	}
	return missing
}
