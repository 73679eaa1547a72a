package recommendation

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/recommender/estimate"
)

// Metrics of recommendations. A nil *Metrics counts nothing.
type Metrics struct {
	ooms, changes prometheus.Counter
	pods, current *prometheus.GaugeVec
	net           *prometheus.GaugeVec
}

// NewMetrics returns metrics registered with a registry. The store's size is read when it is asked for.
func NewMetrics(reg prometheus.Registerer, store *estimate.Store) (*Metrics, error) {
	labels := []string{"namespace", "workloadscaler"}
	m := &Metrics{
		ooms: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "supercargo_oom_kills_total",
			Help: "OOM kills of containers that WorkloadScalers bind, each counted once.",
		}),
		changes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "supercargo_recommendation_changes_total",
			Help: "Recommendations whose requests or limits differ from the one before.",
		}),
		pods: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "supercargo_workload_pods",
			Help: "Pods of a workload that are neither finished nor going.",
		}, labels),
		current: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "supercargo_workload_pods_up_to_date",
			Help: "Pods of a workload that run within the drift thresholds of the recommendation.",
		}, labels),
		net: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "supercargo_workload_net_impact_usd_per_month",
			Help: "Projected savings less reinvestment of the recommendation, in USD per month of 730 hours.",
		}, labels),
	}
	gauge := func(name, help string, read func(estimate.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return read(store.Stats()) })
	}
	for _, c := range []prometheus.Collector{
		m.ooms, m.changes, m.pods, m.current, m.net,
		gauge("supercargo_history_workloads", "Workloads with usage history.", func(s estimate.Stats) float64 { return float64(s.Workloads) }),
		gauge("supercargo_history_containers", "Containers with usage history.", func(s estimate.Stats) float64 { return float64(s.Containers) }),
		gauge("supercargo_history_bytes", "Memory that usage history occupies, in bytes.", func(s estimate.Stats) float64 { return float64(s.Bytes) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) oom() {
	if m != nil {
		m.ooms.Inc()
	}
}

func (m *Metrics) changed() {
	if m != nil {
		m.changes.Inc()
	}
}

func (m *Metrics) observe(v *view) {
	if m == nil {
		return
	}
	st := &v.scaler.Status
	m.pods.WithLabelValues(v.scaler.Namespace, v.scaler.Name).Set(float64(st.Applied.Pods))
	m.current.WithLabelValues(v.scaler.Namespace, v.scaler.Name).Set(float64(st.Applied.UpToDate))
	if st.CostImpact == nil { // between the runs of a CronJob, for one: what was true before is not now
		m.net.DeleteLabelValues(v.scaler.Namespace, v.scaler.Name)
		return
	}
	if net, err := strconv.ParseFloat(st.CostImpact.Net, 64); err == nil {
		m.net.WithLabelValues(v.scaler.Namespace, v.scaler.Name).Set(net)
	}
}

func (m *Metrics) forget(scaler types.NamespacedName) {
	if m == nil {
		return
	}
	for _, g := range []*prometheus.GaugeVec{m.pods, m.current, m.net} {
		g.DeleteLabelValues(scaler.Namespace, scaler.Name)
	}
}
