package spot

import "github.com/prometheus/client_golang/prometheus"

// Metrics of interruption handling.
type Metrics struct {
	Notices *prometheus.CounterVec
	Errors  prometheus.Counter
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		Notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "supercargo", Subsystem: "spot", Name: "notices_total", Help: "Interruption notices received for nodes of ours.",
		}, []string{"kind"}),
		Errors: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "supercargo", Subsystem: "spot", Name: "errors_total", Help: "Notices that could not be recorded.",
		}),
	}
	r.MustRegister(m.Notices, m.Errors)
	return m
}
