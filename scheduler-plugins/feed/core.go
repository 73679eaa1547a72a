package feed

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/succession"
	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/offering"
	"supercargo.dev/scheduler-plugins/replicas"
)

func (f *Feed) followPods(informer cache.SharedInformer) error {
	if _, err := f.Demand.WatchPods(informer); err != nil {
		return err
	}
	return f.addHandler(informer, "pods", cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			if pod, ok := object.(*corev1.Pod); ok {
				f.setPod(pod)
			}
		},
		UpdateFunc: func(before, after any) {
			pod, ok := after.(*corev1.Pod)
			if !ok {
				return
			}
			f.setPod(pod)
			was, ok := before.(*corev1.Pod)
			// The scheduling queue has no event for a pod's annotations.
			if ok && pod.Spec.NodeName == "" && f.serves(pod.Spec.SchedulerName) && was.Annotations[v1alpha1.SpotAnnotation] != pod.Annotations[v1alpha1.SpotAnnotation] {
				f.Requeue()
			}
		},
		DeleteFunc: func(object any) {
			if pod, ok := last[*corev1.Pod](object); ok {
				f.Replicas.DeletePod(pod.UID)
				f.Successors.DeletePod(pod.UID)
			}
		},
	})
}

func (f *Feed) setPod(pod *corev1.Pod) {
	// One that is going counts: its successor may not be there yet.
	if controller, ok := succession.OwnerOf(pod); ok && !finished(pod) {
		f.Successors.SetPod(pod.UID, controller)
	} else {
		f.Successors.DeletePod(pod.UID)
	}
	owner, owned := demand.OwnerOf(pod)
	if !owned || !live(pod) {
		f.Replicas.DeletePod(pod.UID)
		return
	}
	f.Replicas.SetPod(pod.UID, owner, pod.Spec.NodeName)
}

func (f *Feed) followNodes(ctx context.Context, informer cache.SharedInformer) error {
	set := func(object any) {
		if node, ok := object.(*corev1.Node); ok {
			f.Replicas.SetNode(node.Name, replicas.Node{Spot: offering.IsSpot(node), Pool: offering.PoolOf(node)})
			if err := f.Successors.SetNode(node.Name, node.Annotations[v1alpha1.PlannedSuccessorsAnnotation]); err != nil {
				klog.FromContext(ctx).Error(err, "Keeping no room for the pods that were planned on a node", "node", node.Name)
			}
		}
	}
	return f.addHandler(informer, "nodes", cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, object any) { set(object) },
		DeleteFunc: func(object any) {
			if node, ok := last[*corev1.Node](object); ok {
				f.Replicas.DeleteNode(node.Name)
				f.Successors.DeleteNode(node.Name, f.Clock.Now())
			}
		},
	})
}

func (f *Feed) followNamespaces(informer cache.SharedInformer) error {
	return f.addHandler(informer, "namespaces", cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			was, ok := before.(*corev1.Namespace)
			is, ok2 := after.(*corev1.Namespace)
			if ok && ok2 && (was.Annotations[v1alpha1.SpotAnnotation] != is.Annotations[v1alpha1.SpotAnnotation] || !maps.Equal(was.Labels, is.Labels)) {
				f.Requeue()
			}
		},
	})
}

// requeuePending tries pending pods again when told to: for what the scheduling queue has no events for, which are policies,
// namespaces, annotations and claims.
func (f *Feed) requeuePending(ctx context.Context, handle fwk.Handle, synced cache.InformerSynced, pods corelisters.PodLister) {
	// Pods are read only after the scheduler is complete; before that there is no queue to put them in.
	if !cache.WaitForCacheSync(ctx.Done(), synced) {
		return
	}
	logger := klog.FromContext(ctx)
	again := f.Clock.NewTicker(heldInterval)
	defer again.Stop()
	for {
		all, due := false, true
		select {
		case <-ctx.Done():
			return
		case <-f.requeue:
			all = true
		case <-f.planned:
		case <-again.C():
			all = f.kept.Swap(false)
			due = f.held.Swap(false) || all
		}
		if !due {
			continue
		}
		known, err := pods.List(labels.Everything())
		if err != nil {
			logger.Error(err, "Listing pods to try again")
		}
		pending := map[string]*corev1.Pod{}
		for _, pod := range known {
			if _, planned := f.Plans.Of(pod.UID); !all && !planned {
				continue
			}
			if pod.Spec.NodeName == "" && live(pod) && f.serves(pod.Spec.SchedulerName) {
				pending[pod.Namespace+"/"+pod.Name] = pod
			}
		}
		if len(pending) > 0 {
			handle.Activate(logger, pending)
		}
		select {
		case <-ctx.Done():
			return
		case <-f.Clock.After(requeueInterval):
		}
	}
}
