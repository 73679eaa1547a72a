package estimate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// exact is the percentile by nearest rank.
func exact(values []float64, q float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1]
}

func TestEveryPercentileIsWithinTheStatedError(t *testing.T) {
	s := newScale(cpuFloor)
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(cpuFloor, 400_000), 1, 300).Draw(t, "values")
		if rapid.Bool().Draw(t, "close together") {
			for i := range values {
				values[i] = 100 + math.Mod(values[i], 50)
			}
		}
		c := newCounts()
		for _, v := range values {
			p := s.position(v)
			c.add(int(p>>fractionBits), 1)
			c.top = max(c.top, p)
		}
		q := rapid.Float64Range(0.01, 1).Draw(t, "q")
		want, got := exact(values, q), c.percentile(q, s)
		if math.Abs(got-want) > RelativeError*want*(1+1e-9) {
			t.Fatalf("percentile %v of %d values: got %v, want %v within %.2f%%", q, len(values), got, want, 100*RelativeError)
		}
	})
}

func TestAMaximumIsNeverUnderstated(t *testing.T) {
	for name, s := range map[string]*scale{"cpu": newScale(cpuFloor), "memory": newScale(memoryFloor)} {
		r := rand.New(rand.NewPCG(1, 2))
		for range 200_000 {
			v := math.Exp(r.Float64()*math.Log(s.upper[numBins-1]/s.upper[0])) * s.upper[0] * 0.5
			got := s.at(s.position(v))
			if got < v || got > max(v*(1+gamma/fractions), v+s.upper[0]/fractions) {
				t.Fatalf("%s: %v came back as %v", name, v, got)
			}
		}
		for bin := range numBins {
			if got := int(s.position(s.upper[bin]) >> fractionBits); got != bin {
				t.Fatalf("%s: the upper bound of bin %d lies in bin %d", name, bin, got)
			}
		}
	}
}

// drawCounts draws a sketch of some samples.
func drawCounts(t *rapid.T, label string) *counts {
	c := newCounts()
	bins := rapid.SliceOfN(rapid.IntRange(0, numBins-1), 0, 60).Draw(t, label)
	for _, b := range bins {
		c.add(b, rapid.Uint32Range(1, 5000).Draw(t, label+" n"))
		c.top = max(c.top, position(b)<<fractionBits|rapid.Uint32Range(0, fractions-1).Draw(t, label+" fraction"))
	}
	return c
}

func encoded(c ...*counts) []slice {
	var out []slice
	for i, k := range c {
		body := newCounts().appendTo(k.appendTo(nil))
		out = append(out, slice{start: uint32(i), end: uint32(i) + 1, body: body})
	}
	return out
}

func TestEncodingLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawCounts(t, "bins")
		s, rest, err := parseSection(want.appendTo(nil))
		if err != nil || len(rest) != 0 {
			t.Fatalf("reading what was written: %v, %d bytes left", err, len(rest))
		}
		got := newCounts()
		if err := s.addTo(got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(counts{})); d != "" {
			t.Fatal(d)
		}
	})
}

func TestMergingIsAssociativeAndCommutative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawCounts(t, "a"), drawCounts(t, "b"), drawCounts(t, "c")
		merge := func(order ...*counts) []byte {
			w := newScratch()
			list := encoded(order...)
			first, err := w.appendMerged(nil, 0, list[:2])
			if err != nil {
				t.Fatal(err)
			}
			s, _, err := parseSlice(first, 0)
			if err != nil {
				t.Fatal(err)
			}
			both, err := w.appendMerged(nil, 0, []slice{s, list[2]})
			if err != nil {
				t.Fatal(err)
			}
			return both
		}
		want := merge(a, b, c)
		for _, got := range [][]byte{merge(b, c, a), merge(c, a, b), merge(b, a, c)} {
			if d := cmp.Diff(want, got); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func FuzzSection(f *testing.F) {
	f.Add([]byte{0})
	f.Add(newCounts().appendTo(nil))
	c := newCounts()
	c.add(3, 7)
	c.add(400, 1)
	c.top = 400<<fractionBits | 9
	f.Add(c.appendTo(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, _, err := parseSection(data)
		if err != nil {
			return
		}
		got := newCounts()
		if s.addTo(got) != nil {
			return
		}
		got.percentile(0.5, newScale(1))
	})
}
