package packing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// maxOpenCombinations bounds how many combinations of values of open labels are
// looked at per pool; more would multiply every offering.
const maxOpenCombinations = 16

// poolLimit is what of a pool may still be bought.
type poolLimit struct {
	names []corev1.ResourceName
	left  []int64
}

func newPoolLimit(limits corev1.ResourceList) poolLimit {
	var l poolLimit
	for name := range limits {
		l.names = append(l.names, name)
	}
	slices.Sort(l.names)
	for _, name := range l.names {
		l.left = append(l.left, amount(name, limits[name]))
	}
	return l
}

// use is what one node of a type counts for.
func (l *poolLimit) use(i int, it *InstanceType) int64 {
	if l.names[i] == ResourceNodes {
		return 1
	}
	if q, ok := it.Capacity[l.names[i]]; ok {
		return amount(l.names[i], q)
	}
	if q, ok := it.Allocatable[l.names[i]]; ok {
		return amount(l.names[i], q)
	}
	return 0
}

func (l *poolLimit) allows(it *InstanceType) bool {
	for i := range l.names {
		if l.use(i, it) > l.left[i] {
			return false
		}
	}
	return true
}

func (l *poolLimit) take(it *InstanceType, n int64) {
	for i := range l.names {
		l.left[i] -= n * l.use(i, it)
	}
}

// wellKnown tells whether a label's value comes from the cloud rather than from
// the pool, so that a type without it does not have it.
func wellKnown(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	return ok && (domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") ||
		strings.HasSuffix(domain, "k8s.io") || domain == "karpenter.sh" || strings.HasPrefix(domain, "karpenter."))
}

// buildSlots lists the offerings that the pools' own requirements allow, and the
// existing nodes.
func buildSlots(p *Problem, d *dims, mentioned mentions) *slotTable {
	t := &slotTable{p: p, index: map[string]*labelIndex{}, pools: make([]poolLimit, len(p.Pools))}
	ranks := poolRanks(p.Pools)
	for pi := range p.Pools {
		pool := &p.Pools[pi]
		t.pools[pi] = newPoolLimit(pool.Limits)
		combos := openCombinations(pool, mentioned)
		for ti := range pool.Types {
			it := &pool.Types[ti]
			if p.Options.tooLarge(it) {
				continue
			}
			free := d.room(it.Allocatable)
			for oi := range it.Offerings {
				of := &it.Offerings[oi]
				if !of.Available {
					continue
				}
				for _, open := range combos {
					s := slot{pool: pi, typ: ti, offering: oi, open: open, free: free, rank: ranks[pi], price: of.Price}
					if !t.poolAllows(pool, &s) {
						continue
					}
					if s.cost, s.priced = costOf(of, &p.Options); !s.priced {
						s.price = math.NaN()
						s.rank += len(p.Pools)
					}
					t.all = append(t.all, s)
				}
			}
		}
	}
	dearest := 0.0
	for i := range t.all {
		dearest = max(dearest, t.all[i].cost)
	}
	for i := range t.all {
		if !t.all[i].priced {
			t.all[i].cost = 2*dearest + 1
		}
	}
	t.first = len(t.all)
	for ni := range p.Nodes {
		t.all = append(t.all, slot{existing: true, node: ni, price: p.Nodes[ni].Price})
	}
	return t
}

// poolRanks numbers pools by descending weight from 1; equal weights share.
func poolRanks(pools []Pool) []int {
	order := make([]int, len(pools))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(pools[b].Weight, pools[a].Weight) })
	ranks := make([]int, len(pools))
	rank := 1
	for n, i := range order {
		if n > 0 && pools[i].Weight != pools[order[n-1]].Weight {
			rank++
		}
		ranks[i] = rank
	}
	return ranks
}

// poolAllows tells whether an offering satisfies its pool's requirements. A
// custom label that nothing defines is the pool's to give, so only labels that
// are defined, or well known, can fail.
func (t *slotTable) poolAllows(pool *Pool, s *slot) bool {
	for i := range pool.Requirements {
		r := &pool.Requirements[i]
		v, ok := t.label(s, r.Key)
		if !ok && !wellKnown(r.Key) {
			continue
		}
		if !labelSatisfies(v, ok, r.Operator, r.Values) {
			return false
		}
	}
	return true
}

// openCombinations lists the values that the pool's open labels may take: custom
// keys that its requirements admit several values for. Only values that pods
// name can matter, and one that none names; all of them where rules about other pods
// look at the key.
func openCombinations(pool *Pool, mentioned mentions) []map[string]string {
	combos := []map[string]string{nil}
	for i := range pool.Requirements {
		r := &pool.Requirements[i]
		if _, ok := pool.Labels[r.Key]; ok || wellKnown(r.Key) || typesDefine(pool, r.Key) {
			continue
		}
		values := r.choices(mentioned)
		if len(values) == 0 {
			continue
		}
		var next []map[string]string
		for _, c := range combos {
			for _, v := range values {
				if len(next) == maxOpenCombinations {
					break
				}
				m := map[string]string{r.Key: v}
				for k, w := range c {
					m[k] = w
				}
				next = append(next, m)
			}
		}
		combos = next
	}
	return combos
}

// choices are the values of an open label that matter to a problem.
func (r *Requirement) choices(mentioned mentions) []string {
	named, looked := mentioned.values[r.Key]
	var values []string
	switch {
	case r.Operator == corev1.NodeSelectorOpDoesNotExist:
	case r.Operator == corev1.NodeSelectorOpIn && mentioned.domains[r.Key]:
		return r.Values
	case r.Operator == corev1.NodeSelectorOpIn:
		for _, v := range r.Values {
			if named[v] {
				values = append(values, v)
			}
		}
		for _, v := range r.Values {
			if !named[v] {
				values = append(values, v)
				break
			}
		}
	case looked || mentioned.domains[r.Key]:
		for v := range named {
			if labelSatisfies(v, true, r.Operator, r.Values) {
				values = append(values, v)
			}
		}
		slices.Sort(values)
		if v, ok := r.unnamed(named); ok {
			values = append(values, v)
		}
	}
	return values
}

// unnamed is a value that satisfies the requirement and that no pod names: a number, as
// Karpenter gives nodes where any value will do.
func (r *Requirement) unnamed(named map[string]bool) (string, bool) {
	from := int64(0)
	if len(r.Values) == 1 {
		switch n, err := strconv.ParseInt(r.Values[0], 10, 64); {
		case err != nil:
		case r.Operator == corev1.NodeSelectorOpGt, r.Operator == "Gte":
			from = n
		}
	}
	for n := range int64(len(named) + len(r.Values) + 2) {
		if v := strconv.FormatInt(from+n, 10); !named[v] && labelSatisfies(v, true, r.Operator, r.Values) {
			return v, true
		}
	}
	return "", false
}

// typesDefine tells whether the label belongs to types or offerings.
func typesDefine(pool *Pool, key string) bool {
	for i := range pool.Types {
		if _, ok := pool.Types[i].Labels[key]; ok {
			return true
		}
		for j := range pool.Types[i].Offerings {
			if _, ok := pool.Types[i].Offerings[j].Labels[key]; ok {
				return true
			}
		}
	}
	return false
}

// labelSatisfies evaluates one requirement against one label.
func labelSatisfies(v string, ok bool, op corev1.NodeSelectorOperator, values []string) bool {
	switch op {
	case corev1.NodeSelectorOpIn:
		return ok && slices.Contains(values, v)
	case corev1.NodeSelectorOpNotIn:
		return !ok || !slices.Contains(values, v)
	case corev1.NodeSelectorOpExists:
		return ok
	case corev1.NodeSelectorOpDoesNotExist:
		return !ok
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if !ok || len(values) != 1 {
			return false
		}
		c, err := compareIntegers(v, values[0])
		return err == nil && (op == corev1.NodeSelectorOpGt && c > 0 || op == corev1.NodeSelectorOpLt && c < 0)
	default:
		// Karpenter's Gte and Lte.
		if !ok || len(values) != 1 {
			return false
		}
		c, err := compareIntegers(v, values[0])
		return err == nil && (op == "Gte" && c >= 0 || op == "Lte" && c <= 0)
	}
}

func compareIntegers(a, b string) (int, error) {
	x, err := strconv.ParseInt(a, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parsing label value, %w", err)
	}
	y, err := strconv.ParseInt(b, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parsing requirement value, %w", err)
	}
	return cmp.Compare(x, y), nil
}
