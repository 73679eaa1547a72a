package catalog

import (
	"fmt"
	"math"
)

// hoursPerMonth is the vendor's month of price calculations: 365 days / 12.
const hoursPerMonth = 730

// Band is the share of instances interrupted within a month, as the AWS Spot Instance Advisor states it: 0 to 1.
type Band struct {
	// Low and High bound the share; NaN when unknown. The highest band (">20%") has no upper bound: High is 1.
	Low, High float64
}

// Known says that the vendor states a band.
func (b Band) Known() bool { return !math.IsNaN(b.Low) }

// PerHour is the rate of interruptions per running hour, and false when the band is unknown.
//
// A share f of instances interrupted in a month of 730 hours is, at a constant rate r, f = 1 - exp(-730 r). f is
// the middle of the band; of the open band ">20%" it is 25%, as if it were as wide as the two below it together.
func (b Band) PerHour() (float64, bool) {
	if !b.Known() {
		return 0, false
	}
	high := b.High
	if high == 1 {
		high = 0.30
	}
	return -math.Log1p(-(b.Low+high)/2) / hoursPerMonth, true
}

func unknownBand() Band { return Band{Low: math.NaN(), High: math.NaN()} }

// band reads the number of a band: 0 is below 5%, 4 above 20%, empty unknown.
func (f *fields) band() Band {
	s := f.text()
	if s == "" {
		return unknownBand()
	}
	if len(s) != 1 || s[0] < '0' || s[0] > '4' {
		if f.err == nil {
			f.err = fmt.Errorf("interruption band %q is not 0 to 4", s)
		}
		return unknownBand()
	}
	if s[0] == '4' {
		return Band{Low: 0.20, High: 1}
	}
	n := float64(s[0] - '0')
	return Band{Low: n * 0.05, High: (n + 1) * 0.05}
}
