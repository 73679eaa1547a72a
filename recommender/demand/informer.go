package demand

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"supercargo.dev/api/v1alpha1"
)

// Informer is what both client-go's SharedInformer and controller-runtime's cache.Informer offer.
type Informer interface {
	AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error)
}

// WatchScalers feeds the index from an informer on WorkloadScalers. The informer's owner starts and stops it; the
// registration tells when everything that existed at the start has arrived.
func (x *Index) WatchScalers(ctx context.Context, informer Informer) (cache.ResourceEventHandlerRegistration, error) {
	set := func(object any) {
		scaler, ok := object.(*v1alpha1.WorkloadScaler)
		if !ok {
			return
		}
		if err := x.SetScaler(scaler); err != nil {
			// The recommender reports it in the scaler's status, where its owner looks.
			klog.FromContext(ctx).V(2).Info("Ignoring a WorkloadScaler", "workloadScaler", klog.KObj(scaler), "reason", err.Error())
		}
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, object any) { set(object) },
		DeleteFunc: func(object any) {
			if scaler, ok := last[*v1alpha1.WorkloadScaler](object); ok {
				x.DeleteScaler(scaler.Namespace, scaler.Name)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watching workloadscalers, %w", err)
	}
	return registration, nil
}

// WatchPods releases what is remembered for pods as they are deleted. Without it memory is bounded by Options.MaxPods only.
func (x *Index) WatchPods(informer Informer) (cache.ResourceEventHandlerRegistration, error) {
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		DeleteFunc: func(object any) {
			if pod, ok := last[*corev1.Pod](object); ok {
				x.Forget(pod.UID)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watching pods, %w", err)
	}
	return registration, nil
}

// last returns the object of a delete event, which may be a tombstone where the watch missed the deletion itself.
func last[T any](object any) (T, bool) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	typed, ok := object.(T)
	return typed, ok
}
