package manifests

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestRecommendationPoliciesThatCannotWorkAreRefused(t *testing.T) {
	definition := crds(t)["crds/supercargo.dev_recommendationpolicies.yaml"]
	for name, c := range map[string]struct{ spec, want string }{
		"nothing stated":              {"{}", ""},
		"everything stated":           {"{cpu: {function: Percentile, percentile: 90, burst: 3m, min: 1m, max: 2}, surge: {enabled: true}, newcomer: {for: 8h, cpu: 3m, memory: 72Mi, minMemory: 0}}", ""},
		"a pattern of cpu":            {"{cpu: {function: Pattern, percentile: 98}}", ""},
		"a pattern of memory":         {"{memory: {function: Pattern}}", "function Pattern is for cpu"},
		"a percentile of the maximum": {"{cpu: {function: Max, percentile: 95}}", "percentile has no meaning with function Max"},
		"a minimum above the maximum": {"{cpu: {min: 2, max: 1}}", "min must not exceed max"},
		"a percentile of 101":         {"{cpu: {percentile: 101}}", "spec.cpu.percentile"},
		"an unknown function":         {"{cpu: {function: Median}}", "spec.cpu.function"},
		"bursts that are no quantity": {"{cpu: {burst: much}}", "spec.cpu.burst"},
		"a time that is none":         {"{newcomer: {for: a while}}", "spec.newcomer.for"},
	} {
		t.Run(name, func(t *testing.T) {
			object := &unstructured.Unstructured{}
			text := "{apiVersion: supercargo.dev/v1alpha1, kind: RecommendationPolicy, metadata: {name: x}, spec: " + c.spec + "}"
			raw, err := yaml.YAMLToJSON([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := object.UnmarshalJSON(raw); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(problems(t, definition, object), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
