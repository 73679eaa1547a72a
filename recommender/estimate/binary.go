package estimate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A checkpoint is
//
//	"SCh"   magic
//	byte    version
//	content: strings and numbers as below, lengths and numbers as uvarints
//	4 bytes CRC-32C of all before, big endian
const (
	checkpointMagic   = "SCh"
	checkpointVersion = 2
	// checkpointBefore had neither surges nor patterns; it is still read.
	checkpointBefore = 1
	// maxName is more than any name in Kubernetes may have.
	maxName = 1024
)

// ErrCorrupt is returned for a checkpoint that was not written by MarshalBinary or was damaged since.
var ErrCorrupt = errors.New("corrupt checkpoint of usage history")

// MarshalBinary writes a history: a version, the content and a checksum.
func (h History) MarshalBinary() ([]byte, error) {
	b := append([]byte(checkpointMagic), checkpointVersion)
	for _, s := range []string{h.Workload.Namespace, h.Workload.Kind, h.Workload.Name} {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(h.containers)))
	for _, c := range h.containers {
		b = appendString(b, c.name)
		b = binary.AppendUvarint(b, uint64(c.first))
		b = binary.AppendUvarint(b, uint64(c.last))
		b = binary.AppendUvarint(b, uint64(len(c.hours)))
		for _, w := range c.hours {
			b = binary.BigEndian.AppendUint64(b, w)
		}
		b = appendIncidents(b, c.incidents)
		b = appendPattern(b, c.pattern)
		b = binary.AppendUvarint(b, uint64(len(c.seats)))
		for _, x := range c.seats {
			b = appendString(b, x.pod)
			b = binary.AppendUvarint(b, uint64(x.last))
			b = appendFlag(b, x.released)
			b = binary.AppendUvarint(b, uint64(len(x.data)))
			b = append(b, x.data...)
		}
	}
	return binary.BigEndian.AppendUint32(b, checksum(b)), nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendFlag(b []byte, f bool) []byte {
	if f {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendIncidents(b []byte, in *incidents) []byte {
	b = appendFlag(b, in != nil)
	if in == nil {
		return b
	}
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(in.extra))
	b = binary.AppendUvarint(b, uint64(in.extraAt))
	b = binary.AppendUvarint(b, uint64(in.watermark))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(in.floor))
	b = binary.AppendUvarint(b, uint64(in.floorEnd))
	for _, v := range in.held {
		b = binary.AppendUvarint(b, uint64(v))
	}
	for _, since := range in.surge {
		b = binary.AppendUvarint(b, uint64(since))
	}
	b = binary.AppendUvarint(b, uint64(len(in.kills)))
	for _, k := range in.kills {
		b = binary.BigEndian.AppendUint64(b, k.id)
		b = binary.AppendUvarint(b, uint64(k.at))
	}
	return b
}

func appendPattern(b []byte, p *pattern) []byte {
	b = appendFlag(b, p != nil)
	if p == nil {
		return b
	}
	b = binary.AppendUvarint(b, uint64(p.next))
	for _, week := range p.weeks {
		for _, bin := range week {
			b = binary.AppendUvarint(b, uint64(bin))
		}
	}
	return b
}

// UnmarshalBinary reads what MarshalBinary wrote. Anything else is an ErrCorrupt and leaves h as it was.
func (h *History) UnmarshalBinary(data []byte) error {
	const head = len(checkpointMagic) + 1
	if len(data) < head+4 || string(data[:len(checkpointMagic)]) != checkpointMagic {
		return fmt.Errorf("%w: not a checkpoint", ErrCorrupt)
	}
	version := data[head-1]
	if version != checkpointVersion && version != checkpointBefore {
		return fmt.Errorf("%w: version %d is neither %d nor %d", ErrCorrupt, version, checkpointVersion, checkpointBefore)
	}
	body := data[:len(data)-4]
	if binary.BigEndian.Uint32(data[len(body):]) != checksum(body) {
		return fmt.Errorf("%w: checksum does not match", ErrCorrupt)
	}
	r := reader{b: body[head:], version: version}
	var out History
	out.Workload = Workload{r.string(), r.string(), r.string()}
	for range r.count(1) {
		out.containers = append(out.containers, r.container())
	}
	if r.failed || len(r.b) != 0 {
		return fmt.Errorf("%w: malformed content", ErrCorrupt)
	}
	*h = out
	return nil
}

// reader reads fields until one is malformed; from then on everything is zero.
type reader struct {
	b       []byte
	version byte
	failed  bool
}

func (r *reader) fail() {
	r.failed = true
	r.b = nil
}

func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) second() uint32 { return uint32(r.number(math.MaxUint32)) }

// count of things that take at least size bytes each: more than can follow is malformed.
func (r *reader) count(size int) int { return int(r.number(uint64(len(r.b) / size))) }

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.fail()
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) string() string { return string(r.bytes(int(r.number(maxName)))) }

func (r *reader) flag() bool {
	b := r.bytes(1)
	if len(b) == 1 && b[0] > 1 {
		r.fail()
	}
	return len(b) == 1 && b[0] == 1
}

func (r *reader) fixed() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) amount() float64 {
	v := math.Float64frombits(r.fixed())
	if !finite(v) {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) container() containerHistory {
	c := containerHistory{name: r.string(), first: r.second(), last: r.second()}
	for range r.count(8) {
		c.hours = append(c.hours, r.fixed())
	}
	if c.first > c.last || hourOf(c.last) > maxHour || (c.last > 0 && len(c.hours) == 0) {
		r.fail()
	}
	c.incidents = r.incidents()
	if r.version > checkpointBefore {
		c.pattern = r.pattern()
	}
	for range r.count(4) {
		x := seatHistory{pod: r.string(), last: r.second(), released: r.flag()}
		x.data = append([]byte(nil), r.bytes(r.count(1))...)
		if hourOf(x.last) > maxHour || !validSeries(x.data) {
			r.fail()
		}
		if r.failed {
			return c
		}
		c.seats = append(c.seats, x)
	}
	return c
}

func (r *reader) incidents() *incidents {
	if !r.flag() {
		return nil
	}
	in := &incidents{extra: r.amount(), extraAt: r.second(), watermark: r.second(), floor: r.amount(), floorEnd: r.second()}
	for i := range in.held {
		in.held[i] = int64(r.number(math.MaxInt64))
	}
	if r.version > checkpointBefore {
		for i := range in.surge {
			in.surge[i] = r.second()
		}
	}
	for range r.count(9) {
		in.kills = append(in.kills, killMark{id: r.fixed(), at: r.second()})
	}
	if len(in.kills) > maxKills || hourOf(max(in.extraAt, in.watermark, in.floorEnd, in.surge[cpu], in.surge[memory])) > maxHour {
		r.fail()
	}
	return in
}

func (r *reader) pattern() *pattern {
	if !r.flag() {
		return nil
	}
	p := &pattern{next: uint32(r.number(maxHour))} //nolint:gosec // bounded
	for h := range p.weeks {
		for w := range p.weeks[h] {
			p.weeks[h][w] = uint16(r.number(numBins)) //nolint:gosec // bounded
		}
	}
	return p
}

// validSeries tells whether a series can be read to its end.
func validSeries(data []byte) bool {
	n, prevEnd := 0, uint32(0)
	scratch := newScratch()
	for len(data) > 0 {
		s, rest, err := parseSlice(data, prevEnd)
		if n++; err != nil || n > maxSlices {
			return false
		}
		if err := s.addTo(&scratch.counts); err != nil {
			return false
		}
		prevEnd, data = s.end, rest
	}
	return true
}
