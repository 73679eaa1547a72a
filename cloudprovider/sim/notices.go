package sim

import (
	"time"

	"supercargo.dev/cloudprovider"
)

// maxNotices are kept; older ones are forgotten, as a queue forgets.
const maxNotices = 10_000

// notices is the numbered log of what the cloud announced.
type notices struct {
	log     []Notice
	seq     int64
	changed chan struct{} // closed and replaced at every addition
}

func (n *notices) add(notice Notice) {
	n.seq++
	notice.Seq = n.seq
	n.log = append(n.log, notice)
	if len(n.log) > maxNotices {
		n.log = append([]Notice(nil), n.log[len(n.log)-maxNotices:]...)
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

// after returns the notices later than a number, and a channel that is closed when there are more.
func (n *notices) after(seq int64) (NoticePage, <-chan struct{}) {
	page := NoticePage{Notices: []Notice{}, Next: n.seq}
	for _, notice := range n.log {
		if notice.Seq > seq {
			page.Notices = append(page.Notices, notice)
		}
	}
	return page, n.changed
}

// giveNotice announces something to a running instance and, unless it is a mere rebalance recommendation, takes the
// instance back after the warning. An earlier deadline stands.
func (s *Server) giveNotice(i *instance, kind cloudprovider.NoticeKind, warning time.Duration, now time.Time) {
	if i.State != Running {
		return
	}
	notice := Notice{InstanceID: i.ID, ProviderID: i.ProviderID, Kind: kind, At: now}
	if kind == cloudprovider.Rebalance {
		s.notices.add(notice)
		return
	}
	if warning > 0 {
		deadline := now.Add(warning)
		if !i.deadline.IsZero() && i.deadline.Before(deadline) {
			return
		}
		i.deadline, notice.Deadline = deadline, deadline
		s.notices.add(notice)
		s.plan(deadline, func(now time.Time) { s.terminate(i, string(kind), now) })
		return
	}
	s.terminate(i, string(kind), now)
}

// preempt gives notice to a share of the matching instances and returns their ids, in the order of their launch.
func (s *Server) preempt(f Fault, now time.Time) []string {
	match := f.Match
	if len(match.InstanceIDs) == 0 && len(match.CapacityTypes) == 0 {
		match.CapacityTypes = []string{Spot}
	}
	var victims []*instance
	for _, i := range s.order {
		if i.State == Running && matches(match.InstanceIDs, i.ID) && match.offering(i.typ, i.Zone, i.CapacityType) {
			victims = append(victims, i)
		}
	}
	share := f.Rate
	if share == 0 {
		share = 1
	}
	take := int(share*float64(len(victims)) + 0.5)
	if f.Count > 0 {
		take = min(take, f.Count)
	}
	warning := s.o.InterruptionWarning
	if f.Warning != nil {
		warning = f.Warning.Duration
	}
	kind := f.Notice
	if kind == "" {
		kind = cloudprovider.SpotInterruption
	}
	// Selection sampling: each has the same chance, and the order of launch is kept.
	ids := []string{}
	for n, i := range victims {
		if s.rand.IntN(len(victims)-n) < take-len(ids) {
			ids = append(ids, i.ID)
			s.giveNotice(i, kind, warning, now)
		}
	}
	return ids
}
