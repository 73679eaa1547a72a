package estimate

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// A section is one sketch, encoded:
//
//	uvarint bins                 0: no samples, and nothing follows
//	uvarint lowest bin
//	byte    fraction of the maximum within the highest bin
//	uvarint bytes of payload << 3 | k
//	payload the counts of the bins as Exp-Golomb codes of order k, most significant bit first
//
// Exp-Golomb codes take one bit for a zero and twice the logarithm of anything else, so that a narrow distribution and
// one with a far outlier are both small.

// maxCount keeps every code within 57 bits, which is what a refilled window is sure to hold.
const (
	maxCount = 1<<27 - 1
	maxOrder = 7
)

var errCorrupt = errors.New("corrupt usage history")

func codeBits(n uint32, k int) int { return 2*bits.Len32(n+1<<k) - 1 - k }

// order returns the best order for the counts, near the one that suits their mean, and the bytes it takes.
func (c *counts) order() (k, size int) {
	guess := min(bits.Len64(c.total/uint64(c.hi-c.lo+1)), maxOrder)
	size = -1
	for try := max(guess-2, 0); try <= guess; try++ {
		sum := 0
		for _, n := range c.n[c.lo : c.hi+1] {
			sum += codeBits(min(n, maxCount), try)
		}
		if b := (sum + 7) / 8; size < 0 || b < size {
			k, size = try, b
		}
	}
	return k, size
}

func (c *counts) appendTo(b []byte) []byte {
	if c.total == 0 {
		return append(b, 0)
	}
	k, size := c.order()
	b = binary.AppendUvarint(b, uint64(c.hi-c.lo+1))
	b = binary.AppendUvarint(b, uint64(c.lo))
	b = append(b, byte(c.top))
	b = binary.AppendUvarint(b, uint64(size)<<3|uint64(k))
	var acc uint64 // bits not yet written, in the low end
	held := 0
	for _, n := range c.n[c.lo : c.hi+1] {
		n = min(n, maxCount)
		length := codeBits(n, k)
		if held+length > 64 {
			for held >= 8 {
				held -= 8
				b = append(b, byte(acc>>held))
			}
		}
		acc = acc<<length | uint64(n+1<<k)
		held += length
	}
	for held >= 8 {
		held -= 8
		b = append(b, byte(acc>>held))
	}
	if held > 0 {
		b = append(b, byte(acc<<(8-held)))
	}
	return b
}

// section is the head of an encoded section.
type section struct {
	bins, lo int
	k        int
	top      position
	payload  []byte
}

// parseSection reads a head and returns what follows the section. It trusts nothing.
func parseSection(b []byte) (s section, rest []byte, err error) {
	bins, n := binary.Uvarint(b)
	if n <= 0 || bins > numBins {
		return s, nil, errCorrupt
	}
	b = b[n:]
	if bins == 0 {
		return s, b, nil
	}
	lo, n := binary.Uvarint(b)
	if n <= 0 || lo+bins > numBins || lo >= numBins || len(b) <= n {
		return s, nil, errCorrupt
	}
	fraction := b[n]
	b = b[n+1:]
	head, n := binary.Uvarint(b)
	if n <= 0 || head>>3 > uint64(len(b)-n) {
		return s, nil, errCorrupt
	}
	b = b[n:]
	s = section{bins: int(bins), lo: int(lo), k: int(head & 7), payload: b[:head>>3]}
	s.top = position(s.lo+s.bins-1)<<fractionBits | position(fraction)
	return s, b[len(s.payload):], nil
}

// addTo adds the samples of a section to counts.
func (s section) addTo(c *counts) error {
	if s.bins == 0 {
		return nil
	}
	var window uint64 // unread bits, in the high end
	held := 0
	p := s.payload
	k := s.k
	sum := uint64(0)
	c.lo, c.hi = min(c.lo, s.lo), max(c.hi, s.lo+s.bins-1)
	for bin := s.lo; bin < s.lo+s.bins; bin++ {
		if held < 57 {
			if len(p) >= 8 && held <= 56 {
				window |= binary.BigEndian.Uint64(p) >> held
				take := (63 - held) >> 3
				p = p[take:]
				held += take << 3
			} else {
				for held <= 56 && len(p) > 0 {
					window |= uint64(p[0]) << (56 - held)
					p = p[1:]
					held += 8
				}
			}
		}
		length := 2*bits.LeadingZeros64(window) + k + 1
		if length > held {
			return errCorrupt
		}
		n := uint32(window>>(64-length)) - 1<<k
		window <<= length
		held -= length
		c.n[bin] += n
		sum += uint64(n)
	}
	c.total += sum
	c.top = max(c.top, s.top)
	return nil
}
