package sim

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"supercargo.dev/cloudprovider/catalog"
)

// maxNoticeWait of one request for notices.
const maxNoticeWait = time.Minute

func (s *Server) describeTypes(*http.Request) (int, any, error) {
	region := Region{Name: s.region.Name, Zones: s.o.Zones, Types: make([]InstanceType, 0, len(s.region.Types))}
	for i := range s.region.Types {
		t := &s.region.Types[i]
		wire := InstanceType{
			Name: t.Name, Arch: t.Arch, VCPU: t.VCPU, MemoryMiB: t.MemoryMiB, GPUs: t.GPUs, ENIs: t.ENIs, IPsPerENI: t.IPsPerENI,
			LocalStorageGB: t.LocalStorageGB, NetworkMbps: t.NetworkMbps, Hypervisor: t.Hypervisor, BareMetal: t.BareMetal,
			Zones: s.zones(t),
		}
		if t.OnDemand > 0 {
			wire.CapacityTypes = append(wire.CapacityTypes, OnDemand)
		}
		if t.Spot.Known() {
			wire.CapacityTypes = append(wire.CapacityTypes, Spot)
		}
		if len(wire.Zones) > 0 && len(wire.CapacityTypes) > 0 {
			region.Types = append(region.Types, wire)
		}
	}
	return http.StatusOK, region, nil
}

// zones are those of the cloud that offer the type.
func (s *Server) zones(t *catalog.Type) []string {
	zones := make([]string, 0, len(t.Zones))
	for _, z := range t.Zones {
		if slices.Contains(s.o.Zones, z) {
			zones = append(zones, z)
		}
	}
	return zones
}

func (s *Server) describePrices(*http.Request) (int, any, error) {
	p := Prices{OnDemand: map[string]float64{}, Spot: map[string]map[string]float64{}, Risk: map[string]float64{}}
	s.locked(func(now time.Time) {
		p.At = now
		for i := range s.region.Types {
			t := &s.region.Types[i]
			// An on-demand price holds for the whole region, so it is unknown where any of its zones is.
			if t.OnDemand > 0 && !slices.ContainsFunc(s.zones(t), func(zone string) bool { return s.unknown(t, zone, OnDemand, now) }) {
				p.OnDemand[t.Name] = t.OnDemand
			}
			if perHour, ok := t.Interruption.PerHour(); ok {
				p.Risk[t.Name] = perHour
			}
			if !t.Spot.Known() {
				continue
			}
			spot := map[string]float64{}
			for _, zone := range s.zones(t) {
				if !s.unknown(t, zone, Spot, now) {
					spot[zone] = s.market.spot(t, zone, now)
				}
			}
			p.Spot[t.Name] = spot
		}
	})
	return http.StatusOK, p, nil
}

func (s *Server) unknown(t *catalog.Type, zone, capacityType string, now time.Time) bool {
	return s.faults.inForce(FaultPriceUnknown, t, zone, capacityType, now) != nil
}

func (s *Server) watchNotices(r *http.Request) (int, any, error) {
	query := r.URL.Query()
	after, wait := int64(0), time.Duration(0)
	var err error
	if v := query.Get("after"); v != "" {
		if after, err = strconv.ParseInt(v, 10, 64); err != nil {
			return 0, nil, &apiError{Status: http.StatusBadRequest, Code: CodeInvalid, Message: "after, " + err.Error()}
		}
	}
	if v := query.Get("wait"); v != "" {
		if wait, err = time.ParseDuration(v); err != nil {
			return 0, nil, &apiError{Status: http.StatusBadRequest, Code: CodeInvalid, Message: "wait, " + err.Error()}
		}
	}
	timer := s.o.Clock.NewTimer(min(wait, maxNoticeWait))
	defer timer.Stop()
	for expired := wait <= 0; ; {
		var page NoticePage
		var changed <-chan struct{}
		s.locked(func(time.Time) { page, changed = s.notices.after(after) })
		if len(page.Notices) > 0 || expired {
			return http.StatusOK, page, nil
		}
		select {
		case <-changed:
		case <-timer.C():
			expired = true
		case <-r.Context().Done():
			expired = true
		}
	}
}

func (s *Server) describeBilling(r *http.Request) (int, any, error) {
	history := r.URL.Query().Get("history") == "true"
	b := Billing{Instances: []Bill{}}
	s.locked(func(now time.Time) {
		b.At = now
		for _, a := range s.accounts {
			bill := a.statement(s.market, now, history)
			b.TotalUSD += bill.SpentUSD
			b.USDPerHour += bill.USDPerHour
			b.Instances = append(b.Instances, bill)
		}
	})
	return http.StatusOK, b, nil
}

func (s *Server) addFault(r *http.Request) (int, any, error) {
	var f Fault
	if err := decode(r, &f); err != nil {
		return 0, nil, err
	}
	if err := f.validate(); err != nil {
		return 0, nil, &apiError{Status: http.StatusBadRequest, Code: CodeInvalid, Message: err.Error()}
	}
	var result FaultResult
	s.locked(func(now time.Time) {
		if f.Kind == FaultPreempt {
			result.Affected = s.preempt(f, now)
			return
		}
		result.ID = s.faults.add(f, now)
	})
	return http.StatusOK, result, nil
}

func (s *Server) listFaults(*http.Request) (int, any, error) {
	all := []Fault{}
	s.locked(func(time.Time) {
		for _, f := range s.faults.all {
			all = append(all, *f)
		}
	})
	return http.StatusOK, all, nil
}

func (s *Server) deleteFaults(r *http.Request) (int, any, error) {
	id := r.PathValue("id")
	found := false
	s.locked(func(time.Time) { found = s.faults.remove(id) })
	if id != "" && !found {
		return 0, nil, &apiError{Status: http.StatusNotFound, Code: CodeNotFound, Message: "no fault " + strconv.Quote(id)}
	}
	return http.StatusOK, struct{}{}, nil
}

func (s *Server) putQuotas(r *http.Request) (int, any, error) {
	var quotas map[string]int
	if err := decode(r, &quotas); err != nil {
		return 0, nil, err
	}
	s.locked(func(time.Time) { s.quotas = quotas })
	return http.StatusOK, struct{}{}, nil
}
