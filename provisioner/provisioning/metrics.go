package provisioning

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"supercargo.dev/provisioner/packing"
)

// Metrics of provisioning.
type Metrics struct {
	Pending, Unplaced, Gap                       prometheus.Gauge
	PlanSeconds                                  prometheus.Histogram
	Rightsized, Denied, Errors, Unsynced, Failed prometheus.Counter
	Launched                                     *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "supercargo", Subsystem: "provisioning", Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "supercargo", Subsystem: "provisioning", Name: name, Help: help})
	}
	m := &Metrics{
		Pending:    gauge("pending_pods", "Pods that waited for a node at the last round."),
		Unplaced:   gauge("unplaced_pods", "Pods that the last plan had no place for."),
		Gap:        gauge("plan_gap_ratio", "Cost of the last plan over its lower bound, less one."),
		Rightsized: counter("rightsized_pods_total", "Pending pods that were resized before a node was bought for them."),
		Denied:     counter("launches_held_back_total", "Launches held back by the limit of launches per minute."),
		Failed:     counter("launches_failed_total", "Claims that the cloud could not fulfil."),
		Errors:     counter("errors_total", "Rounds that failed."),
		Unsynced:   counter("unsynced_rounds_total", "Rounds put off because the state in memory was behind the API server."),
		PlanSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "supercargo", Subsystem: "provisioning", Name: "plan_duration_seconds", Help: "Time to plan a batch.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		Launched: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "supercargo", Subsystem: "provisioning", Name: "launched_nodeclaims_total", Help: "NodeClaims created for pending pods.",
		}, []string{"nodepool", "capacity_type"}),
	}
	r.MustRegister(m.Pending, m.Unplaced, m.Gap, m.PlanSeconds, m.Rightsized, m.Denied, m.Failed, m.Errors, m.Unsynced, m.Launched)
	return m
}

func (m *Metrics) observe(took time.Duration, plan packing.Plan) {
	m.PlanSeconds.Observe(took.Seconds())
	m.Unplaced.Set(float64(len(plan.Unplaced)))
	if len(plan.Nodes) > 0 && !math.IsInf(plan.Gap, 0) {
		m.Gap.Set(plan.Gap)
	}
}
