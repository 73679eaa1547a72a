package cost

import (
	"fmt"
	"math"
)

// NanoUSD is money in billionths of a US dollar. It is an integer so that sums are exact; it overflows above 9 billion USD.
type NanoUSD int64

// USD turns dollars into NanoUSD, rounded to the nearest. NaN, which stands for an unknown price, has no amount: ok is false.
func USD(dollars float64) (amount NanoUSD, ok bool) {
	if math.IsNaN(dollars) || math.IsInf(dollars, 0) {
		return 0, false
	}
	return NanoUSD(math.Round(dollars * 1e9)), true
}

// Dollars is the amount as a float, for display.
func (m NanoUSD) Dollars() float64 { return float64(m) / 1e9 }

// String shows the amount in dollars with four decimals.
func (m NanoUSD) String() string { return fmt.Sprintf("$%.4f", m.Dollars()) }

// split divides an amount in proportion to weights, exactly: the parts add up to the amount. What rounding leaves over goes
// to the largest fractions, and of equal ones to the first (the largest remainder method). Weights must not be negative; where
// all are zero, every part is zero and rest is the whole amount.
func split(amount NanoUSD, weights []float64) (parts []NanoUSD, rest NanoUSD) {
	parts = make([]NanoUSD, len(weights))
	var sum float64
	for _, w := range weights {
		sum += w
	}
	if sum <= 0 {
		return parts, amount
	}
	rest = amount
	fractions := make([]float64, len(weights))
	for i, w := range weights {
		exact := float64(amount) * (w / sum)
		parts[i] = NanoUSD(math.Floor(exact))
		fractions[i] = exact - math.Floor(exact)
		rest -= parts[i]
	}
	// Floating point may leave rest off by more than the number of parts in either direction when the amount is huge; what the
	// largest fractions do not take, the largest part takes.
	for rest > 0 && int(rest) <= len(parts) {
		best := -1
		for i, f := range fractions {
			if f >= 0 && weights[i] > 0 && (best < 0 || f > fractions[best]) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		parts[best]++
		fractions[best] = -1
		rest--
	}
	if rest != 0 {
		largest := 0
		for i := range weights {
			if weights[i] > weights[largest] {
				largest = i
			}
		}
		parts[largest] += rest
		rest = 0
	}
	return parts, rest
}
