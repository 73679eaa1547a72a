package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// None is what a cell shows that has no figure.
const None = "–"

// Int is a number with thousands set apart, such as 20,000.
func Int[N ~int | ~int32 | ~int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return sign + s
}

// Float is a number with so many decimals, and None for one that is not finite.
func Float(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return None
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// Significant is a number with three significant digits or, from 1,000 on, all digits before the point.
func Significant(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return None
	case math.Abs(v) >= 1000:
		return Int(int64(math.Round(v)))
	case v == 0:
		return "0"
	default:
		return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
	}
}

// Seconds is a duration in the unit that suits it: 12.3 ms, 1.23 s.
func Seconds(s float64) string {
	switch {
	case math.IsNaN(s) || math.IsInf(s, 0):
		return None
	case s < 1e-3:
		return Significant(s*1e6) + " µs"
	case s < 1:
		return Significant(s*1e3) + " ms"
	default:
		return Significant(s) + " s"
	}
}

// Duration is Seconds of a time.Duration.
func Duration(d time.Duration) string { return Seconds(d.Seconds()) }

// Bytes is a size in binary units: 407 MiB.
func Bytes(n int64) string {
	v, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if math.Abs(v) < 1024 {
			break
		}
		v, unit = v/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return Significant(v) + " " + unit
}
