package policy

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// QuotaShort says which ResourceQuota has no room for what a new pod asks for, where it asks for more than it did before it was changed;
// empty where there is room, or nothing more is asked for. The scopes of a quota are not looked at: one that does not count the pod
// can only keep it as it was.
func QuotaShort(quotas []corev1.ResourceQuota, before, after *corev1.Pod) string {
	type amount struct{ request, limit bool }
	counted := map[corev1.ResourceName]amount{
		corev1.ResourceCPU: {request: true}, corev1.ResourceMemory: {request: true},
		corev1.ResourceRequestsCPU: {request: true}, corev1.ResourceRequestsMemory: {request: true},
		corev1.ResourceLimitsCPU: {limit: true}, corev1.ResourceLimitsMemory: {limit: true},
	}
	o := resourcehelper.PodResourcesOptions{}
	was, is := resourcehelper.PodRequests(before, o), resourcehelper.PodRequests(after, o)
	wasLimit, isLimit := resourcehelper.PodLimits(before, o), resourcehelper.PodLimits(after, o)
	for i := range quotas {
		q := &quotas[i]
		for _, name := range sortedKeys(q.Status.Hard) {
			what, ok := counted[name]
			if !ok {
				continue
			}
			old, now := was, is
			if what.limit {
				old, now = wasLimit, isLimit
			}
			resource := corev1.ResourceCPU
			if name == corev1.ResourceMemory || name == corev1.ResourceRequestsMemory || name == corev1.ResourceLimitsMemory {
				resource = corev1.ResourceMemory
			}
			asked, had := now[resource], old[resource]
			if asked.Cmp(had) <= 0 {
				continue
			}
			// A plain copy of a quantity may share its digits with the cache.
			hard, sum := q.Status.Hard[name], q.Status.Used[name].DeepCopy()
			sum.Add(asked)
			if sum.Cmp(hard) > 0 {
				return fmt.Sprintf("resourcequota %s has no room for %s of %s", q.Name, asked.String(), name)
			}
		}
	}
	return ""
}
