package feed

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// refusedPrefix starts the reason of every pod that a kubelet refused for want of room (OutOfcpu, OutOfmemory, OutOfpods, ...):
// InsufficientResourcePrefix of k8s.io/kubernetes/pkg/kubelet/lifecycle.
const refusedPrefix = "OutOf"

// followRefused counts the pods of a profile that kubelets refuse. The scheduler's own informer leaves failed pods out: to it,
// one that is refused is one that is deleted.
func (f *Feed) followRefused(ctx context.Context, client kubernetes.Interface, profile string) error {
	failed := fields.AndSelectors(
		fields.OneTermEqualSelector("status.phase", string(corev1.PodFailed)),
		fields.OneTermEqualSelector("spec.schedulerName", profile),
	)
	pods := client.CoreV1().Pods(metav1.NamespaceAll)
	informer := cache.NewSharedInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = failed.String()
			return pods.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = failed.String()
			return pods.Watch(ctx, o)
		},
	}, &corev1.Pod{}, 0)
	if err := informer.SetTransform(onlyReason); err != nil {
		return fmt.Errorf("following failed pods, %w", err)
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, existed bool) {
			// Those that had failed before this process started were counted by the one before.
			if pod, ok := object.(*corev1.Pod); ok && !existed && strings.HasPrefix(pod.Status.Reason, refusedPrefix) {
				f.Metrics.Refused.WithLabelValues(profile, pod.Status.Reason).Inc()
			}
		},
	}); err != nil {
		return fmt.Errorf("following failed pods, %w", err)
	}
	f.running.Go(func() { informer.RunWithContext(ctx) })
	return nil
}

// onlyReason keeps of a pod what is counted. Failed pods can be many where nobody removes finished Jobs.
func onlyReason(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion},
		Status:     corev1.PodStatus{Phase: pod.Status.Phase, Reason: pod.Status.Reason},
	}, nil
}
