package demand_test

import (
	"testing"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/demand"
)

func TestSuccessor(t *testing.T) {
	recommended := demand.Resources{MilliCPU: 250, MemoryBytes: 256 * mi}
	for name, tc := range map[string]struct {
		mode   v1alpha1.UpdateMode
		want   demand.Resources
		wantOK bool
	}{
		"InPlace sets what a new pod asks for": {v1alpha1.UpdateModeInPlace, recommended, true},
		"OnCreate does so too":                 {v1alpha1.UpdateModeOnCreate, recommended, true},
		"in Preview its template decides":      {v1alpha1.UpdateModePreview, demand.Resources{}, false},
	} {
		for _, grouped := range []bool{false, true} {
			x := demand.NewIndex(demand.Options{})
			mustSet(t, x, makeScaler("apps/v1", "Deployment", "web", mode(tc.mode), func(s *v1alpha1.WorkloadScaler) {
				if grouped {
					s.Spec.Resources.ContainerGroups = []v1alpha1.ContainerGroup{{Name: "all", Pattern: "a*"}}
					s.Status.Recommendation.Containers[0].Name = "all"
				}
			}))
			if got, ok := x.Successor(makePod(web())); got != tc.want || ok != tc.wantOK {
				t.Errorf("%s, groups %t: the successor asks for %+v, %t; want %+v, %t", name, grouped, got, ok, tc.want, tc.wantOK)
			}
		}
	}
}
