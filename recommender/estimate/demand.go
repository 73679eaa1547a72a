package estimate

import (
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/api/v1alpha1"
)

// trail collects the explanation of one container. A nil trail collects nothing and costs nothing.
type trail struct{ steps []v1alpha1.ExplanationStep }

// add appends a step. Message arguments are formatted only where somebody listens; callers on the hot path check first.
func (t *trail) add(r int, step string, value float64, format string, args ...any) {
	if t == nil {
		return
	}
	q := quantity(r, roundUp(r, value))
	t.steps = append(t.steps, v1alpha1.ExplanationStep{
		Resource: resourceNames()[r], Step: step, Value: q.String(), Message: fmt.Sprintf(format, args...),
	})
}

func resourceNames() [resources]corev1.ResourceName {
	return [resources]corev1.ResourceName{cpu: corev1.ResourceCPU, memory: corev1.ResourceMemory}
}

// memoryStep is what memory requests are rounded up to.
const memoryStep = 1 << 20

// roundUp gives whole thousandths of a core and whole MiB.
func roundUp(r int, v float64) int64 {
	// A sum that is a hair above a whole number, by rounding of floating point, is that number.
	v *= 1 - 1e-12
	if r == cpu {
		return int64(math.Ceil(v))
	}
	return int64(math.Ceil(v/memoryStep)) * memoryStep
}

func quantity(r int, v int64) resource.Quantity {
	if r == cpu {
		return *resource.NewMilliQuantity(v, resource.DecimalSI)
	}
	return *resource.NewQuantity(v, resource.BinarySI)
}

// amount reads a quantity in thousandths of a core or bytes.
func amount(r int, q resource.Quantity) int64 {
	if r == cpu {
		return q.MilliValue()
	}
	return q.Value()
}

func (p *Policy) rule(r int) *Rule {
	if r == cpu {
		return &p.CPU
	}
	return &p.Memory
}

// demand follows the usage of a container to what it needs: overhead, bursts, newcomers, OOM kills, evictions, bounds.
// Newcomer headroom goes up to most; 0: without limit.
func (p *Policy) demand(r int, c *container, u reading, most int64, now time.Time, t *trail) int64 {
	rule := p.rule(r)
	v := u.value * (1 + rule.Overhead)
	if t != nil {
		t.add(r, "Overhead", v, "plus %s", percent(rule.Overhead))
	}
	if burst := u.burst * (1 + rule.Overhead); burst > v {
		v = burst
		if t != nil {
			worth := quantity(r, rule.Burst)
			t.add(r, "Burst", v, "%s plus %s: up to there each percent of samples costs at most %s to cover",
				human(r, u.burst), percent(rule.Overhead), worth.String())
		}
	}
	if c != nil && c.newcomer(p) {
		v = p.withNewcomer(r, c, v, u.peak, most, t)
	}
	if r == memory && c != nil && c.incidents != nil {
		v = p.incidentDemand(c, v, now, t)
	}
	out := roundUp(r, v)
	bounded := max(out, rule.Floor)
	if rule.Ceiling > 0 {
		bounded = min(bounded, rule.Ceiling)
	}
	if bounded != out && t != nil {
		bound := "min"
		if bounded < out {
			bound = "max"
		}
		t.add(r, "Bounds", float64(bounded), "%s of the policy", bound)
	}
	return bounded
}

// incidentDemand raises memory after OOM kills and evictions.
func (p *Policy) incidentDemand(c *container, v float64, now time.Time, t *trail) float64 {
	in := c.incidents
	at := min(c.latest(), seconds(now))
	if left := in.left(at); left >= minExtra {
		v *= 1 + left
		if t != nil {
			t.add(memory, "OOM", v, "times %.2f after OOM kills, the latest at %s; the addition halves every 72 h",
				1+left, instant(in.extraAt).Format(time.RFC3339))
		}
	}
	if floor := in.floor * (1 + p.Memory.Overhead); at < in.floorEnd && floor > v {
		v = floor
		if t != nil {
			t.add(memory, "Eviction", v, "at least what it used when evicted under memory pressure, plus overhead, until %s",
				instant(in.floorEnd).Format(time.RFC3339))
		}
	}
	return v
}

// minExtra is the least addition to the memory factor that still counts: a thousandth.
const minExtra = 0.001

// pressing tells whether an OOM kill or an eviction demands memory now.
func (c *container) pressing(now time.Time) bool {
	if c == nil || c.incidents == nil {
		return false
	}
	at := min(c.latest(), seconds(now))
	return c.incidents.left(at) >= minExtra || at < c.incidents.floorEnd
}

func human(r int, v float64) string {
	q := quantity(r, roundUp(r, v))
	return q.String()
}

func percent(share float64) string {
	return fmt.Sprintf("%g%%", math.Round(share*1e4)/100)
}
