// Package metrics holds what the scheduler plugins count. One Metrics serves all plugins and profiles of a process.
package metrics

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	namespace = "supercargo"
	subsystem = "scheduler"
)

// Metrics are the collectors of the plugins.
type Metrics struct {
	// Packed counts placed pods by what RightsizedPacking knew of the node: filled, empty, leaving or unknown.
	Packed *prometheus.CounterVec
	// Planned counts placed pods that had a planned node, by whether they were placed on it: honoured or missed.
	Planned *prometheus.CounterVec
	// Spot counts placed pods by their tolerance of spot and by capacity: spot or other.
	Spot *prometheus.CounterVec
	// SpotClosed counts attempts for which spot nodes were ruled out: never or share.
	SpotClosed *prometheus.CounterVec
	// Refused counts pods that a kubelet refused for want of room after they were placed, by kubelet's reason. It is how
	// often this scheduler and another one placed pods on the same room at once.
	Refused *prometheus.CounterVec
	// SourceSynced is 1 for a kind of object that the plugins have read and follow, 0 for one that they cannot read.
	SourceSynced *prometheus.GaugeVec
}

// New registers the collectors. Where the registerer has them already, those are used.
func New(registerer prometheus.Registerer) (*Metrics, error) {
	var errs []error
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(registerer, &errs, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels))
	}
	m := &Metrics{
		Packed:     counter("packed_pods_total", "Pods placed, by what was known of the node: filled, empty, leaving or unknown.", "profile", "node"),
		Planned:    counter("planned_pods_total", "Pods placed that had a planned node, by result: honoured or missed.", "profile", "result"),
		Spot:       counter("spot_pods_total", "Pods placed, by tolerance of spot and capacity: spot or other.", "profile", "tolerance", "capacity"),
		SpotClosed: counter("spot_closed_total", "Scheduling attempts for which spot nodes were ruled out, by reason: never or share.", "profile", "reason"),
		Refused:    counter("refused_pods_total", "Pods that a kubelet refused for want of room after they were placed, by its reason.", "profile", "reason"),
		SourceSynced: register(registerer, &errs, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "source_synced", Help: "1 for a resource that the plugins follow, 0 for one that they cannot read.",
		}, []string{"resource"})),
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("registering scheduler plugin metrics, %w", err)
	}
	return m, nil
}

func register[C prometheus.Collector](registerer prometheus.Registerer, errs *[]error, collector C) C {
	err := registerer.Register(collector)
	if err == nil {
		return collector
	}
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	*errs = append(*errs, err)
	return collector
}
