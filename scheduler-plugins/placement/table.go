package placement

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"supercargo.dev/api/v1alpha1"
)

// Table holds the policies of a cluster. It is safe for concurrent use, and reading takes no lock.
type Table struct {
	mu     sync.Mutex
	byName map[string]entry
	sorted atomic.Pointer[[]Policy]
}

type entry struct {
	policy     Policy
	generation int64
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{byName: map[string]entry{}}
	t.sorted.Store(&[]Policy{})
	return t
}

// Set adds or replaces a policy and returns whether that may change the rules of some pod. A policy that does not parse is
// taken out, and the reason is returned.
func (t *Table) Set(object *v1alpha1.PlacementPolicy) (changed bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.byName[object.Name]
	// Status moves no generation; one object after another of the same name starts at 1 again with another creation time.
	if ok && object.Generation != 0 && known.generation == object.Generation && known.policy.created.Equal(&object.CreationTimestamp) {
		return false, nil
	}
	policy, err := Parse(object)
	if err != nil {
		delete(t.byName, object.Name)
	} else {
		t.byName[object.Name] = entry{policy: policy, generation: object.Generation}
	}
	t.publish()
	return true, err
}

// Delete takes a policy out.
func (t *Table) Delete(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byName, name)
	t.publish()
}

func (t *Table) publish() {
	policies := make([]Policy, 0, len(t.byName))
	for _, name := range slices.Sorted(maps.Keys(t.byName)) {
		policies = append(policies, t.byName[name].policy)
	}
	Sort(policies)
	t.sorted.Store(&policies)
}

// Policies returns the policies in order of precedence. The slice must not be changed.
func (t *Table) Policies() []Policy { return *t.sorted.Load() }
