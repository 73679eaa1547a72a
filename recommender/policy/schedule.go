package policy

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"supercargo.dev/api/v1alpha1"
)

// Schedule is a parsed update schedule.
type Schedule struct{ items []window }

// window is a mode and when it is in force: always, or for a duration from each time that a cron expression fires.
type window struct {
	name     string
	mode     v1alpha1.UpdateMode
	always   bool
	cron     crontab
	duration time.Duration
}

// maxWindow bounds the duration of a window: longer ones are better said by the cron expression.
const maxWindow = 31 * 24 * time.Hour

// Active is what a schedule says at an instant.
type Active struct {
	// Item in force; empty where none is, and the mode is then Off.
	Item string
	Mode v1alpha1.UpdateMode
	// Until is when the answer may change next; zero if not within a year.
	Until time.Time
}

// ParseSchedule reads the items of an update schedule. A cron expression that never fires is an error. The schedule
// holds the items that are right.
func ParseSchedule(items []v1alpha1.ScheduleItem, path *field.Path) (Schedule, field.ErrorList) {
	var out Schedule
	var errs field.ErrorList
	for i, item := range items {
		w, err := parseWindow(item, path.Index(i))
		if len(err) > 0 {
			errs = append(errs, err...)
			continue
		}
		out.items = append(out.items, w)
	}
	return out, errs
}

func parseWindow(item v1alpha1.ScheduleItem, path *field.Path) (window, field.ErrorList) {
	var errs field.ErrorList
	w := window{name: item.Name, mode: item.Mode}
	modes := []v1alpha1.UpdateMode{
		v1alpha1.UpdateModeOff, v1alpha1.UpdateModeOnCreate, v1alpha1.UpdateModeReCreate, v1alpha1.UpdateModeInPlace,
	}
	if !slices.Contains(modes, item.Mode) {
		errs = append(errs, field.NotSupported(path.Child("mode"), item.Mode, modes))
	}
	if item.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "give the item a name; status shows it"))
	}
	zone := time.UTC
	if item.Timezone != "" {
		loaded, err := time.LoadLocation(item.Timezone)
		if err != nil || item.Timezone == "Local" {
			errs = append(errs, field.Invalid(path.Child("timezone"), item.Timezone, "is not an IANA time zone such as Europe/Berlin"))
		} else {
			zone = loaded
		}
	}
	if (item.Schedule == "") != (item.Duration == nil) {
		return w, append(errs, field.Invalid(path, item.Name,
			"schedule and duration belong together: set both for a time window, or neither for a rule that always holds"))
	}
	if item.Schedule == "" {
		w.always = true
		return w, errs
	}
	w.duration = item.Duration.Duration
	if w.duration <= 0 || w.duration > maxWindow {
		errs = append(errs, field.Invalid(path.Child("duration"), item.Duration.Duration.String(), "must be above 0 and at most 744h"))
	}
	var err error
	if w.cron, err = parseCron(item.Schedule, zone); err != nil {
		errs = append(errs, field.Invalid(path.Child("schedule"), item.Schedule, err.Error()))
	}
	return w, errs
}

// At says which item is in force: the last of those whose window holds t.
func (s Schedule) At(t time.Time) Active {
	out := Active{Mode: v1alpha1.UpdateModeOff}
	for i := len(s.items) - 1; i >= 0; i-- {
		w := s.items[i]
		in, change := w.at(t)
		if !change.IsZero() && (out.Until.IsZero() || change.Before(out.Until)) {
			out.Until = change.UTC()
		}
		if in {
			out.Item, out.Mode = w.name, w.mode
			return out // what is listed before cannot matter while this holds
		}
	}
	return out
}

// at tells whether the window holds t, and when that may change.
func (w window) at(t time.Time) (in bool, change time.Time) {
	if w.always {
		return true, time.Time{}
	}
	if start, ok := w.cron.latest(t, w.duration); ok {
		return true, start.Add(w.duration)
	}
	next, _ := w.cron.next(t)
	return false, next
}
