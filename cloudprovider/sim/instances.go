package sim

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/cloudprovider"
	"supercargo.dev/cloudprovider/catalog"
)

const (
	// terminatedRetention is how long a terminated instance can still be described, and its client token is known.
	terminatedRetention = time.Hour
	// maxAlternatives of one request.
	maxAlternatives = 1000
)

// Labels that the cloud gives every node, beside the well-known ones.
const (
	// LabelInstanceFamily is the part of the instance type before the dot.
	LabelInstanceFamily = "supercargo.dev/instance-family"
	// LabelInstanceSize is the part of the instance type after the dot.
	LabelInstanceSize = "supercargo.dev/instance-size"
	// LabelInstanceCPU is the number of vCPUs.
	LabelInstanceCPU = "supercargo.dev/instance-cpu"
	// LabelInstanceMemory is the memory in MiB as the vendor states it.
	LabelInstanceMemory = "supercargo.dev/instance-memory"
	// LabelInstanceGPUName is the model of the GPUs, in lower case with dashes; absent where there are none.
	LabelInstanceGPUName = "supercargo.dev/instance-gpu-name"
	// LabelInstanceGPUCount is the number of GPUs; absent where there are none.
	LabelInstanceGPUCount = "supercargo.dev/instance-gpu-count"

	labelCapacityType = "karpenter.sh/capacity-type"
)

type instance struct {
	Instance
	typ      *catalog.Type
	token    string
	account  *account
	deadline time.Time // of an announced interruption
}

// create tries the alternatives in order. The caller holds the lock.
func (s *Server) create(r *CreateRequest, now time.Time) (*Created, bool, error) {
	if err := s.validate(r); err != nil {
		return nil, false, err
	}
	if i, ok := s.tokens[r.ClientToken]; ok {
		return &Created{Instance: i.Instance}, false, nil
	}
	var skipped []Skipped
	for _, a := range r.Alternatives {
		t, _ := s.region.Type(a.InstanceType)
		if code := s.refusal(t, a, now); code != "" {
			skipped = append(skipped, Skipped{Alternative: a, Code: code})
			continue
		}
		return &Created{Instance: s.launch(t, a, r, now).Instance, Skipped: skipped}, true, nil
	}
	return nil, false, &apiError{
		Status: http.StatusConflict, Code: CodeInsufficientCapacity, Skipped: skipped,
		Message: fmt.Sprintf("none of %d alternatives could be had: %s", len(skipped), summary(skipped)),
	}
}

// summary counts the refusals by code.
func summary(skipped []Skipped) string {
	counts := map[string]int{}
	for _, s := range skipped {
		counts[s.Code]++
	}
	text := ""
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", counts[code], code)
	}
	return text
}

func (s *Server) validate(r *CreateRequest) error {
	invalid := func(format string, args ...any) error {
		return &apiError{Status: http.StatusBadRequest, Code: CodeInvalid, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case r.ClientToken == "":
		return invalid("clientToken is required")
	case len(r.Alternatives) == 0 || len(r.Alternatives) > maxAlternatives:
		return invalid("alternatives: %d given, want 1 to %d", len(r.Alternatives), maxAlternatives)
	case r.MaxPods < 0 || r.EphemeralStorage < 0:
		return invalid("maxPods and ephemeralStorage must not be negative")
	}
	for i, a := range r.Alternatives {
		if _, ok := s.region.Type(a.InstanceType); !ok {
			return invalid("alternatives[%d]: instance type %q is not in region %s", i, a.InstanceType, s.region.Name)
		}
		if !slices.Contains(s.o.Zones, a.Zone) {
			return invalid("alternatives[%d]: zone %q is not in region %s", i, a.Zone, s.region.Name)
		}
		if a.CapacityType != Spot && a.CapacityType != OnDemand {
			return invalid("alternatives[%d]: capacity type %q is neither %s nor %s", i, a.CapacityType, Spot, OnDemand)
		}
	}
	return nil
}

// refusal is the code of why an alternative cannot be had, or empty.
func (s *Server) refusal(t *catalog.Type, a Alternative, now time.Time) string {
	price, sold := s.market.price(t, a.Zone, a.CapacityType, now)
	switch {
	case !sold || !slices.Contains(t.Zones, a.Zone):
		return CodeUnsupported
	case a.CapacityType == Spot && a.MaxPrice > 0 && price > a.MaxPrice:
		return CodeMaxPrice
	case s.faults.offering(FaultInsufficientCapacity, t, a.Zone, a.CapacityType, now) != nil:
		return CodeInsufficientCapacity
	}
	if quota, limited := s.quotas[a.CapacityType]; limited && s.runningVCPUs(a.CapacityType)+t.VCPU > quota {
		return CodeQuotaExceeded
	}
	return ""
}

func (s *Server) runningVCPUs(capacityType string) int {
	n := 0
	for _, i := range s.order {
		if i.State == Running && i.CapacityType == capacityType {
			n += i.typ.VCPU
		}
	}
	return n
}

// launch makes the instance and opens its account.
func (s *Server) launch(t *catalog.Type, a Alternative, r *CreateRequest, now time.Time) *instance {
	resources := t.Resources(catalog.NodeOptions{MaxPods: r.MaxPods, EphemeralStorage: r.EphemeralStorage})
	id := s.newID()
	i := &instance{typ: t, token: r.ClientToken, Instance: Instance{
		ID: id, ProviderID: fmt.Sprintf("sim:///%s/%s", a.Zone, id),
		InstanceType: t.Name, Region: s.region.Name, Zone: a.Zone, CapacityType: a.CapacityType, Arch: t.Arch,
		State: Running, LaunchedAt: now, Taints: slices.Clone(r.Taints), Tags: maps.Clone(r.Tags), Image: r.Image,
		Capacity: resources.Capacity, Allocatable: resources.Allocatable(),
		RegistrationDelay: metav1.Duration{Duration: s.o.RegistrationDelay},
	}}
	i.Labels = nodeLabels(i, r.Labels)
	if f := s.faults.offering(FaultRegistrationDelay, t, a.Zone, a.CapacityType, now); f != nil {
		i.RegistrationDelay = f.Delay
	}
	i.account = &account{typ: t, settled: now, bill: Bill{
		InstanceID: id, ProviderID: i.ProviderID, InstanceType: t.Name, Zone: a.Zone, CapacityType: a.CapacityType, Start: now,
	}}
	s.instances[id], s.tokens[r.ClientToken] = i, i
	s.order, s.accounts = append(s.order, i), append(s.accounts, i.account)

	if s.o.Machines != nil && s.faults.offering(FaultNeverRegister, t, a.Zone, a.CapacityType, now) == nil {
		booted := i.Instance
		s.effects = append(s.effects, func() {
			if err := s.o.Machines.Boot(booted); err != nil {
				s.mu.Lock()
				i.Reason = "HardwareFailure: " + err.Error()
				s.mu.Unlock()
			}
		})
	}
	s.planInterruption(i, now)
	return i
}

// planInterruption draws when the cloud takes spot capacity back, at the catalog's rate: exponential lifetimes.
func (s *Server) planInterruption(i *instance, now time.Time) {
	perHour, ok := i.typ.Interruption.PerHour()
	if i.CapacityType != Spot || !ok || s.o.InterruptionScale <= 0 {
		return
	}
	hours := -math.Log(1-s.rand.Float64()) / (perHour * s.o.InterruptionScale)
	if hours > 24*365 {
		return // beyond the longest Duration worth planning
	}
	at := now.Add(time.Duration(hours * float64(time.Hour)))
	s.plan(at, func(now time.Time) { s.giveNotice(i, cloudprovider.SpotInterruption, s.o.InterruptionWarning, now) })
}

// newID looks like EC2's.
func (s *Server) newID() string {
	for {
		id := fmt.Sprintf("i-0%016x", s.rand.Uint64())
		if s.instances[id] == nil {
			return id
		}
	}
}

// nodeLabels are what the machine's node registers with. What the cloud knows wins over what was asked for.
func nodeLabels(i *instance, asked map[string]string) map[string]string {
	labels := maps.Clone(asked)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{
		corev1.LabelInstanceTypeStable: i.InstanceType,
		corev1.LabelTopologyZone:       i.Zone,
		corev1.LabelTopologyRegion:     i.Region,
		corev1.LabelArchStable:         i.Arch,
		corev1.LabelOSStable:           string(corev1.Linux),
		corev1.LabelHostname:           i.ID,
		labelCapacityType:              i.CapacityType,
	})
	maps.Copy(labels, hardwareLabels(i.typ))
	return labels
}

// hardwareLabels are those that only the instance type decides.
func hardwareLabels(t *catalog.Type) map[string]string {
	labels := map[string]string{
		LabelInstanceFamily: t.Family,
		LabelInstanceSize:   t.Size,
		LabelInstanceCPU:    strconv.Itoa(t.VCPU),
		LabelInstanceMemory: strconv.Itoa(t.MemoryMiB),
	}
	if t.GPUs.Count > 0 {
		labels[LabelInstanceGPUName] = strings.ToLower(strings.ReplaceAll(t.GPUs.Name, " ", "-"))
		labels[LabelInstanceGPUCount] = strconv.Itoa(t.GPUs.Count)
	}
	return labels
}

// terminate ends an instance and its bill. It is idempotent.
func (s *Server) terminate(i *instance, reason string, now time.Time) {
	if i.State != Running {
		return
	}
	i.State, i.Reason, i.TerminatedAt = ShuttingDown, reason, &now
	end := now
	if least := i.LaunchedAt.Add(s.o.MinimumBilling); end.Before(least) {
		end = least
	}
	i.account.bill.End = &end
	gone := func(now time.Time) {
		i.State = Terminated
		if s.o.Machines != nil {
			s.effects = append(s.effects, func() { s.o.Machines.Shutdown(i.ID) })
		}
		s.notices.add(Notice{InstanceID: i.ID, ProviderID: i.ProviderID, Kind: cloudprovider.Terminated, At: now})
		s.plan(now.Add(terminatedRetention), func(time.Time) { s.forget(i) })
	}
	if s.o.TerminationDelay > 0 {
		s.plan(now.Add(s.o.TerminationDelay), gone)
		return
	}
	gone(now)
}

func (s *Server) forget(i *instance) {
	delete(s.instances, i.ID)
	delete(s.tokens, i.token)
	s.order = slices.DeleteFunc(s.order, func(o *instance) bool { return o == i })
}

// visible says whether eventual consistency shows the instance yet.
func (s *Server) visible(i *instance, now time.Time) bool {
	delay := s.o.ListDelay
	if f := s.faults.inForce(FaultListDelay, i.typ, i.Zone, i.CapacityType, now); f != nil {
		delay = max(delay, f.Delay.Duration)
	}
	return now.Sub(i.LaunchedAt) >= delay
}
