package provisioning

import (
	"strings"
	"testing"

	"sigs.k8s.io/karpenter/pkg/events"

	"supercargo.dev/provisioner/packing"
)

// recorded collects events.
type recorded struct{ events []events.Event }

func (r *recorded) Publish(e ...events.Event) { r.events = append(r.events, e...) }

func TestPreferencesThatAPlanDropsAreSaidOnEachPoolThatIsBoughtFromWithTheirPrice(t *testing.T) {
	nodes := []packing.PlannedNode{{Pool: "a"}, {Pool: "b"}, {Pool: "a"}}
	for name, tc := range map[string]struct {
		plan packing.Plan
		want int // events
	}{
		"two pools":        {packing.Plan{Cost: 1.5, Nodes: nodes, Stats: packing.Stats{PreferencesDropped: 3, PreferencePrice: 0.0012}}, 2},
		"nothing bought":   {packing.Plan{Stats: packing.Stats{PreferencesDropped: 3, PreferencePrice: 0.0012}}, 0},
		"all of them kept": {packing.Plan{Cost: 1.5, Nodes: nodes}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorded{}
			(&Controller{recorder: r}).explainPreferences(tc.plan)
			if len(r.events) != tc.want {
				t.Fatalf("%d events, want %d", len(r.events), tc.want)
			}
			for _, e := range r.events {
				if e.Reason != ReasonPreferencesDropped || !strings.Contains(e.Message, "3 preferences") || !strings.Contains(e.Message, "$0.0012/h") {
					t.Errorf("event %s says %q, want the number and the price", e.Reason, e.Message)
				}
			}
		})
	}
}
