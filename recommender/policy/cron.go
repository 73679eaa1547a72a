package policy

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// crontab is a cron expression in a time zone. It is parsed by robfig/cron and evaluated here, because that package
// skips what falls into the hour that daylight saving leaves out, and a window that opens at night would be missed.
//
// As in Vixie cron: a time that does not exist fires when the clock jumps over it, and one that comes twice fires the
// first time only, unless every hour is asked for.
type crontab struct {
	minute, hour, dom, month, dow uint64
	everyHour                     bool
	zone                          *time.Location
}

const star = 1 << 63 // robfig/cron's mark of a field that is *

var (
	errNeverFires = errors.New("never fires: no month that it names has such a day")
	errFields     = errors.New("must have five fields: minute hour day-of-month month day-of-week")
)

func parseCron(expression string, zone *time.Location) (crontab, error) {
	if n := len(strings.Fields(expression)); n != 5 || strings.Contains(expression, "=") {
		return crontab{}, fmt.Errorf("%q %w", expression, errFields)
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	parsed, err := parser.Parse(expression)
	if err != nil {
		return crontab{}, fmt.Errorf("%q is not a cron expression: %w", expression, err)
	}
	s, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return crontab{}, fmt.Errorf("%q %w", expression, errFields)
	}
	c := crontab{minute: s.Minute &^ star, hour: s.Hour &^ star, dom: s.Dom, month: s.Month, dow: s.Dow, zone: zone}
	c.everyHour = bits.OnesCount64(c.hour) == 24
	if !c.fires() {
		return crontab{}, fmt.Errorf("%q %w", expression, errNeverFires)
	}
	return c, nil
}

// fires tells whether there is any day on which the expression fires. Eight years hold every date but one: between
// 2024 and 2032 there is a leap day, and every date falls on each day of the week within 28 years.
func (c crontab) fires() bool {
	from := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for d := from; d.Year() < from.Year()+28; d = d.AddDate(0, 0, 1) {
		if c.on(d) {
			return true
		}
	}
	return false
}

// on tells whether the expression fires on the date of d. Where both day fields are given, either is enough.
func (c crontab) on(d time.Time) bool {
	if c.month&(1<<uint(d.Month())) == 0 {
		return false
	}
	dom := c.dom&(1<<uint(d.Day())) != 0
	dow := c.dow&(1<<uint(d.Weekday())) != 0
	if c.dom&star != 0 || c.dow&star != 0 {
		return dom && dow
	}
	return dom || dow
}

// starts calls yield with the instants at which the expression fires on a date, about in order, until it returns false.
func (c crontab) starts(date time.Time, yield func(time.Time) bool) {
	if !c.on(date) {
		return
	}
	y, m, d := date.Date()
	for hours := c.hour; hours != 0; hours &= hours - 1 {
		hour := bits.TrailingZeros64(hours)
		for minutes := c.minute; minutes != 0; minutes &= minutes - 1 {
			first, second := instants(y, m, d, hour, bits.TrailingZeros64(minutes), c.zone)
			if !yield(first) || c.everyHour && !second.IsZero() && !yield(second) {
				return
			}
		}
	}
}

// instants of a time on the wall: the second is zero unless the time comes twice.
func instants(y int, m time.Month, d, hour, minute int, zone *time.Location) (first, second time.Time) {
	t := time.Date(y, m, d, hour, minute, 0, 0, zone)
	start, end := t.ZoneBounds()
	wall := hour*60 + minute
	if got := t.Hour()*60 + t.Minute(); got != wall || t.Day() != d {
		// The time does not exist: time.Date answers on one side of the jump or the other.
		if t.Day() == d && got > wall || t.Day() != d && wall > 12*60 {
			return start, time.Time{}
		}
		return end, time.Time{}
	}
	_, offset := t.Zone()
	if !start.IsZero() {
		_, before := start.Add(-time.Nanosecond).Zone()
		if alt := t.Add(time.Duration(offset-before) * time.Second); before > offset && alt.Before(start) {
			return alt, t
		}
	}
	if !end.IsZero() {
		_, after := end.Zone()
		if alt := t.Add(time.Duration(offset-after) * time.Second); after < offset && !alt.Before(end) {
			return t, alt
		}
	}
	return t, time.Time{}
}

// latest is the last instant at or before t, and after t−within, at which the expression fires.
func (c crontab) latest(t time.Time, within time.Duration) (time.Time, bool) {
	oldest := t.Add(-within)
	var best time.Time
	for date := noon(t.In(c.zone)).AddDate(0, 0, 1); ; date = date.AddDate(0, 0, -1) {
		c.starts(date, func(at time.Time) bool {
			if !at.After(t) && at.After(oldest) && at.After(best) {
				best = at
			}
			return !at.After(t.Add(3 * time.Hour)) // no jump of the clock is longer
		})
		if !best.IsZero() {
			return best, true
		}
		if date.Before(oldest.AddDate(0, 0, -2)) {
			return time.Time{}, false
		}
	}
}

// next is the first instant after t at which the expression fires; false if there is none within a year.
func (c crontab) next(t time.Time) (time.Time, bool) {
	date := noon(t.In(c.zone)).AddDate(0, 0, -1)
	var best time.Time
	for range 368 {
		c.starts(date, func(at time.Time) bool {
			if at.After(t) && (best.IsZero() || at.Before(best)) {
				best = at
			}
			return best.IsZero() || !at.After(best.Add(3*time.Hour))
		})
		if !best.IsZero() {
			return best, true
		}
		date = date.AddDate(0, 0, 1)
	}
	return time.Time{}, false
}

// noon of a date: days are counted from there because no clock jumps at noon.
func noon(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 12, 0, 0, 0, t.Location())
}
