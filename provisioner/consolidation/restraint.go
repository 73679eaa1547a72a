package consolidation

import "time"

const (
	// judgeAfter is how long after its first move a series of moves is judged at the earliest.
	judgeAfter = 2 * time.Minute
	// settleAfter is how long no pod must have been waiting to be moved before that: what is given up no longer counts as
	// cost from the first moment, and whether it has to be bought again is seen when the last pods have found a place.
	settleAfter = 30 * time.Second
	// judgeAtLast is when a series is judged though pods still wait: as long as Karpenter lets a disruption command take.
	judgeAtLast = 10 * time.Minute
	// realisedShare of the savings that were promised must have come about; less is a failure. Prices move and pods come and
	// go meanwhile, so it is generous.
	realisedShare = 0.5
	// demandNoise is the share by which demand may change and counts as unchanged.
	demandNoise = 0.01
	// demandBurst is the share by which demand must have risen for a while to make savings unknowable: the nodes bought for a
	// batch of Jobs outlast it.
	demandBurst = 0.1
	// holdBase is how long consolidation is held back after a first failure; it doubles with each further one up to holdMax.
	holdBase = time.Minute
	holdMax  = time.Hour
)

// Restraint holds consolidation back when the savings of its moves do not come about: a scheduler may place pods otherwise
// than planned, so that nodes given up have to be bought again, and the same move looks worth making for ever.
//
// The zero value holds nothing back. It is not safe for concurrent use.
type Restraint struct {
	series   *series
	failures int
	until    time.Time
}

// series are moves that are judged together.
type series struct {
	began          time.Time
	busy           time.Time // when pods were last seen waiting to be moved
	cost, promised float64
	demand, peak   float64
}

// Held judges the moves of the past, and reports until when no further ones should be made. Cost is what the nodes that stay
// cost in USD per hour, demand what pods request, in any unit that is always the same. Underway says that pods still wait on
// nodes that are given up.
//
// A series is not judged when demand has grown since it began, or was much higher for a while: then nodes are bought for a
// reason. When demand has shrunk, savings prove nothing, for nodes may have gone because they were empty, but the want of
// savings does.
func (r *Restraint) Held(now time.Time, cost, demand float64, underway bool) (until time.Time, held bool) {
	if s := r.series; s != nil {
		s.peak = max(s.peak, demand)
		if underway {
			s.busy = now
		}
		if age := now.Sub(s.began); age >= judgeAtLast || age >= judgeAfter && now.Sub(s.busy) >= settleAfter {
			r.series = nil
			r.judge(s, now, cost, demand)
		}
	}
	return r.until, now.Before(r.until)
}

func (r *Restraint) judge(s *series, now time.Time, cost, demand float64) {
	switch {
	case demand > s.demand*(1+demandNoise), s.peak > s.demand*(1+demandBurst):
	case s.cost-cost < realisedShare*s.promised:
		// 2^6 minutes are above holdMax; the bound keeps the shift from overflowing.
		r.until = now.Add(min(holdMax, holdBase<<min(r.failures, 6)))
		r.failures++
	case demand < s.demand*(1-demandNoise):
	default:
		r.failures = 0
	}
}

// Moved notes that moves which promise to save so many USD per hour are carried out, at the cost and demand before them.
func (r *Restraint) Moved(now time.Time, cost, demand, promised float64) {
	if r.series == nil {
		r.series = &series{began: now, cost: cost, demand: demand}
	}
	r.series.promised += promised
}
