package recommendation

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
)

func TestAnImpactThatIsNoLongerKnownIsNoLongerReported(t *testing.T) {
	m, err := NewMetrics(prometheus.NewRegistry(), estimate.NewStore(estimate.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	v := &view{scaler: &v1alpha1.WorkloadScaler{}}
	v.scaler.Status.CostImpact = &v1alpha1.CostImpact{Net: "12.50"}
	if m.observe(v); testutil.CollectAndCount(m.net) != 1 {
		t.Fatal("the impact is not reported")
	}
	v.scaler.Status.CostImpact = nil
	if m.observe(v); testutil.CollectAndCount(m.net) != 0 {
		t.Error("the impact of before is still reported")
	}
}
