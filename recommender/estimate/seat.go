package estimate

import (
	"encoding/binary"
	"math"
	"time"
)

const (
	// bufferLength samples are held before they are encoded: it spreads the cost of encoding.
	bufferLength = 12
	// missing marks the resource that a buffered sample lacks.
	missing = math.MaxUint16
	// staleAfter is how long a seat keeps its pod without a sample.
	staleAfter = 10 * 60 // seconds
	// budgetPerSeat bounds the bytes of a series of 8 d; longer retentions get proportionally more.
	budgetPerSeat = 512
	// reserve of the budget is left to the open hour, which grows in place.
	reserve  = 64
	growStep = 64
)

// seat is the series of one replica. It is 128 bytes.
type seat struct {
	data      []byte // encoded series, oldest slice first
	container *container
	pod       string
	id        uint64 // the key in the shard's index
	buffer    [bufferLength]struct{ cpu, memory uint16 }
	top       [resources]position // maxima of the buffer
	hour      uint32              // of the samples in the buffer, since 1970
	last      uint32              // time of the newest sample in seconds since 1970
	tailEnd   uint32              // end of the last slice in hours since 1970; 0: no slices
	tail      uint16              // where the last slice begins in data
	held      uint8               // samples in the buffer
	released  bool                // its pod is gone
}

const secondsPerHour = 3600

func hourOf(second uint32) uint32 { return second / secondsPerHour }

// seconds of a time since 1970, as far as 32 bits reach (2106).
func seconds(t time.Time) uint32 { return uint32(min(max(t.Unix(), 0), math.MaxUint32-1<<20)) }

func instant(second uint32) time.Time { return time.Unix(int64(second), 0).UTC() }

// pending adds the buffered samples to counts of either resource that are not nil.
func (x *seat) pending(c *[resources]*counts) {
	if x.held == 0 {
		return
	}
	cpus, memories := c[cpu], c[memory]
	for _, b := range x.buffer[:x.held] {
		if b.cpu != missing && cpus != nil {
			cpus.add(int(b.cpu), 1)
		}
		if b.memory != missing && memories != nil {
			memories.add(int(b.memory), 1)
		}
	}
	for r, k := range c {
		if k != nil && k.total > 0 {
			k.top = max(k.top, x.top[r])
		}
	}
}

// flush encodes the buffered samples into the series.
func (x *seat) flush(w *scratch, retention uint32) {
	if x.held == 0 {
		return
	}
	hour := x.hour
	w.reset()
	if x.tailEnd == hour+1 {
		// By far the most frequent: the samples belong to the last slice, and nothing before it changes.
		if s, _, err := parseSlice(x.data[x.tail:], 0); err == nil && s.addTo(&w.counts) == nil {
			x.pending(&w.counts)
			head := len(x.data) - len(s.body)
			out := w.bytes[0][:0]
			for _, c := range w.counts {
				out = c.appendTo(out)
			}
			w.bytes[0] = out
			x.set(x.data[:head], out)
			x.clearBuffer()
			if len(x.data) > budget(retention) {
				out, err := w.compact(x.data, x.tailEnd, retention, budget(retention)-reserve)
				x.replace(w, out, err)
			}
			return
		}
		w.reset()
	}
	x.pending(&w.counts)
	x.clearBuffer()
	out, err := w.insert(x.data, hour)
	if err == nil {
		out, err = w.compact(out, max(hour+1, x.tailEnd), retention, budget(retention)-reserve)
	}
	x.replace(w, out, err)
}

// replace makes a rewritten series the seat's.
func (x *seat) replace(w *scratch, out []byte, err error) {
	if err != nil {
		// The series is only ever written by this package and checked when it is read from a checkpoint. Were it
		// corrupt all the same, starting anew beats failing for ever.
		x.data, x.tail, x.tailEnd = x.data[:0], 0, 0
		return
	}
	x.set(nil, out)
	x.findTail(w)
}

func (x *seat) clearBuffer() { x.held, x.top = 0, [resources]position{} }

// budget is the bytes that a series may take.
func budget(retention uint32) int { return max(budgetPerSeat, budgetPerSeat*int(retention)/(8*24)) }

// set makes head and tail the series, growing in small steps: append would take up to twice what is needed.
func (x *seat) set(head, tail []byte) {
	need := len(head) + len(tail)
	if need > cap(x.data) {
		grown := make([]byte, len(head), (need+growStep-1)/growStep*growStep)
		copy(grown, head)
		head = grown
	} else if head == nil {
		head = x.data[:0]
	}
	head = append(head, tail...)
	x.data = head
}

// findTail finds the last slice after a series was rewritten.
func (x *seat) findTail(w *scratch) {
	x.tail, x.tailEnd = 0, 0
	list, err := w.parse(x.data)
	if err != nil || len(list) == 0 {
		return
	}
	last := list[len(list)-1]
	var head [2 * binary.MaxVarintLen64]byte
	prevEnd := uint32(0)
	if len(list) > 1 {
		prevEnd = list[len(list)-2].end
	}
	x.tail = uint16(len(x.data) - len(last.body) - len(appendSliceHead(head[:0], prevEnd, last)))
	x.tailEnd = last.end
}
