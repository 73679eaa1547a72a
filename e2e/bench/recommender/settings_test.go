package recommender

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/manifests"
	"supercargo.dev/recommender/estimate"
)

func TestTheExamplesAreTheSettingsThatAreMeasured(t *testing.T) {
	for name, want := range map[string]estimate.Policy{
		"lean": Lean(6, 2), "following": Following(3 * time.Hour),
	} {
		text, err := manifests.Examples.ReadFile("examples/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		var object v1alpha1.RecommendationPolicy
		if err := yaml.UnmarshalStrict(text, &object); err != nil {
			t.Fatal(err)
		}
		got, err := estimate.ParsePolicy(object.Spec)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s.yaml (-measured +example):\n%s", name, d)
		}
	}
}
