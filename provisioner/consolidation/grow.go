package consolidation

import (
	"context"
	"math"
)

func (h *hunt) accept(t *trial) {
	h.found++
	h.commit(t.set, t.move, t.pods)
}

// patience is how many seeds in a row may come to nothing before a pass over the
// candidates ends: those that follow promise less.
const patience = 30

// grow tries sets around each candidate, best promise first, and does so again,
// with promises as the moves found leave them, until nothing is found. Nodes that took
// pods of others are left alone: those would move twice.
func (h *hunt) grow(ctx context.Context) error {
	for again := true; again; {
		again = false
		h.fleet.rank()
		line, failures := h.fleet.byPromise(), 0
		for i, seed := range line {
			if ctx.Err() != nil || h.full() {
				return nil //nolint:nilerr // time that runs out ends the search with what was found
			}
			if failures == patience {
				break
			}
			if seed.gone || seed.took || !h.rule(seed) {
				continue
			}
			best, why, err := h.around(ctx, seed, line[i+1:])
			if err != nil {
				return err
			}
			if best == nil {
				seed.fruitless = why
				failures++
				continue
			}
			failures = 0
			again = true
			h.accept(best)
		}
	}
	return nil
}

// maxGrown is the largest set that is grown around one seed: larger ones pay rarely
// where no packing of the whole did, and take most of the time.
const maxGrown = 10

// setSizes are the sizes of the removal sets tried around one seed.
func setSizes(most int) []int {
	var out []int
	for n := 1; n <= most; n = max(n+1, n*8/5) {
		out = append(out, n)
	}
	return out
}

// around finds the best move that gives up seed, or says why there is none. Larger
// sets are tried as long as the smaller ones do not simply empty the node: what fits
// elsewhere for nothing needs no company.
func (h *hunt) around(ctx context.Context, seed *member, next []*member) (*trial, string, error) {
	var best *trial
	set := []*member{seed}
	var first string
	for _, size := range setSizes(min(h.options.MaxRemove, maxGrown)) {
		if ctx.Err() != nil {
			return best, first, nil //nolint:nilerr // what was found until then counts
		}
		set = h.extend(set, next, size)
		if len(set) < size {
			break
		}
		t, err := h.try(ctx, set)
		if err != nil {
			return nil, "", err
		}
		if t.why != "" {
			if first == "" {
				first = t.why
			}
			continue
		}
		if best == nil || t.rate() > best.rate() {
			best = t
		}
		if len(t.move.Launch) == 0 {
			break
		}
	}
	return best, first, nil
}

// extend adds the next candidates in line that may join a set.
func (h *hunt) extend(set, next []*member, size int) []*member {
	in := map[*member]bool{}
	for _, m := range set {
		in[m] = true
	}
	for _, m := range next {
		if len(set) >= size {
			break
		}
		if m.gone || m.took || in[m] || m.Blocked != "" || math.IsNaN(m.Node.Price) || !h.budget(m, set) {
			continue
		}
		if _, young := h.young(m); young {
			continue
		}
		set = append(set[:len(set):len(set)], m)
		in[m] = true
	}
	return set
}
