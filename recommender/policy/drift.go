package policy

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"supercargo.dev/api/v1alpha1"
)

// defaultDrift is the threshold where a policy states none.
const defaultDrift = 0.10

// Threshold is how far a value may be off before a pod is changed: a share or an amount. Zero is the default, 10%.
type Threshold struct {
	Share    float64           // 0.1 is 10%; used where Absolute is zero
	Absolute resource.Quantity // at least as much is drift
}

// ParseThreshold reads "20%" or a quantity above zero. A bare integer is a quantity: cores or bytes.
func ParseThreshold(v intstr.IntOrString) (Threshold, error) {
	s := v.String()
	if digits, ok := strings.CutSuffix(s, "%"); ok {
		share, err := strconv.ParseFloat(digits, 64)
		if err != nil || !(share > 0) || math.IsInf(share, 1) {
			return Threshold{}, fmt.Errorf("%q is not a percentage above 0 such as 20%%", s)
		}
		return Threshold{Share: share / 100}, nil
	}
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return Threshold{}, fmt.Errorf("%q is neither a percentage such as 20%% nor a quantity such as 500Mi", s)
	}
	if q.Sign() <= 0 {
		return Threshold{}, errors.New("must be above 0; every difference would be drift")
	}
	return Threshold{Absolute: q}, nil
}

// Deviation is one value of a container that is off by at least its threshold.
type Deviation struct {
	Container string
	Resource  corev1.ResourceName
	// Field is requests or limits.
	Field            string
	Current, Desired string // quantities; "none" where there is none
}

func (d Deviation) String() string {
	return fmt.Sprintf("container %s: %s of %s %s, to be %s", d.Container, d.Field, d.Resource, d.Current, d.Desired)
}

// Drift compares what the containers of a pod have with what they are to have and lists what is off by at least the
// threshold, in a stable order. A limit or request that is to appear or to go counts as drift. A container that is not
// among the desired is left out.
func Drift(current, desired map[string]corev1.ResourceRequirements, r Rules) []Deviation {
	var out []Deviation
	for _, container := range sortedKeys(desired) {
		have, ok := current[container]
		if !ok {
			continue
		}
		want := desired[container]
		for _, name := range managed() {
			for _, f := range []struct {
				name       string
				have, want corev1.ResourceList
			}{{"requests", have.Requests, want.Requests}, {"limits", have.Limits, want.Limits}} {
				h, has := f.have[name]
				w, wants := f.want[name]
				if f.name == "requests" && !has {
					// The API server reads a limit without a request as both.
					h, has = have.Limits[name]
				}
				if f.name == "requests" && !wants {
					w, wants = want.Limits[name]
				}
				if has == wants && (!has || !r.off(name, h, w)) {
					continue
				}
				d := Deviation{Container: container, Resource: name, Field: f.name, Current: "none", Desired: "none"}
				if has {
					d.Current = h.String()
				}
				if wants {
					d.Desired = w.String()
				}
				out = append(out, d)
			}
		}
	}
	return out
}

// off tells whether a value is off by at least the threshold of its resource.
func (r Rules) off(name corev1.ResourceName, current, desired resource.Quantity) bool {
	t := r.Drift[name]
	c, d := float64(milli(name, current)), float64(milli(name, desired))
	gap := math.Abs(c - d)
	if gap == 0 {
		return false
	}
	if !t.Absolute.IsZero() {
		return gap >= float64(milli(name, t.Absolute))
	}
	share := t.Share
	if share == 0 {
		share = defaultDrift
	}
	base := c
	if r.DriftBase == v1alpha1.DriftDirectional && d < c {
		base = d
	}
	// Thresholds are inclusive; a hair's breadth below by rounding of floating point is at the threshold.
	return gap >= share*base*(1-1e-9)
}
