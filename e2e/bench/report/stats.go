package report

import (
	"cmp"
	"math"
	"slices"
)

// Median of values, NaN when there are none. Of an even number it is the mean of the two in the middle.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile of values, interpolated between neighbours; q is 0 to 1. It is NaN when there are no values.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := min(max(q, 0), 1) * float64(len(sorted)-1)
	low := int(at)
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// MedianBy is the element whose key is in the middle, the lower of the two of an even number: a run as it was, where a mean
// of two would be a run that never took place. It panics when there are none.
func MedianBy[T any, K cmp.Ordered](runs []T, key func(T) K) T {
	sorted := slices.SortedStableFunc(slices.Values(runs), func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	return sorted[(len(sorted)-1)/2]
}
