package policy

import (
	"time"
)

// Rate allows Burst changes at once and one more every Every. The zero value allows everything.
type Rate struct {
	Every time.Duration
	Burst int
}

// Bucket is the state of a rate limit as one instant, so that it survives a restart as an annotation or status field:
// the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371). The zero value is a full bucket.
type Bucket struct {
	TAT time.Time `json:"tat,omitzero"`
}

// Take spends one change if the rate allows it now and returns the bucket after it; otherwise it says when to come back.
func (b Bucket) Take(r Rate, now time.Time) (after Bucket, wait time.Duration, ok bool) {
	if r.Every <= 0 {
		return b, 0, true
	}
	tolerance := r.Every * time.Duration(max(r.Burst, 1)-1)
	tat := b.TAT
	// A state from further ahead than the rate can lead to was written by a clock that was wrong, or under another rate.
	if tat.Before(now) || tat.After(now.Add(tolerance+r.Every)) {
		tat = now
	}
	if early := tat.Sub(now) - tolerance; early > 0 {
		return b, early, false
	}
	return Bucket{TAT: tat.Add(r.Every)}, 0, true
}

// full tells whether nothing is left of what was spent.
func (b Bucket) full(now time.Time) bool { return !b.TAT.After(now) }

// Limits is the state of the limits on changes: one for the cluster and one for each workload.
type Limits struct {
	Global    Bucket            `json:"global,omitzero"`
	Workloads map[string]Bucket `json:"workloads,omitempty"`
}

// Take spends one change of a workload if both rates allow it; otherwise it spends nothing and says when to come back.
// Buckets that are full again are forgotten, so that the state does not grow.
func (l *Limits) Take(workload string, global, perWorkload Rate, now time.Time) (wait time.Duration, ok bool) {
	for name, b := range l.Workloads {
		if b.full(now) {
			delete(l.Workloads, name)
		}
	}
	own, ownWait, ownOK := l.Workloads[workload].Take(perWorkload, now)
	all, allWait, allOK := l.Global.Take(global, now)
	if !ownOK || !allOK {
		return max(ownWait, allWait), false
	}
	l.Global = all
	if own.full(now) {
		return 0, true
	}
	if l.Workloads == nil {
		l.Workloads = map[string]Bucket{}
	}
	l.Workloads[workload] = own
	return 0, true
}
