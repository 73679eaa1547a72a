package sim

import (
	"container/heap"
	"time"
)

// agenda holds what will happen, in order of time and, at one time, in order of arrival.
type agenda struct {
	events []event
	seq    int
}

type event struct {
	at  time.Time
	seq int
	do  func(now time.Time)
}

// add plans an event.
func (a *agenda) add(at time.Time, do func(now time.Time)) {
	a.seq++
	heap.Push(a, event{at: at, seq: a.seq, do: do})
}

// due takes the next event that is due.
func (a *agenda) due(now time.Time) (event, bool) {
	if len(a.events) == 0 || a.events[0].at.After(now) {
		return event{}, false
	}
	return heap.Pop(a).(event), true // only events are pushed
}

// next is when the next event is due.
func (a *agenda) next() (time.Time, bool) {
	if len(a.events) == 0 {
		return time.Time{}, false
	}
	return a.events[0].at, true
}

// Len is part of heap.Interface.
func (a *agenda) Len() int { return len(a.events) }

// Less is part of heap.Interface.
func (a *agenda) Less(i, j int) bool {
	if !a.events[i].at.Equal(a.events[j].at) {
		return a.events[i].at.Before(a.events[j].at)
	}
	return a.events[i].seq < a.events[j].seq
}

// Swap is part of heap.Interface.
func (a *agenda) Swap(i, j int) { a.events[i], a.events[j] = a.events[j], a.events[i] }

// Push is part of heap.Interface.
func (a *agenda) Push(x any) { a.events = append(a.events, x.(event)) } // only events are pushed

// Pop is part of heap.Interface.
func (a *agenda) Pop() any {
	last := len(a.events) - 1
	e := a.events[last]
	a.events[last] = event{}
	a.events = a.events[:last]
	return e
}
