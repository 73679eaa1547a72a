package insight

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestScoresEfficiencyAndImpact(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]struct {
		resources []Resource
		want      Summary
	}{
		"requests twice what is needed, half of them used": {
			[]Resource{
				{Name: "cpu", Request: 4, Usage: 1, Recommended: 2, Price: 0.03},
				{Name: "memory", Request: 8, Usage: 6, Recommended: 4, Price: 0.005},
			},
			// weights .12 and .04; used .03+.03 of .16; savings (.06+.02) an hour
			Summary{Score: 50, Efficiency: 0.375, Savings: 58.4, Net: 58.4, Resources: []Score{{"cpu", 50, 0.25}, {"memory", 50, 0.75}}},
		},
		"one up and one down": {
			[]Resource{
				{Name: "cpu", Request: 2, Usage: 1, Recommended: 1, Price: 0.03},
				{Name: "memory", Request: 1, Usage: 3, Recommended: 4, Price: 0.005},
			},
			// weights .06 and .02 by the greater of request and need
			Summary{
				Score: (0.06*50 + 0.02*25) / 0.08, Efficiency: 0.035 / 0.065, Savings: 21.9, Reinvestment: 10.95, Net: 10.95,
				Resources: []Score{{"cpu", 50, 0.5}, {"memory", 25, 3}},
			},
		},
		"within the drift thresholds scores 100": {
			[]Resource{{Name: "cpu", Request: 100, Usage: 50, Recommended: 95, Price: 1, InDrift: true}},
			Summary{Score: 100, Efficiency: 0.5, Savings: 3650, Net: 3650, Resources: []Score{{"cpu", 100, 0.5}}},
		},
		"an unset request scores 0": {
			[]Resource{{Name: "cpu", Usage: 1, Recommended: 2, Price: 1}},
			Summary{Score: 0, Efficiency: nan, Reinvestment: 1460, Net: -1460, Resources: []Score{{"cpu", 0, nan}}},
		},
		"an unknown price gives scores and no money": {
			[]Resource{
				{Name: "cpu", Request: 4, Usage: 1, Recommended: 2, Price: nan},
				{Name: "memory", Request: 4, Usage: 4, Recommended: 4, Price: 0.005},
			},
			Summary{Score: 75, Efficiency: 0.625, Savings: nan, Reinvestment: nan, Net: nan, Resources: []Score{{"cpu", 50, 0.25}, {"memory", 100, 1}}},
		},
		"nothing to score": {nil, Summary{Score: nan, Efficiency: nan}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, Summarize(c.resources), cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-9, 0)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPriorityPutsSureAndSafeSavingsFirst(t *testing.T) {
	sure, risky := Outlook{Confidence: 1, Stability: 1}, Outlook{Confidence: 1, Stability: 1, Risk: 0.9}
	if got := Priority(100, Outlook{Confidence: 0.5, Stability: 0.5, Risk: 0.2}); math.Abs(got-20) > 1e-9 {
		t.Errorf("got %v, want 100 x 0.5 x 0.5 x 0.8", got)
	}
	if Priority(100, sure) <= Priority(500, risky) {
		t.Error("500 USD at a risk of 0.9 come before 100 USD without")
	}
	if got := Priority(math.NaN(), sure); got != 0 {
		t.Errorf("an unknown net has priority %v", got)
	}
	if got := Priority(10, Outlook{Confidence: 7, Stability: math.NaN()}); got != 0 {
		t.Errorf("unknown stability has priority %v", got)
	}
}
