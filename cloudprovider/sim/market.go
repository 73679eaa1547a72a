package sim

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"time"

	"supercargo.dev/cloudprovider/catalog"
)

// market tells what an offering costs at any time. It is a pure function of its seed: spot prices of any instant can
// be computed in any order, and two clouds with one seed have one market.
//
// A spot price is constant for an interval, then moves. It stays within the minimum and maximum that the catalog
// states for the type, and its mean over time and zones is near the catalog's average. The movement is value noise
// (hashed lattice points, smoothly interpolated) at three scales: a level per zone that stays, a daily swing, and
// hours.
type market struct {
	seed     uint64
	interval time.Duration
}

// The weights of the three scales sum to 1.
const (
	zoneWeight, dayWeight, hourWeight = 0.4, 0.35, 0.25
	dayPeriod                         = 24 * time.Hour
	hourPeriod                        = 3 * time.Hour
	// priceUnit is the granularity of spot prices, USD per hour.
	priceUnit = 0.0001
)

// price is USD per hour at an instant, and false when the offering has no market.
func (m market) price(t *catalog.Type, zone, capacityType string, at time.Time) (float64, bool) {
	switch capacityType {
	case OnDemand:
		return t.OnDemand, t.OnDemand > 0
	case Spot:
		return m.spot(t, zone, at), t.Spot.Known()
	}
	return math.NaN(), false
}

func (m market) spot(t *catalog.Type, zone string, at time.Time) float64 {
	low, high := t.Spot.Min, t.Spot.Max
	if !(high > low) {
		return t.Spot.Avg
	}
	at = at.Truncate(m.interval)
	u := zoneWeight*m.lattice(t.Name, zone, 0, 0) +
		dayWeight*m.noise(t.Name, zone, 1, at, dayPeriod) +
		hourWeight*m.noise(t.Name, zone, 2, at, hourPeriod)
	// u has mean 1/2; u^g has its mean near the place of the average in the range.
	place := min(max((t.Spot.Avg-low)/(high-low), 0.1), 0.9)
	u = math.Pow(u, math.Log(place)/math.Log(0.5))
	price := math.Round((low+u*(high-low))/priceUnit) * priceUnit
	return min(max(price, low), high)
}

// noise interpolates between lattice points a period apart.
func (m market) noise(name, zone string, scale uint64, at time.Time, period time.Duration) float64 {
	x := float64(at.UnixNano()) / float64(period)
	k := math.Floor(x)
	f := x - k
	f = f * f * (3 - 2*f)
	a, b := m.lattice(name, zone, scale, int64(k)), m.lattice(name, zone, scale, int64(k)+1)
	return a + f*(b-a)
}

// lattice is a number in [0, 1) that depends on everything given.
func (m market) lattice(name, zone string, scale uint64, k int64) float64 {
	h := fnv.New64a()
	var b [24]byte
	binary.LittleEndian.PutUint64(b[0:], m.seed)
	binary.LittleEndian.PutUint64(b[8:], scale)
	binary.LittleEndian.PutUint64(b[16:], uint64(k)) //nolint:gosec // any bit pattern will do
	for _, part := range [][]byte{b[:], []byte(name), {0}, []byte(zone)} {
		if _, err := h.Write(part); err != nil {
			return 0 // a hash never fails
		}
	}
	// FNV's low bits are good, its high bits are not: mix (splitmix64's finalizer) before taking the top 53.
	z := h.Sum64()
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}

// next is when the price of an offering may change after an instant; the zero time when it never does.
func (m market) next(capacityType string, at time.Time) time.Time {
	if capacityType != Spot {
		return time.Time{}
	}
	return at.Truncate(m.interval).Add(m.interval)
}
