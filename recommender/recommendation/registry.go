package recommendation

import (
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/usage"
)

// Registry knows to which workload each pod belongs, so that a sample finds its history without asking the cluster. Usage of pods
// that no scaler binds is dropped.
type Registry struct {
	mu   sync.RWMutex
	pods map[types.NamespacedName]*bound
	// workloads by scaler
	scalers map[types.NamespacedName]*member
}

// member is what one scaler binds. It is replaced, never changed.
type member struct {
	workload   estimate.Workload
	containers []string // by the names under which they are counted
	groups     []v1alpha1.ContainerGroup
	keys       []estimate.Key // of the containers
	pods       sets.Set[string]
}

// bound is a pod that a scaler binds, with the place of each of its containers in the store, made with its first sample.
type bound struct {
	*member
	series []atomic.Pointer[estimate.Series]
	gone   atomic.Bool // it is bound no longer, or to another workload
}

// kept is what the registry keeps in the place of a container.
type kept struct {
	pod    *bound
	series *estimate.Series
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{pods: map[types.NamespacedName]*bound{}, scalers: map[types.NamespacedName]*member{}}
}

// Set says which pods and containers a scaler binds, and returns the pods that it bound before and no longer does. Containers of a group
// are counted under its name, which stands for them in containers.
func (r *Registry) Set(scaler types.NamespacedName, w estimate.Workload, pods, containers []string, groups []v1alpha1.ContainerGroup) (gone []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.scalers[scaler]
	now := &member{workload: w, containers: containers, groups: groups, pods: sets.New(pods...)}
	for _, c := range containers {
		now.keys = append(now.keys, estimate.Key{Namespace: w.Namespace, Kind: w.Kind, Name: w.Name, Container: c})
	}
	if before != nil && before.workload == w && slices.Equal(before.containers, containers) && equality.Semantic.DeepEqual(before.groups, groups) {
		if before.pods.Equal(now.pods) {
			return nil
		}
		now.keys = before.keys
		gone = r.unbind(scaler.Namespace, before, now.pods)
		for name := range now.pods {
			if known := r.pods[types.NamespacedName{Namespace: scaler.Namespace, Name: name}]; known != nil && known.member == before {
				known.member = now // its series stay
			}
		}
	} else {
		gone = r.unbind(scaler.Namespace, before, now.pods)
	}
	for name := range now.pods {
		key := types.NamespacedName{Namespace: scaler.Namespace, Name: name}
		if known := r.pods[key]; known == nil || known.member != now {
			if known != nil { // another scaler's, until now
				known.gone.Store(true)
			}
			r.pods[key] = &bound{member: now, series: make([]atomic.Pointer[estimate.Series], len(containers))}
		}
	}
	r.scalers[scaler] = now
	return gone
}

// Remove forgets a scaler and says which workload it bound.
func (r *Registry) Remove(scaler types.NamespacedName) (w estimate.Workload, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, known := r.scalers[scaler]
	if !known {
		return w, false
	}
	r.unbind(scaler.Namespace, m, nil)
	delete(r.scalers, scaler)
	return m.workload, true
}

func (r *Registry) unbind(namespace string, m *member, keep sets.Set[string]) (gone []string) {
	if m == nil {
		return nil
	}
	for name := range m.pods {
		key := types.NamespacedName{Namespace: namespace, Name: name}
		if known := r.pods[key]; !keep.Has(name) && known != nil && known.member == m {
			known.gone.Store(true)
			delete(r.pods, key)
			gone = append(gone, name)
		}
	}
	return gone
}

// Workloads that scalers bind.
func (r *Registry) Workloads() sets.Set[estimate.Workload] {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make(sets.Set[estimate.Workload], len(r.scalers))
	for _, m := range r.scalers {
		out.Insert(m.workload)
	}
	return out
}

// Pods calls yield for every pod that a scaler binds.
func (r *Registry) Pods(yield func(namespace, pod string, w estimate.Workload)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for key, m := range r.pods {
		yield(key.Namespace, key.Name, m.workload)
	}
}

// Sink feeds usage to a store. A registry feeds one store.
func (r *Registry) Sink(store *estimate.Store) usage.Sink {
	return func(u usage.Usage) {
		if u.Place != nil {
			if k, ok := u.Place.Kept.(*kept); ok && !k.pod.gone.Load() {
				k.series.Observe(u.At, u.MilliCPU, u.MemoryBytes)
				return
			}
		}
		p, x := r.series(store, u)
		if x == nil {
			return
		}
		x.Observe(u.At, u.MilliCPU, u.MemoryBytes)
		if u.Place != nil {
			u.Place.Kept = &kept{p, x}
		}
	}
}

// series is the place of a container of a pod in the store; nil where it is not bound, or injected into the pod.
func (r *Registry) series(store *estimate.Store, u usage.Usage) (*bound, *estimate.Series) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.pods[types.NamespacedName{Namespace: u.Namespace, Name: u.Pod}]
	if p == nil {
		return nil, nil
	}
	i := slices.Index(p.containers, policy.GroupName(p.groups, u.Container))
	if i < 0 {
		return nil, nil
	}
	if x := p.series[i].Load(); x != nil {
		return p, x
	}
	x := store.SeriesOf(&p.keys[i], u.Pod)
	p.series[i].Store(x)
	return p, x
}
