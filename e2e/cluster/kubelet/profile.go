package kubelet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Profile is what one container uses.
type Profile struct {
	MilliCPU           float64 // thousandths of a core, the mean over a day
	MemoryBytes        int64   // working set after start
	Daily              float64 // amplitude of the daily cycle of CPU, as a share of MilliCPU, in [0, 1]
	Noise              float64 // amplitude of the noise on both, as a share, in [0, 1]
	LeakBytesPerSecond float64 // growth of the working set while the container runs
}

// Profiles are the profiles of a pod's containers by name; "*" stands for those not named.
type Profiles map[string]Profile

// For returns the profile of a container and whether there is one.
func (p Profiles) For(container string) (Profile, bool) {
	profile, ok := p[container]
	if !ok {
		profile, ok = p["*"]
	}
	return profile, ok
}

// ParseProfiles parses AnnotationUsage: a JSON object of container names ("*": every other container) to
//
//	{"cpu": "80m", "memory": "120Mi", "daily": 0.4, "noise": 0.05, "leak": "1Mi/h"}
//
// cpu and memory are quantities, daily and noise shares in [0, 1], leak a quantity of memory per s, m, h or d. What is not
// named is 0. Errors name container and field.
func ParseProfiles(text string) (Profiles, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	declared := map[string]json.RawMessage{}
	if err := decoder.Decode(&declared); err != nil {
		return nil, fmt.Errorf("usage is no JSON object of container names, %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("usage has text after its JSON object")
	}
	names := make([]string, 0, len(declared))
	for name := range declared {
		names = append(names, name)
	}
	slices.Sort(names) // of several errors, always the same one
	profiles := make(Profiles, len(declared))
	for _, name := range names {
		profile, err := parseProfile(declared[name])
		if err != nil {
			return nil, fmt.Errorf("usage of container %q: %w", name, err)
		}
		profiles[name] = profile
	}
	return profiles, nil
}

func parseProfile(text json.RawMessage) (Profile, error) {
	var fields struct {
		CPU    *string  `json:"cpu"`
		Memory *string  `json:"memory"`
		Daily  *float64 `json:"daily"`
		Noise  *float64 `json:"noise"`
		Leak   *string  `json:"leak"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&fields); err != nil {
		return Profile{}, fmt.Errorf("parsing, %w", err)
	}
	var profile Profile
	if fields.CPU != nil {
		cpu, err := parseAmount("cpu", *fields.CPU)
		if err != nil {
			return Profile{}, err
		}
		profile.MilliCPU = cpu.AsApproximateFloat64() * 1000
	}
	if fields.Memory != nil {
		memory, err := parseAmount("memory", *fields.Memory)
		if err != nil {
			return Profile{}, err
		}
		profile.MemoryBytes = memory.Value()
	}
	for _, share := range []struct {
		name     string
		from, to *float64
	}{{"daily", fields.Daily, &profile.Daily}, {"noise", fields.Noise, &profile.Noise}} {
		if share.from == nil {
			continue
		}
		if *share.from < 0 || *share.from > 1 {
			return Profile{}, fmt.Errorf("%s is %v, want a share from 0 to 1", share.name, *share.from)
		}
		*share.to = *share.from
	}
	if fields.Leak != nil {
		leak, err := parseLeak(*fields.Leak)
		if err != nil {
			return Profile{}, err
		}
		profile.LeakBytesPerSecond = leak
	}
	return profile, nil
}

func parseLeak(text string) (bytesPerSecond float64, err error) {
	amount, unit, ok := strings.Cut(text, "/")
	if !ok {
		return 0, fmt.Errorf("leak is %q, want an amount of memory per time, as in 1Mi/h", text)
	}
	per, ok := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[unit]
	if !ok {
		return 0, fmt.Errorf("leak is per %q, want s, m, h or d", unit)
	}
	quantity, err := parseAmount("leak", amount)
	if err != nil {
		return 0, err
	}
	return quantity.AsApproximateFloat64() / per.Seconds(), nil
}

// maxAmount keeps sums of usage within an int64: more memory or CPU than any machine has.
const maxAmount = 1 << 50

// maxExponent and maxDigits bound what is given to ParseQuantity: it takes seconds for 1e-10000000.
const maxExponent, maxDigits = len("-18"), 32

func parseAmount(field, text string) (resource.Quantity, error) {
	if i := strings.IndexAny(text, "eE"); len(text) > maxDigits || (i >= 0 && len(text)-i-1 > maxExponent) {
		return resource.Quantity{}, fmt.Errorf("%s is %q, want a quantity of at most %d digits", field, text, maxDigits)
	}
	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		return resource.Quantity{}, fmt.Errorf("%s is %q, want a quantity, %w", field, text, err)
	}
	if value := quantity.AsApproximateFloat64(); value < 0 || value > maxAmount || math.IsNaN(value) {
		return resource.Quantity{}, fmt.Errorf("%s is %q, want a quantity from 0 to %d", field, text, int64(maxAmount))
	}
	return quantity, nil
}
