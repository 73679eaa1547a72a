package observe

import (
	"fmt"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Violation is a time at which fewer pods were healthy than their disruption budget demands.
type Violation struct {
	At               time.Time
	Budget           types.NamespacedName
	Healthy, Desired int32
}

// String says what was violated.
func (v Violation) String() string {
	return fmt.Sprintf("%s: %d pods healthy, %d demanded", v.Budget, v.Healthy, v.Desired)
}

// budgets detects violations from every state of every budget. A budget counts from when it was first met: before that its
// pods are still being started for the first time.
type budgets struct {
	met      map[types.UID]bool
	violated map[types.UID]bool // now: one that lasts is one violation
	all      []Violation
}

func newBudgets() budgets {
	return budgets{met: map[types.UID]bool{}, violated: map[types.UID]bool{}}
}

func (b *budgets) observe(pdb *policyv1.PodDisruptionBudget, at time.Time) {
	s := pdb.Status
	if s.ObservedGeneration < pdb.Generation || s.ExpectedPods == 0 {
		return // says nothing of the present spec, or of any pod
	}
	switch healthy := s.CurrentHealthy >= s.DesiredHealthy; {
	case healthy:
		b.met[pdb.UID], b.violated[pdb.UID] = true, false
	case b.met[pdb.UID] && !b.violated[pdb.UID]:
		b.violated[pdb.UID] = true
		b.all = append(b.all, Violation{
			At: at, Budget: types.NamespacedName{Namespace: pdb.Namespace, Name: pdb.Name}, Healthy: s.CurrentHealthy, Desired: s.DesiredHealthy,
		})
	}
}
