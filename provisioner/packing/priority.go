package packing

import (
	"cmp"
	"slices"
	"strings"
)

// tiers divides units by priority, the highest first; into one where that does not matter.
func tiers(units []*unit, apart bool) [][]*unit {
	if !apart {
		return [][]*unit{units}
	}
	byPriority := map[int32][]*unit{}
	for _, u := range units {
		byPriority[u.priority()] = append(byPriority[u.priority()], u)
	}
	out := make([][]*unit, 0, len(byPriority))
	for _, tier := range byPriority {
		out = append(out, tier)
	}
	slices.SortFunc(out, func(a, b []*unit) int { return cmp.Compare(b[0].priority(), a[0].priority()) })
	return out
}

// inverted tells whether a pod may lack a place because one of lower priority has it:
// where capacity is short, by a pool's limits or for want of pools.
func (p *Problem) inverted(plan *Plan) bool {
	lacking := make([]bool, len(p.Pods))
	highest, found := int32(0), false
	for i := range plan.Unplaced {
		u := &plan.Unplaced[i]
		lacking[u.Pod] = true
		short := slices.ContainsFunc(u.Reasons, func(r Reason) bool {
			return r.Rule == RuleExistingTaken || strings.HasPrefix(r.Rule, RulePoolLimit)
		})
		if pr := priorityOf(p.Pods[u.Pod].Pod); short && (!found || pr > highest) {
			highest, found = pr, true
		}
	}
	if !found {
		return false
	}
	for i := range p.Pods {
		if !lacking[i] && priorityOf(p.Pods[i].Pod) < highest {
			return true
		}
	}
	return false
}

// compareUnplaced compares what two plans leave unplaced: less is better, and a pod of
// higher priority counts for more than any number of others.
func (p *Problem) compareUnplaced(a, b *Plan) int {
	count := map[int32]int{}
	for i := range a.Unplaced {
		count[priorityOf(p.Pods[a.Unplaced[i].Pod].Pod)]++
	}
	for i := range b.Unplaced {
		count[priorityOf(p.Pods[b.Unplaced[i].Pod].Pod)]--
	}
	var highest int32
	order := 0
	for pr, n := range count {
		if n != 0 && (order == 0 || pr > highest) {
			highest, order = pr, n
		}
	}
	return order
}

// fillBought puts pods into the room of nodes that were bought for others before: for
// pods of higher priority, or of pools of higher weight.
func (s *solver) fillBought(p *packer) {
	for _, b := range s.bins {
		for i := range p.items {
			if p.left[i] == 0 {
				continue
			}
			was := b.clone()
			n := p.put(b, i, p.left[i])
			if n > 0 && !p.choiceEnough(b) {
				*b = *was
				p.account(i, n)
			}
		}
	}
}
