package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"supercargo.dev/api/v1alpha1"
)

func item(name, cron string, duration time.Duration, zone string, mode v1alpha1.UpdateMode) v1alpha1.ScheduleItem {
	i := v1alpha1.ScheduleItem{Name: name, Schedule: cron, Timezone: zone, Mode: mode}
	if cron != "" {
		i.Duration = &metav1.Duration{Duration: duration}
	}
	return i
}

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestTheLastItemInForceDecides(t *testing.T) {
	inPlace, reCreate, onCreate, off := v1alpha1.UpdateModeInPlace, v1alpha1.UpdateModeReCreate, v1alpha1.UpdateModeOnCreate, v1alpha1.UpdateModeOff
	const berlin, newYork = "Europe/Berlin", "America/New_York"
	nights := item("nights", "0 2 * * *", 4*time.Hour, "", reCreate)
	halfPastTwo := item("n", "30 2 * * *", time.Hour, berlin, reCreate)
	hourly := item("h", "0 * * * *", 10*time.Minute, berlin, reCreate)
	for name, c := range map[string]struct {
		items     []v1alpha1.ScheduleItem
		at        string
		wantItem  string
		wantMode  v1alpha1.UpdateMode
		wantUntil string
	}{
		"none in force is off":                  {[]v1alpha1.ScheduleItem{nights}, "2026-05-04T12:00:00Z", "", off, "2026-05-05T02:00:00Z"},
		"an item without a window always holds": {[]v1alpha1.ScheduleItem{item("always", "", 0, "", onCreate)}, "2026-05-04T12:00:00Z", "always", onCreate, ""},
		"the later item wins": {
			[]v1alpha1.ScheduleItem{item("always", "", 0, "", onCreate), nights},
			"2026-05-04T03:00:00Z", "nights", reCreate, "2026-05-04T06:00:00Z",
		},
		"the earlier item is in force when the later one is not": {
			[]v1alpha1.ScheduleItem{item("always", "", 0, "", onCreate), nights},
			"2026-05-04T07:00:00Z", "always", onCreate, "2026-05-05T02:00:00Z",
		},
		"an earlier window loses to a later rule that always holds": {
			[]v1alpha1.ScheduleItem{nights, item("always", "", 0, "", onCreate)},
			"2026-05-04T03:00:00Z", "always", onCreate, "",
		},
		"a window holds at its first instant": {[]v1alpha1.ScheduleItem{nights}, "2026-05-04T02:00:00Z", "nights", reCreate, "2026-05-04T06:00:00Z"},
		"a window is over at its end":         {[]v1alpha1.ScheduleItem{nights}, "2026-05-04T06:00:00Z", "", off, "2026-05-05T02:00:00Z"},
		"a window reaches over midnight":      {[]v1alpha1.ScheduleItem{item("n", "0 22 * * 5", 8*time.Hour, "", inPlace)}, "2026-05-09T03:00:00Z", "n", inPlace, "2026-05-09T06:00:00Z"},
		"a zone is that of its summer":        {[]v1alpha1.ScheduleItem{item("n", "0 2 * * *", time.Hour, berlin, inPlace)}, "2026-07-01T00:30:00Z", "n", inPlace, "2026-07-01T01:00:00Z"},
		"a zone is that of its winter":        {[]v1alpha1.ScheduleItem{item("n", "0 2 * * *", time.Hour, berlin, inPlace)}, "2026-01-10T01:30:00Z", "n", inPlace, "2026-01-10T02:00:00Z"},
		"a zone behind UTC":                   {[]v1alpha1.ScheduleItem{item("n", "0 23 * * *", 2*time.Hour, newYork, inPlace)}, "2026-07-02T04:30:00Z", "n", inPlace, "2026-07-02T05:00:00Z"},
		// On 2026-03-29 in Berlin the clock jumps from 2:00 to 3:00, which is 01:00 UTC.
		"a start that daylight saving leaves out is when the clock jumps": {[]v1alpha1.ScheduleItem{halfPastTwo}, "2026-03-29T01:00:00Z", "n", reCreate, "2026-03-29T02:00:00Z"},
		"and not before": {[]v1alpha1.ScheduleItem{halfPastTwo}, "2026-03-29T00:59:59Z", "", off, "2026-03-29T01:00:00Z"},
		"a window over the jump keeps its length": {[]v1alpha1.ScheduleItem{item("n", "30 1 * * *", time.Hour, berlin, reCreate)}, "2026-03-29T01:29:00Z", "n", reCreate, "2026-03-29T01:30:00Z"},
		// On 2026-10-25 in Berlin 2:00 to 3:00 comes twice: from 00:00 UTC and from 01:00 UTC.
		"a start that comes twice is the first":    {[]v1alpha1.ScheduleItem{halfPastTwo}, "2026-10-25T00:30:00Z", "n", reCreate, "2026-10-25T01:30:00Z"},
		"and not the second":                       {[]v1alpha1.ScheduleItem{halfPastTwo}, "2026-10-25T01:45:00Z", "", off, "2026-10-26T01:30:00Z"},
		"every hour comes twice, the first time":   {[]v1alpha1.ScheduleItem{hourly}, "2026-10-25T00:05:00Z", "h", reCreate, "2026-10-25T00:10:00Z"},
		"every hour comes twice, the second time":  {[]v1alpha1.ScheduleItem{hourly}, "2026-10-25T01:05:00Z", "h", reCreate, "2026-10-25T01:10:00Z"},
		"every hour while the clock jumps":         {[]v1alpha1.ScheduleItem{hourly}, "2026-03-29T01:05:00Z", "h", reCreate, "2026-03-29T01:10:00Z"},
		"a leap day years ahead":                   {[]v1alpha1.ScheduleItem{item("n", "0 0 29 2 *", time.Hour, "", inPlace)}, "2028-02-29T00:30:00Z", "n", inPlace, "2028-02-29T01:00:00Z"},
		"either day field is enough":               {[]v1alpha1.ScheduleItem{item("n", "0 0 13 * 5", time.Hour, "", inPlace)}, "2026-05-08T00:30:00Z", "n", inPlace, "2026-05-08T01:00:00Z"},
		"a window that starts anew before its end": {[]v1alpha1.ScheduleItem{item("n", "0 * * * *", 90*time.Minute, "", inPlace)}, "2026-05-08T00:30:00Z", "n", inPlace, "2026-05-08T01:30:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			s, errs := ParseSchedule(c.items, field.NewPath("spec", "updateSchedule"))
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			want := Active{Item: c.wantItem, Mode: c.wantMode}
			if c.wantUntil != "" {
				want.Until = instant(t, c.wantUntil)
			}
			if d := cmp.Diff(want, s.At(instant(t, c.at))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSchedulesThatCannotWorkAreRefused(t *testing.T) {
	off := v1alpha1.UpdateModeOff
	alone := item("a", "0 1 * * *", time.Hour, "", off)
	alone.Duration = nil
	for name, c := range map[string]struct {
		item v1alpha1.ScheduleItem
		want string
	}{
		"a day that no month has":        {item("a", "0 0 31 2 *", time.Hour, "", off), "never fires"},
		"a day that the month has not":   {item("a", "0 0 31 4,6,9,11 *", time.Hour, "", off), "never fires"},
		"six fields":                     {item("a", "0 0 0 1 1 *", time.Hour, "", off), "five fields"},
		"four fields":                    {item("a", "0 0 1 1", time.Hour, "", off), "five fields"},
		"a word for a schedule":          {item("a", "@daily", time.Hour, "", off), "five fields"},
		"a zone inside the expression":   {item("a", "TZ=UTC 0 0 1 1", time.Hour, "", off), "five fields"},
		"an hour that no day has":        {item("a", "0 24 * * *", time.Hour, "", off), "not a cron expression"},
		"a zone that does not exist":     {item("a", "0 0 * * *", time.Hour, "Europe/Bonn", off), "IANA"},
		"the zone of the machine":        {item("a", "0 0 * * *", time.Hour, "Local", off), "IANA"},
		"a schedule without a duration":  {alone, "belong together"},
		"a window without length":        {item("a", "0 0 * * *", 0, "", off), "must be above 0"},
		"a window longer than a month":   {item("a", "0 0 * * *", 1000*time.Hour, "", off), "at most 744h"},
		"a mode that schedules know not": {item("a", "", 0, "", v1alpha1.UpdateModeAuto), "supported values"},
		"an item without a name":         {item("", "", 0, "", off), "name"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := ParseSchedule([]v1alpha1.ScheduleItem{c.item}, field.NewPath("spec", "updateSchedule"))
			if err := errs.ToAggregate(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "spec.updateSchedule[0]") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// It walks a year of zones with odd clocks: each change that is announced does happen, and none happens unannounced.
func TestAnnouncedChangesHappen(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "America/Sao_Paulo"} {
		s, errs := ParseSchedule([]v1alpha1.ScheduleItem{item("w", "30 2 * * *", 90*time.Minute, zone, v1alpha1.UpdateModeInPlace)}, nil)
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		windows := 0
		for at.Year() == 2026 {
			now := s.At(at)
			if now.Until.IsZero() || !now.Until.After(at) {
				t.Fatalf("%s: at %s the next change is %s", zone, at, now.Until)
			}
			if before := s.At(now.Until.Add(-time.Second)); before.Mode != now.Mode {
				t.Fatalf("%s: %s says nothing changes before %s, but the mode is %s", zone, at, now.Until, before.Mode)
			}
			if after := s.At(now.Until); after.Mode == now.Mode {
				t.Fatalf("%s: nothing changes at %s", zone, now.Until)
			}
			if now.Mode == v1alpha1.UpdateModeInPlace {
				windows++
			}
			at = now.Until
		}
		if windows < 365 || windows > 366 {
			t.Errorf("%s: %d windows in a year of 365 days", zone, windows)
		}
	}
}

func FuzzParseCron(f *testing.F) {
	for _, s := range []string{"0 2 * * *", "*/5 1-3 1,15 * 1-5", "0 0 31 2 *", "59 23 29 2 6", "0 0 1 JAN SUN"} {
		f.Add(s, int64(1_780_000_000))
	}
	zone, err := time.LoadLocation("Australia/Lord_Howe")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, expression string, second int64) {
		c, err := parseCron(expression, zone)
		if err != nil || second < 0 || second > 4_000_000_000 {
			return
		}
		at := time.Unix(second, 0)
		if last, ok := c.latest(at, 48*time.Hour); ok && (last.After(at) || at.Sub(last) >= 48*time.Hour) {
			t.Errorf("%q: the last firing before %s is %s", expression, at, last)
		}
		if next, ok := c.next(at); ok {
			if !next.After(at) {
				t.Errorf("%q: the next firing after %s is %s", expression, at, next)
			}
			if last, ok := c.latest(next, time.Minute); !ok || !last.Equal(next) {
				t.Errorf("%q fires at %s, but not when asked for the last firing then: %s", expression, next, last)
			}
		}
	})
}
