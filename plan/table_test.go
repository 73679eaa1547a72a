package plan_test

import (
	"bytes"
	"strings"
	"testing"

	"supercargo.dev/plan"
	"supercargo.dev/plan/dump"
)

func TestTheTableSaysWhatIsNotKnown(t *testing.T) {
	usd := 0.25
	for name, tc := range map[string]struct {
		report plan.Report
		want   []string
		not    []string
	}{
		"savings": {
			plan.Report{Current: plan.Summary{PricePerHour: 2}, Savings: plan.Savings{PerHour: 1, Percent: 50}},
			[]string{"Saves 50.0% of the current price"},
			[]string{"≥", "unknown."},
		},
		"a plan that costs more": {
			plan.Report{Current: plan.Summary{PricePerHour: 2}, Savings: plan.Savings{PerHour: -1, Percent: -50}},
			[]string{"Costs 50.0% more than now"},
			[]string{"Saves"},
		},
		"nothing to compare with": {plan.Report{}, []string{"The plan is at most 0.00% above"}, []string{"Saves", "Costs"}},
		"current nodes without a price": {
			plan.Report{
				Current: plan.Summary{PricePerHour: 2, UnknownPrices: 1}, Savings: plan.Savings{PerHour: 1, Percent: 50, AtLeast: true},
				UnknownPrices: []plan.UnknownPrice{{Reason: "no label", Nodes: 1, Example: "n"}},
			},
			[]string{"≥ 2.0000", "Saves ≥ 50.0%", "1  no label (n)"},
			nil,
		},
		"planned nodes without a price": {
			plan.Report{
				Current: plan.Summary{PricePerHour: 2}, Planned: plan.Summary{UnknownPrices: 1}, Savings: plan.Savings{Unknown: true},
				Buy: []plan.Purchase{{InstanceType: "m99.large", Count: 1}, {InstanceType: "m5.large", Count: 2, PricePerHour: &usd, TotalPerHour: &usd}},
			},
			[]string{"unknown", "NODES TO BUY (3)", "0.2500"},
			[]string{"Saves"},
		},
		"an input with problems": {
			plan.Report{Input: plan.Input{Problems: []dump.Problem{{Source: "x"}}}}, []string{"1 problem with the input"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := tc.report.WriteTable(&out); err != nil {
				t.Fatal(err)
			}
			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("lacks %q:\n%s", want, out.String())
				}
			}
			for _, not := range tc.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("has %q:\n%s", not, out.String())
				}
			}
		})
	}
}
