package recommendation

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/usage"
)

// Registry knows to which workload each pod belongs, so that a sample finds its history without asking the cluster. Usage of pods
// that no scaler binds is dropped.
type Registry struct {
	mu   sync.RWMutex
	pods map[types.NamespacedName]*member
	// workloads by scaler
	scalers map[types.NamespacedName]*member
}

// member is what one scaler binds. It is replaced, never changed.
type member struct {
	workload   estimate.Workload
	containers sets.Set[string]
	group      func(container string) string
	pods       sets.Set[string]
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{pods: map[types.NamespacedName]*member{}, scalers: map[types.NamespacedName]*member{}}
}

// Set says which pods and containers a scaler binds, and returns the pods that it bound before and no longer does. group gives the
// name under which a container is counted; it must be pure.
func (r *Registry) Set(scaler types.NamespacedName, w estimate.Workload, pods, containers []string, group func(string) string) (gone []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.scalers[scaler]
	now := &member{workload: w, containers: sets.New(containers...), group: group, pods: sets.New(pods...)}
	gone = r.unbind(scaler.Namespace, before, now.pods)
	for _, name := range pods {
		r.pods[types.NamespacedName{Namespace: scaler.Namespace, Name: name}] = now
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
		if !keep.Has(name) && r.pods[key] == m {
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

// Sink feeds usage to a store.
func (r *Registry) Sink(store *estimate.Store) usage.Sink {
	return func(u usage.Usage) {
		r.mu.RLock()
		m := r.pods[types.NamespacedName{Namespace: u.Namespace, Name: u.Pod}]
		r.mu.RUnlock()
		if m == nil {
			return
		}
		container := m.group(u.Container)
		if !m.containers.Has(container) { // injected into the pod
			return
		}
		key := estimate.Key{Namespace: m.workload.Namespace, Kind: m.workload.Kind, Name: m.workload.Name, Container: container}
		store.Observe(key, u.Pod, u.At, u.MilliCPU, u.MemoryBytes)
	}
}
