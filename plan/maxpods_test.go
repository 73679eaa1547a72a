package plan_test

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/plan"
)

func TestNewNodesTakeAsManyPodsAsThePresentOnes(t *testing.T) {
	// 60 pods that need next to nothing fit one c5.large by cpu and memory; its interfaces allow 29.
	for name, tc := range map[string]struct {
		pods  map[string]string // of the node of each type
		asked int
		want  int // nodes
		note  string
	}{
		"by interfaces, as they are now":      {pods: map[string]string{"c5.large": "29", "c5.xlarge": "58"}, want: 3},
		"by interfaces, where nothing rhymes": {pods: map[string]string{"c5.large": "40", "c5.xlarge": "70"}, want: 3},
		"one number for all":                  {pods: map[string]string{"c5.large": "64", "c5.xlarge": "64"}, want: 1, note: "new nodes take 64 pods each"},
		"prefixes":                            {pods: map[string]string{"c5.large": "110", "c5.9xlarge": "250"}, want: 1, note: "110 pods, and 250 from 30 vCPU on"},
		"as asked":                            {pods: map[string]string{"c5.large": "29"}, asked: 100, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := new(cluster)
			for instanceType := range tc.pods {
				c.node("n-"+instanceType, instanceType, "us-east-1a", "")
			}
			for i := range 60 {
				c.add(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%d","namespace":"web"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1m","memory":"1Mi"}}}]}}`, i)
			}
			o := c.objects(t)
			for _, n := range o.Nodes {
				n.Status.Capacity["pods"] = resource.MustParse(tc.pods[n.Labels["node.kubernetes.io/instance-type"]])
			}
			r, err := plan.Make(context.Background(), o, nil, plan.Options{MaxPods: tc.asked, Families: []string{"c5.large"}})
			if err != nil {
				t.Fatal(err)
			}
			if r.Planned.Nodes != tc.want || !strings.Contains(strings.Join(r.Notes, "\n"), tc.note) {
				t.Errorf("%d nodes, want %d; notes %q", r.Planned.Nodes, tc.want, r.Notes)
			}
		})
	}
}
