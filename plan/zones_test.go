package plan_test

import (
	"strings"
	"testing"

	"supercargo.dev/plan"
)

func TestTheNamesOfZonesAreTheAccountsOwn(t *testing.T) {
	// By the catalog's names us-east-1c is use1-az3, which offers few types: no m6i among them.
	for name, tc := range map[string]struct {
		instanceType, labels string
		want                 string // family bought
		note                 bool
	}{
		"as the catalog has them":          {"m4.2xlarge", "", "m4", false},
		"shown by a node that runs there":  {"m6i.2xlarge", "", "m6i", true},
		"shown by the zone's ID":           {"m6i.2xlarge", `,"topology.k8s.aws/zone-id":"use1-az4"`, "m6i", false},
		"shown by the ID of the poor zone": {"m4.2xlarge", `,"topology.k8s.aws/zone-id":"use1-az3"`, "m4", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := new(cluster).node("n", tc.instanceType, "us-east-1c", tc.labels).pod("p", "n", "7", "", "").
				plan(t, plan.Options{Families: []string{"m4.2xlarge", "m6i.2xlarge"}})
			if len(r.Buy) != 1 || !strings.HasPrefix(r.Buy[0].InstanceType, tc.want+".") || r.Buy[0].Zone != "us-east-1c" {
				t.Errorf("buys %+v, unplaced %+v", r.Buy, r.Unplaced)
			}
			if got := strings.Contains(strings.Join(r.Notes, "\n"), "this account's own"); got != tc.note {
				t.Errorf("notes %q", r.Notes)
			}
		})
	}
}
