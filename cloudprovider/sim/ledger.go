package sim

import (
	"time"

	"supercargo.dev/cloudprovider/catalog"
)

// account is the bill of one instance, integrated over the market's prices.
type account struct {
	bill    Bill
	typ     *catalog.Type
	settled time.Time
}

// settle adds what the instance cost from the last settlement until now, or until it ended. Prices are constant
// between the market's changes, so the integral is exact.
func (a *account) settle(m market, now time.Time) {
	if a.bill.End != nil && a.bill.End.Before(now) {
		now = *a.bill.End
	}
	for a.settled.Before(now) {
		until := now
		if next := m.next(a.bill.CapacityType, a.settled); !next.IsZero() && next.Before(now) {
			until = next
		}
		if price, ok := m.price(a.typ, a.bill.Zone, a.bill.CapacityType, a.settled); ok {
			a.bill.SpentUSD += price * until.Sub(a.settled).Hours()
		}
		a.settled = until
	}
}

// statement is the bill as of now.
func (a *account) statement(m market, now time.Time, history bool) Bill {
	a.settle(m, now)
	b := a.bill
	if b.End == nil {
		b.USDPerHour, _ = m.price(a.typ, b.Zone, b.CapacityType, now)
	}
	if history {
		b.History = a.history(m, now)
	}
	return b
}

// history lists the prices that applied and since when.
func (a *account) history(m market, now time.Time) []PricePoint {
	if a.bill.End != nil {
		now = *a.bill.End
	}
	var points []PricePoint
	for at := a.bill.Start; !at.After(now); {
		price, ok := m.price(a.typ, a.bill.Zone, a.bill.CapacityType, at)
		if n := len(points); ok && (n == 0 || points[n-1].USDPerHour != price) {
			points = append(points, PricePoint{At: at, USDPerHour: price})
		}
		if at = m.next(a.bill.CapacityType, at); at.IsZero() {
			break
		}
	}
	return points
}
