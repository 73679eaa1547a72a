package estimate

import "math"

// Bins are the buckets of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
// relative-error guarantees", VLDB 2019): bin i holds (floor·γ^(i−1), floor·γ^i], and bin 0 everything up to the
// floor. A value is reported as the point of its bin from which both ends are equally far, relatively.
const (
	gamma = 1.04
	// RelativeError bounds how far a reported percentile is from the sample of that rank, relative to the sample, for
	// samples of at least one thousandth of a core or 1 MiB. Below these, the error is absolute: at most as much.
	RelativeError = (gamma - 1) / (gamma + 1)
	// numBins reaches 500,000 cores and 480 TiB.
	numBins = 512

	cpuFloor    = 1       // thousandths of a core
	memoryFloor = 1 << 20 // bytes
)

// A position is a value on the scale of bins, with the bin in the upper bits and 256ths of its width below. It is used
// for maxima, which are kept more finely than the bins and rounded up: a maximum is never understated.
type position = uint32

const (
	fractionBits = 8
	fractions    = 1 << fractionBits
)

// scale maps values to bins.
type scale struct {
	// upper bound of each bin.
	upper     [numBins]float64
	perFloor  float64 // 1/floor
	perLnStep float64 // 1/ln γ
}

func newScale(floor float64) *scale {
	s := &scale{perFloor: 1 / floor, perLnStep: 1 / math.Log(gamma)}
	for i := range s.upper {
		s.upper[i] = floor * math.Pow(gamma, float64(i))
	}
	return s
}

// lower bound of a bin.
func (s *scale) lower(bin int) float64 {
	if bin == 0 {
		return 0
	}
	return s.upper[bin-1]
}

// position of a value that is neither negative nor NaN. What is above the highest bin counts as its upper bound.
func (s *scale) position(v float64) position {
	bin := 0
	if v > s.upper[0] {
		bin = min(int(math.Log(v*s.perFloor)*s.perLnStep)+1, numBins-1)
		// The logarithm may be off by a rounding error at the edge of a bin.
		if v <= s.upper[bin-1] {
			bin--
		} else if v > s.upper[bin] && bin < numBins-1 {
			bin++
		}
	}
	lower := s.lower(bin)
	part := math.Ceil((v-lower)/(s.upper[bin]-lower)*fractions) - 1
	return position(bin)<<fractionBits | position(min(max(part, 0), fractions-1))
}

// at is the value of a position, rounded up.
func (s *scale) at(p position) float64 {
	bin := int(p >> fractionBits)
	lower := s.lower(bin)
	return lower + (s.upper[bin]-lower)*float64(p&(fractions-1)+1)/fractions
}

// middle is the value that stands for a bin.
func (s *scale) middle(bin int) float64 {
	if bin == 0 {
		return s.upper[0]
	}
	return s.upper[bin] * 2 / (1 + gamma)
}

// counts is a sketch laid out for adding and reading; in a seat it lies encoded.
type counts struct {
	n      [numBins]uint32
	lo, hi int // the bins outside are zero; lo > hi: empty
	total  uint64
	top    position // the maximum; its bin is hi
}

func newCounts() *counts { return &counts{lo: numBins, hi: -1} }

func (c *counts) reset() {
	if c.hi >= c.lo {
		clear(c.n[c.lo : c.hi+1])
	}
	c.lo, c.hi, c.total, c.top = numBins, -1, 0, 0
}

func (c *counts) add(bin int, n uint32) {
	c.n[bin] += n
	c.total += uint64(n)
	c.lo, c.hi = min(c.lo, bin), max(c.hi, bin)
}

// percentile by nearest rank: the value of the ⌈q·n⌉th sample, q in (0, 1].
func (c *counts) percentile(q float64, s *scale) float64 {
	rank := max(uint64(math.Ceil(q*float64(c.total))), 1)
	if rank >= c.total {
		return s.at(c.top)
	}
	// Percentiles that are asked for are high: count from above.
	above := c.total - rank
	for bin := c.hi; bin >= c.lo; bin-- {
		n := uint64(c.n[bin])
		if n > above {
			return min(s.middle(bin), s.at(c.top))
		}
		above -= n
	}
	return s.at(c.top)
}

// mean of the samples, within the error of the bins.
func (c *counts) mean(s *scale) float64 {
	if c.total == 0 {
		return 0
	}
	sum := 0.0
	for bin := c.lo; bin <= c.hi; bin++ {
		if n := c.n[bin]; n != 0 {
			// In the lowest bin half its bound is nearer the truth than the bound.
			v := s.middle(bin)
			if bin == 0 {
				v /= 2
			}
			sum += v * float64(n)
		}
	}
	return sum / float64(c.total)
}
