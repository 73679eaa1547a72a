package estimate

import (
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"time"
)

const (
	// oomHalfLife is how long it takes for half of what kills added to wear off.
	oomHalfLife = 72 * secondsPerHour
	// unappliedExtra is added by the kill of a container that did not run with the latest recommendation: its memory
	// says little about the recommendation.
	unappliedExtra = 0.01
	// maxKills are remembered one by one; before the oldest of them, all count as known.
	maxKills = 64
	// evictionFloorFor is how long an eviction under memory pressure keeps memory up.
	evictionFloorFor = 8 * secondsPerHour
)

// Kill is one OOM kill of a container.
type Kill struct {
	Pod string
	At  time.Time
	// MemoryBytes is what the container was known to use, or its limit; 0 when unknown. It counts as a sample.
	MemoryBytes float64
	// Applied is true when the killed container ran with the latest recommendation. Otherwise the kill says little
	// about the recommendation, and only a trace is added.
	Applied bool
	// ID identifies the kill, for example the container ID of lastState. A kill that was counted before is ignored,
	// across restarts of the recommender too. Empty: Pod and At identify it.
	ID string
}

func (k Kill) mark() killMark {
	h := fnv.New64a()
	id := k.ID
	if id == "" {
		id = k.Pod + "@" + strconv.FormatInt(k.At.Unix(), 10)
	}
	_, _ = h.Write([]byte(id)) // a hash never fails
	return killMark{id: h.Sum64(), at: seconds(k.At)}
}

// Decay is what is left of an addition to the memory factor after a time: half every 72 h.
func Decay(extra float64, after time.Duration) float64 {
	return extra * math.Exp2(-max(after.Seconds(), 0)/oomHalfLife)
}

// Raise is the addition to the memory factor after a kill, given what is left of the additions before.
func (p OOM) Raise(left float64, applied bool) float64 {
	if !applied {
		return max(left, min(unappliedExtra, p.Max-1))
	}
	return max(left, min(left+p.Step, p.Max-1))
}

// OOM counts an OOM kill and tells whether it was new. A kill before the retention is not.
func (s *Store) OOM(k Key, kill Kill, p OOM) bool {
	id := s.workloadID(k.Namespace, k.Kind, k.Name)
	sh := s.shardOf(id)
	sh.mu.Lock()
	c := s.container(sh, id, k)
	counted := c.kill(kill, p, s.retention*secondsPerHour)
	sh.mu.Unlock()
	if counted && kill.MemoryBytes > 0 {
		s.Observe(k, kill.Pod, kill.At, math.NaN(), kill.MemoryBytes)
	}
	return counted
}

func (c *container) kill(kill Kill, p OOM, retention uint32) bool {
	mark := kill.mark()
	in := c.incident()
	if mark.at <= in.watermark || mark.at+retention < c.last ||
		slices.ContainsFunc(in.kills, func(m killMark) bool { return m.id == mark.id }) {
		return false
	}
	at, _ := slices.BinarySearchFunc(in.kills, mark.at, func(m killMark, t uint32) int { return int(int64(m.at) - int64(t)) })
	in.kills = slices.Insert(in.kills, at, mark)
	if len(in.kills) > maxKills {
		in.watermark = max(in.watermark, in.kills[0].at)
		in.kills = slices.Delete(in.kills, 0, 1)
	}
	now := max(mark.at, in.extraAt)
	in.extra = p.Raise(in.left(now), kill.Applied)
	in.extraAt = now
	return true
}

// left is what remains of the addition at a time.
func (in *incidents) left(at uint32) float64 {
	if in == nil || in.extra == 0 {
		return 0
	}
	return Decay(in.extra, time.Duration(at-min(at, in.extraAt))*time.Second)
}

// Evicted notes that a pod was evicted under memory pressure that it caused while it used memoryBytes: for 8 h the
// container is given at least that, plus overhead. It tells whether that was not known before. The caller makes sure of
// all three: that the pod is managed, was the cause, and that its usage is known.
func (s *Store) Evicted(k Key, at time.Time, memoryBytes float64) bool {
	if !(memoryBytes > 0) || math.IsInf(memoryBytes, 1) {
		return false
	}
	id := s.workloadID(k.Namespace, k.Kind, k.Name)
	sh := s.shardOf(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	in := s.container(sh, id, k).incident()
	end := seconds(at) + evictionFloorFor
	known := end <= in.floorEnd && memoryBytes <= in.floor
	over := end <= in.floorEnd-min(in.floorEnd, evictionFloorFor) // it was over when the latest came
	if known || over {
		return false
	}
	if seconds(at) > in.floorEnd {
		in.floor = 0
	}
	in.floor = max(in.floor, memoryBytes)
	in.floorEnd = max(in.floorEnd, end)
	return true
}
