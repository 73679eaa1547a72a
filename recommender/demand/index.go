package demand

import (
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/api/v1alpha1"
)

// DefaultMaxPods bounds how many pods an index remembers; it is twice what Kubernetes supports in one cluster.
const DefaultMaxPods = 300_000

// Options of an Index. The zero value is usable.
type Options struct {
	// Lookup finds the controller of objects whose name does not give it away; nil: names and owner references only.
	Lookup OwnerLookup
	// MaxPods that are remembered. Beyond it answers stay right and become slower. 0: DefaultMaxPods.
	MaxPods int
}

// Index answers what pods need from the WorkloadScalers that it was given. It is safe for concurrent use.
type Index struct {
	lookup  OwnerLookup
	maxPods int

	mu        sync.RWMutex
	version   uint64 // of the scalers; it moves only when an answer may have changed
	scalers   map[types.NamespacedName]*scaler
	byTarget  map[Owner][]*scaler
	selecting map[string][]*scaler // by namespace, those that say which pods are theirs
	pods      map[types.UID]answer
}

// answer is what was found for a pod, and for which state of the world.
type answer struct {
	resourceVersion string
	version         uint64
	scaler          *scaler
	enforced        Resources
	expected        Resources
}

// NewIndex returns an empty index.
func NewIndex(o Options) *Index {
	if o.MaxPods <= 0 {
		o.MaxPods = DefaultMaxPods
	}
	return &Index{
		lookup:    o.Lookup,
		maxPods:   o.MaxPods,
		scalers:   map[types.NamespacedName]*scaler{},
		byTarget:  map[Owner][]*scaler{},
		selecting: map[string][]*scaler{},
		pods:      map[types.UID]answer{},
	}
}

// SetScaler adds a WorkloadScaler or replaces what was known of it. It returns an error for one that cannot govern any pod;
// the index then behaves as if it did not exist.
func (x *Index) SetScaler(object *v1alpha1.WorkloadScaler) error {
	s, err := newScaler(object)
	if err != nil {
		x.DeleteScaler(object.Namespace, object.Name)
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if known, ok := x.scalers[s.id]; ok {
		if known.fingerprint == s.fingerprint {
			return nil
		}
		x.drop(known)
	}
	x.version++
	x.scalers[s.id] = s
	x.byTarget[s.target] = insert(x.byTarget[s.target], s)
	if s.selects != nil {
		x.selecting[s.id.Namespace] = insert(x.selecting[s.id.Namespace], s)
	}
	return nil
}

// DeleteScaler forgets a WorkloadScaler. It is not an error if it is unknown.
func (x *Index) DeleteScaler(namespace, name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if known, ok := x.scalers[types.NamespacedName{Namespace: namespace, Name: name}]; ok {
		x.version++
		x.drop(known)
	}
}

func (x *Index) drop(s *scaler) {
	delete(x.scalers, s.id)
	if left := remove(x.byTarget[s.target], s.id); len(left) > 0 {
		x.byTarget[s.target] = left
	} else {
		delete(x.byTarget, s.target)
	}
	if s.selects == nil {
		return
	}
	if left := remove(x.selecting[s.id.Namespace], s.id); len(left) > 0 {
		x.selecting[s.id.Namespace] = left
	} else {
		delete(x.selecting, s.id.Namespace)
	}
}

// Forget releases what was remembered for a pod that is gone.
func (x *Index) Forget(uid types.UID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.pods, uid)
}

// Version changes whenever an answer for some pod may have changed through its scaler. Sums of answers can be kept as long as
// it and the pods stay the same.
func (x *Index) Version() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.version
}

// Expected returns what the pod will ask for once its recommendation is applied. It equals what is enforced in Preview and
// Off, at low confidence, without a recommendation, and in OnCreate for a pod that exists (one without a UID does not).
// A pod that was asked for before and has not changed since is answered without allocating.
func (x *Index) Expected(pod *corev1.Pod) Resources {
	return x.answer(pod).expected
}

// Wanted returns what the pod will ask for once its recommendation is applied, with every other resource as it is enforced.
func (x *Index) Wanted(pod *corev1.Pod) corev1.ResourceList {
	out := Enforced(pod)
	change := x.Change(pod)
	if change == (Resources{}) {
		return out
	}
	expected := FromList(out).Add(change)
	out = maps.Clone(out)
	out[corev1.ResourceCPU] = *resource.NewMilliQuantity(expected.MilliCPU, resource.DecimalSI)
	out[corev1.ResourceMemory] = *resource.NewQuantity(expected.MemoryBytes, resource.BinarySI)
	return out
}

// Change returns what is expected less what is enforced: negative for a pod that will shrink, zero for one that no policy
// will change. It costs what Expected does.
func (x *Index) Change(pod *corev1.Pod) Resources {
	a := x.answer(pod)
	return a.expected.Sub(a.enforced)
}

func (x *Index) answer(pod *corev1.Pod) answer {
	if pod.UID == "" {
		return compute(pod, x.scalerOf(pod))
	}
	x.mu.RLock()
	found, ok := x.pods[pod.UID]
	version := x.version
	x.mu.RUnlock()
	if ok && found.version == version && found.resourceVersion == pod.ResourceVersion {
		return found
	}

	s := x.scalerOf(pod)
	if !ok || found.scaler != s || found.resourceVersion != pod.ResourceVersion {
		found = compute(pod, s)
	}
	found.version = version
	x.remember(pod, found)
	return found
}

// Scaler names the WorkloadScaler that answers for the pod; false where none does.
func (x *Index) Scaler(pod *corev1.Pod) (types.NamespacedName, bool) {
	s := x.scalerOf(pod)
	if s == nil {
		return types.NamespacedName{}, false
	}
	return s.id, true
}

// Target returns what the policy of the pod's workload will apply, by container, and the mode in which it does so; false
// where nothing will be applied. In OnCreate it says what a new pod is given. The map is shared and must not be changed.
func (x *Index) Target(pod *corev1.Pod) (map[string]corev1.ResourceRequirements, v1alpha1.UpdateMode, bool) {
	s := x.scalerOf(pod)
	if s == nil || len(s.containers) == 0 || pod.Annotations[v1alpha1.DisabledAnnotation] == "true" {
		return nil, "", false
	}
	return s.forPod(pod), s.mode, true
}

func compute(pod *corev1.Pod, s *scaler) answer {
	enforced := FromList(Enforced(pod))
	a := answer{resourceVersion: pod.ResourceVersion, scaler: s, enforced: enforced, expected: enforced}
	if s.governs(pod) {
		a.expected = FromList(withRequests(pod, s.forPod(pod)))
	}
	return a
}

func (x *Index) remember(pod *corev1.Pod, a answer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, known := x.pods[pod.UID]; known || len(x.pods) < x.maxPods {
		x.pods[pod.UID] = a
	}
}

// scalerOf finds the scaler that governs a pod: by its owner, by the owner's owner, then by pod selectors.
func (x *Index) scalerOf(pod *corev1.Pod) *scaler {
	direct, owned := directOwner(pod)
	var above Owner
	var hasAbove bool
	if owned {
		above, hasAbove = x.ownerAbove(direct, pod.Labels)
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if hasAbove {
		if s := firstByOwner(x.byTarget[above]); s != nil {
			return s
		}
	}
	if owned {
		if s := firstByOwner(x.byTarget[direct]); s != nil {
			return s
		}
	}
	for _, s := range x.selecting[pod.Namespace] {
		if s.selects(pod) {
			return s
		}
	}
	return nil
}

func (x *Index) ownerAbove(direct Owner, podLabels map[string]string) (Owner, bool) {
	if above, ok := ownerByName(direct, podLabels); ok {
		return above, true
	}
	if x.lookup == nil {
		return Owner{}, false
	}
	controller, ok := x.lookup(direct)
	if !ok {
		return Owner{}, false
	}
	return ownerOfReference(direct.Namespace, &controller), true
}

// firstByOwner returns the oldest scaler that follows owner references.
func firstByOwner(list []*scaler) *scaler {
	for _, s := range list {
		if s.selects == nil {
			return s
		}
	}
	return nil
}
