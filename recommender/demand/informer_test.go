package demand_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2/ktesting"

	"supercargo.dev/recommender/demand"
)

// feed is an informer whose events the test sends itself.
type feed struct{ handler cache.ResourceEventHandler }

func (f *feed) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	f.handler = h
	return nil, nil
}

func TestWatch(t *testing.T) {
	_, ctx := ktesting.NewTestContext(t)
	x := demand.NewIndex(demand.Options{})
	var scalers, pods feed
	if _, err := x.WatchScalers(ctx, &scalers); err != nil {
		t.Fatal(err)
	}
	if _, err := x.WatchPods(&pods); err != nil {
		t.Fatal(err)
	}
	pod, s := makePod(web()), makeScaler("apps/v1", "Deployment", "web")
	check := func(step string, want int64) {
		t.Helper()
		if got := x.Expected(pod).MilliCPU; got != want {
			t.Errorf("%s: got %dm, want %dm", step, got, want)
		}
	}
	scalers.handler.OnAdd(s, true)
	check("added", 250)
	foreign := s.DeepCopy()
	foreign.Spec.TargetRef.Namespace = "bank"
	scalers.handler.OnUpdate(s, foreign)
	check("updated to something that cannot govern", 1000)
	scalers.handler.OnUpdate(foreign, s)
	check("repaired", 250)
	scalers.handler.OnAdd(&corev1.Pod{}, false)
	scalers.handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "shop/web", Obj: s})
	check("deletion seen as a tombstone", 1000)

	pods.handler.OnDelete(pod)
	if got := x.Remembered(); got != 0 {
		t.Errorf("remembers %d pods", got)
	}
}
