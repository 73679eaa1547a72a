package feed

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/scheduler-plugins/departure"
	"supercargo.dev/scheduler-plugins/plans"
)

func (f *Feed) followCustom(ctx context.Context, config *rest.Config) error {
	client, err := clientFor(config)
	if err != nil {
		return err
	}
	scalers := newSource(f.Metrics, "workloadscalers")
	informer := cache.NewSharedInformer(cache.NewListWatchFromClient(client, scalers.resource, metav1.NamespaceAll, fields.Everything()), &v1alpha1.WorkloadScaler{}, 0)
	if err := informer.SetTransform(slim); err != nil {
		return fmt.Errorf("following %s, %w", scalers.resource, err)
	}
	if _, err := f.Demand.WatchScalers(ctx, informer); err != nil {
		return err
	}
	if err := f.follow(ctx, scalers, informer, cache.ResourceEventHandlerFuncs{}, func() {}); err != nil {
		return err
	}

	policies := cache.NewSharedInformer(cache.NewListWatchFromClient(client, f.policies.resource, metav1.NamespaceAll, fields.Everything()), &v1alpha1.PlacementPolicy{}, 0)
	if err := f.follow(ctx, f.policies, policies, f.policyHandler(ctx), f.Requeue); err != nil {
		return err
	}
	return f.followClaims(ctx, config)
}

func clientFor(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("building scheme, %w", err)
	}
	config = jsonConfig(config)
	config.GroupVersion = &v1alpha1.GroupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("building client for %s, %w", v1alpha1.GroupVersion, err)
	}
	return client, nil
}

// jsonConfig returns a copy without the scheduler's protobuf, which custom resources do not speak.
func jsonConfig(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	return config
}

// slim drops what the scheduler never reads of a WorkloadScaler, which is most of it.
func slim(object any) (any, error) {
	scaler, ok := object.(*v1alpha1.WorkloadScaler)
	if !ok {
		return object, nil
	}
	scaler.ManagedFields, scaler.Annotations, scaler.Status.Conditions, scaler.Status.ResourceScores = nil, nil, nil, nil
	if scaler.Status.Recommendation != nil {
		for i := range scaler.Status.Recommendation.Containers {
			scaler.Status.Recommendation.Containers[i].Explanation = nil
		}
	}
	return scaler, nil
}

func (f *Feed) policyHandler(ctx context.Context) cache.ResourceEventHandler {
	set := func(object any) {
		policy, ok := object.(*v1alpha1.PlacementPolicy)
		if !ok {
			return
		}
		changed, err := f.Policies.Set(policy)
		if err != nil {
			klog.FromContext(ctx).Error(err, "Ignoring a PlacementPolicy", "placementPolicy", policy.Name)
		}
		if changed {
			f.Requeue()
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, object any) { set(object) },
		DeleteFunc: func(object any) {
			if policy, ok := last[*v1alpha1.PlacementPolicy](object); ok {
				f.Policies.Delete(policy.Name)
				f.Requeue()
			}
		},
	}
}

// followClaims reads NodeClaims without Karpenter's types: five fields do not justify its dependencies in a scheduler.
func (f *Feed) followClaims(ctx context.Context, config *rest.Config) error {
	client, err := dynamic.NewForConfig(jsonConfig(config))
	if err != nil {
		return fmt.Errorf("building client for nodeclaims, %w", err)
	}
	claims := client.Resource(schema.GroupVersionResource{Group: "karpenter.sh", Version: "v1", Resource: "nodeclaims"})
	informer := cache.NewSharedInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return claims.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return claims.Watch(ctx, o)
		},
	}, &unstructured.Unstructured{}, 0)
	set := func(object any) {
		if claim, ok := object.(*unstructured.Unstructured); ok {
			known := claimOf(claim)
			f.Claims.Set(claim.GetName(), known)
			plan := plans.Plan{Claim: claim.GetName(), Node: known.Node, Created: claim.GetCreationTimestamp().Time, Going: known.Going}
			if f.Plans.Set(plan, plans.Parse(claim.GetAnnotations()[v1alpha1.PlannedPodsAnnotation])) {
				f.RequeuePlanned()
			}
		}
	}
	return f.follow(ctx, newSource(f.Metrics, "nodeclaims"), informer, cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, object any) { set(object) },
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			if claim, err := meta.Accessor(object); err == nil {
				f.Claims.Delete(claim.GetName())
				if f.Plans.Delete(claim.GetName()) {
					f.Requeue()
				}
			}
		},
	}, func() {})
}

func claimOf(object *unstructured.Unstructured) departure.Claim {
	claim := departure.Claim{Going: object.GetDeletionTimestamp() != nil}
	claim.Node, _, _ = unstructured.NestedString(object.Object, "status", "nodeName")
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, c := range conditions {
		condition, ok := c.(map[string]any)
		if !ok || condition["status"] != string(metav1.ConditionTrue) {
			continue
		}
		switch condition["type"] {
		case "Drifted", "DisruptionReason", "InstanceTerminating": // of Karpenter's nodeclaim_status.go
			claim.Going = true
		}
	}
	expireAfter, _, _ := unstructured.NestedString(object.Object, "spec", "expireAfter") // a duration, or Never
	if age, err := time.ParseDuration(expireAfter); err == nil && age > 0 {
		claim.Expires = object.GetCreationTimestamp().Add(age)
	}
	return claim
}
