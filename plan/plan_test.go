package plan_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/labels"

	"supercargo.dev/plan"
	"supercargo.dev/plan/dump"
)

// cluster builds a dump line by line.
type cluster struct{ text strings.Builder }

func (c *cluster) add(format string, args ...any) *cluster {
	fmt.Fprintf(&c.text, format+"\n", args...)
	return c
}

// node adds a node of a type in a zone of us-east-1; more is appended to its labels.
func (c *cluster) node(name, instanceType, zone, more string) *cluster {
	return c.add(`{"apiVersion":"v1","kind":"Node","metadata":{"name":%q,"labels":{"node.kubernetes.io/instance-type":%q,
"topology.kubernetes.io/zone":%q,"topology.kubernetes.io/region":"us-east-1","kubernetes.io/arch":"amd64","kubernetes.io/os":"linux","kubernetes.io/hostname":%q%s}},
"spec":{"providerID":"aws:///%s/i-1"},"status":{"capacity":{"cpu":"8","memory":"32Gi","pods":"58"},"allocatable":{"cpu":"7910m","memory":"30Gi","pods":"58"}}}`,
		name, instanceType, zone, name, more, zone)
}

// pod adds a pod of a Deployment; metadata and spec are appended to what it has, and begin with a comma.
func (c *cluster) pod(name, node, cpu, metadata, spec string) *cluster {
	return c.add(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":"web","uid":%q,"labels":{"app":"x","pod-template-hash":"abc"},
"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"x-abc","uid":"1","controller":true}]%s},
"spec":{"nodeName":%q,"containers":[{"name":"main","resources":{"requests":{"cpu":%q,"memory":"1Gi"}}}]%s},"status":{"phase":"Running"}}`,
		name, "uid-"+name, metadata, node, cpu, spec)
}

func (c *cluster) objects(t testing.TB) *dump.Objects {
	t.Helper()
	var o dump.Objects
	if err := o.Read(context.Background(), "test", strings.NewReader(c.text.String()), dump.Options{}); err != nil {
		t.Fatal(err)
	}
	if len(o.Problems) > 0 {
		t.Fatalf("the test's own dump is broken: %v", o.Problems)
	}
	return &o
}

func (c *cluster) plan(t testing.TB, o plan.Options) *plan.Report {
	t.Helper()
	r, err := plan.Make(context.Background(), c.objects(t), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func TestThePriceOfANode(t *testing.T) {
	for name, tc := range map[string]struct {
		labels, annotation string
		provider           string
		instanceType       string
		want               float64
		unknown            string
	}{
		"is the list price":               {instanceType: "m5.2xlarge", want: 0.384},
		"is what its annotation says":     {instanceType: "m5.2xlarge", annotation: "0.25", want: 0.25},
		"is lower for Karpenter's spot":   {instanceType: "m5.2xlarge", labels: `,"karpenter.sh/capacity-type":"spot"`, want: -1},
		"is lower for EKS's spot":         {instanceType: "m5.2xlarge", labels: `,"eks.amazonaws.com/capacityType":"SPOT"`, want: -1},
		"is unknown for a bad annotation": {instanceType: "m5.2xlarge", annotation: "free", unknown: `annotation supercargo.dev/price-per-hour is no price: "free"`},
		"is unknown for another type":     {instanceType: "m99.huge", unknown: "the catalog has no m99.huge in us-east-1"},
		"is unknown for another cloud":    {instanceType: "n2-standard-8", provider: "gce", unknown: `the catalog has no prices of provider "gce"; annotate the node with supercargo.dev/price-per-hour`},
	} {
		t.Run(name, func(t *testing.T) {
			c := new(cluster).node("n", tc.instanceType, "us-east-1a", tc.labels).pod("p", "n", "1", "", "")
			o := c.objects(t)
			if tc.annotation != "" {
				o.Nodes[0].Annotations = map[string]string{"supercargo.dev/price-per-hour": tc.annotation}
			}
			if tc.provider != "" {
				o.Nodes[0].Spec.ProviderID = tc.provider + "://project/zone/x"
			}
			r, err := plan.Make(context.Background(), o, nil, plan.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if tc.unknown != "" {
				want := []plan.UnknownPrice{{Reason: tc.unknown, Nodes: 1, Example: "n"}}
				if d := cmp.Diff(want, r.UnknownPrices); d != "" || r.Current.PricePerHour != 0 || r.Current.UnknownPrices != 1 || !r.Savings.AtLeast {
					t.Errorf("current %+v savings %+v, -want +got:\n%s", r.Current, r.Savings, d)
				}
				return
			}
			if tc.want < 0 {
				if r.Current.PricePerHour <= 0 || r.Current.PricePerHour >= 0.384 || r.Current.SpotNodes != 1 {
					t.Errorf("current %+v, want a spot price below 0.384", r.Current)
				}
			} else if !near(r.Current.PricePerHour, tc.want) {
				t.Errorf("price %v, want %v", r.Current.PricePerHour, tc.want)
			}
			if len(r.UnknownPrices) > 0 {
				t.Errorf("unknown prices %v", r.UnknownPrices)
			}
		})
	}
}

func TestNodesThatAPlanDoesNotReplaceStay(t *testing.T) {
	keep, err := labels.Parse("team=db")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		labels  string
		pod     string // spec
		meta    string
		gpu     bool
		options plan.Options
		want    string
	}{
		"of no special kind":               {want: ""},
		"of the control plane":             {labels: `,"node-role.kubernetes.io/control-plane":""`, want: "control plane"},
		"with accelerators":                {gpu: true, want: "accelerators"},
		"of Fargate":                       {labels: `,"eks.amazonaws.com/compute-type":"fargate"`, want: "serverless"},
		"of --keep":                        {labels: `,"team":"db"`, options: plan.Options{Keep: keep}, want: "chosen by --keep"},
		"that a pod asks for by name":      {pod: `,"nodeSelector":{"kubernetes.io/hostname":"n"}`, want: "pods that ask for this node by name"},
		"with a claimed device":            {pod: `,"resourceClaims":[{"name":"gpu","resourceClaimTemplateName":"one"}]`, want: "pods with claimed devices"},
		"with a local volume":              {pod: `,"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"local"}}]`, want: "local volumes"},
		"with a pod that must not move":    {meta: `,"annotations":{"karpenter.sh/do-not-disrupt":"true"}`, options: plan.Options{KeepBlocked: true}, want: "pods that must not be moved"},
		"whose pod must not move, unasked": {meta: `,"annotations":{"karpenter.sh/do-not-disrupt":"true"}`, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := new(cluster).node("n", "m5.2xlarge", "us-east-1a", tc.labels).pod("p", "n", "1", tc.meta, tc.pod)
			c.add(`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"local","namespace":"web"},"spec":{"volumeName":"pv"}}`)
			c.add(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv"},"spec":{"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In","values":["n"]}]}]}}}}`)
			o := c.objects(t)
			if tc.gpu {
				o.Nodes[0].Status.Allocatable["nvidia.com/gpu"] = o.Nodes[0].Status.Allocatable["pods"]
			}
			r, err := plan.Make(context.Background(), o, nil, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, k := range r.Keep {
				got = k.Reason
			}
			if got != tc.want {
				t.Errorf("kept for %q, want %q", got, tc.want)
			}
			if tc.want != "" && (len(r.Buy) != 0 || !near(r.Planned.PricePerHour, r.Current.PricePerHour)) {
				t.Errorf("planned %+v buys %v, want what there is", r.Planned, r.Buy)
			}
		})
	}
}

func TestPodsKeepToWhatHoldsForThem(t *testing.T) {
	volume := `,"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"data"}}]`
	for name, tc := range map[string]struct {
		meta, spec string
		nodeLabels string
		taint      bool
		objects    string
		options    plan.Options
		want       func(plan.Purchase) bool
		unplaced   bool
		note       string
	}{
		"on-demand only unless asked otherwise": {want: func(p plan.Purchase) bool { return p.CapacityType == "on-demand" }},
		"spot where it is cheaper":              {options: plan.Options{Spot: plan.SpotOn}, want: func(p plan.Purchase) bool { return p.CapacityType == "spot" }},
		"on-demand where a pod refuses spot": {
			meta: `,"annotations":{"supercargo.dev/spot":"never"}`, options: plan.Options{Spot: plan.SpotOn},
			want: func(p plan.Purchase) bool { return p.CapacityType == "on-demand" },
		},
		"on-demand where its namespace refuses spot": {
			objects: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"web","annotations":{"supercargo.dev/spot":"never"}}}`,
			options: plan.Options{Spot: plan.SpotOn}, want: func(p plan.Purchase) bool { return p.CapacityType == "on-demand" },
		},
		"the zone of the volume": {
			spec: volume, want: func(p plan.Purchase) bool { return p.Zone == "us-east-1b" },
			objects: `{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data","namespace":"web"},"spec":{"volumeName":"pv"}}
{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv"},"spec":{"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.ebs.csi.aws.com/zone","operator":"In","values":["us-east-1b"]}]}]}}}}`,
		},
		"the zone of the pod where the volume is not in the input": {
			spec: volume, want: func(p plan.Purchase) bool { return p.Zone == "us-east-1b" },
			note: "the volumes of 1 pods are not in the input; these pods stay in their zones",
		},
		"where the class of a volume that is yet to be made allows": {
			spec: volume, want: func(p plan.Purchase) bool { return p.Zone == "us-east-1d" },
			objects: `{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data","namespace":"web"},"spec":{"storageClassName":"late"}}
{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"late"},"provisioner":"ebs.csi.aws.com","volumeBindingMode":"WaitForFirstConsumer",
"allowedTopologies":[{"matchLabelExpressions":[{"key":"topology.ebs.csi.aws.com/zone","values":["us-east-1d"]}]}]}`,
			options: plan.Options{Zones: []string{"us-east-1a", "us-east-1d"}},
		},
		"the labels that a pod asks for": {
			nodeLabels: `,"team":"data"`, spec: `,"nodeSelector":{"team":"data"}`, want: func(p plan.Purchase) bool { return p.Group == "team=data" },
		},
		"the pool that a pod asks for": {
			nodeLabels: `,"karpenter.sh/nodepool":"batch"`, spec: `,"nodeSelector":{"karpenter.sh/nodepool":"batch"}`,
			want: func(p plan.Purchase) bool { return p.Group == "batch" },
		},
		"nowhere, with labels that no node has": {spec: `,"nodeSelector":{"team":"nobody"}`, unplaced: true},
		"amd64, as it runs today":               {want: func(p plan.Purchase) bool { return !strings.Contains(p.InstanceType, "g.") }},
		"arm64 where images exist for it":       {options: plan.Options{Architectures: []string{"amd64", "arm64"}}, want: func(p plan.Purchase) bool { return strings.Contains(p.InstanceType, "g.") }},
		"the families asked for":                {options: plan.Options{Families: []string{"r6i"}}, want: func(p plan.Purchase) bool { return strings.HasPrefix(p.InstanceType, "r6i.") }},
		"the zones asked for":                   {options: plan.Options{Zones: []string{"us-east-1d"}}, want: func(p plan.Purchase) bool { return p.Zone == "us-east-1d" }},
	} {
		t.Run(name, func(t *testing.T) {
			c := new(cluster).node("n", "m5.2xlarge", "us-east-1b", tc.nodeLabels).node("other", "m5.2xlarge", "us-east-1a", "").
				pod("p", "n", "3", tc.meta, tc.spec).add("%s", tc.objects)
			r := c.plan(t, tc.options)
			if tc.unplaced {
				if len(r.Unplaced) != 1 || r.Unplaced[0].Workload != "Deployment web/x" || r.Unplaced[0].Remedy == "" {
					t.Errorf("unplaced %+v", r.Unplaced)
				}
				return
			}
			if len(r.Buy) != 1 || len(r.Unplaced) != 0 || !tc.want(r.Buy[0]) {
				t.Errorf("buys %+v, unplaced %+v", r.Buy, r.Unplaced)
			}
			if tc.note != "" && !strings.Contains(strings.Join(r.Notes, "\n"), tc.note) {
				t.Errorf("notes %q lack %q", r.Notes, tc.note)
			}
		})
	}
}

// TestNodesTakeNoMoreVolumesThanTheirDriverAttaches has three pods with a volume each, whose node's driver has registered
// a limit; only the type of that node may be bought.
func TestNodesTakeNoMoreVolumesThanTheirDriverAttaches(t *testing.T) {
	for limit, want := range map[int]int{0: 1, 1: 3, 2: 2, 3: 1} {
		c := new(cluster).node("n", "m5.2xlarge", "us-east-1a", "")
		for i := range 3 {
			c.pod(fmt.Sprintf("p%d", i), "n", "1", "", fmt.Sprintf(`,"nodeSelector":{"node.kubernetes.io/instance-type":"m5.2xlarge"},"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"c%d"}}]`, i))
			c.add(`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"c%[1]d","namespace":"web"},"spec":{"volumeName":"pv%[1]d"}}`, i)
			c.add(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv%[1]d"},"spec":{"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"vol-%[1]d"}}}`, i)
		}
		if limit > 0 {
			c.add(`{"apiVersion":"storage.k8s.io/v1","kind":"CSINode","metadata":{"name":"n"},"spec":{"drivers":[{"name":"ebs.csi.aws.com","nodeID":"n","allocatable":{"count":%d}}]}}`, limit)
		}
		r := c.plan(t, plan.Options{})
		got := 0
		for _, b := range r.Buy {
			got += b.Count
		}
		if got != want || len(r.Unplaced) > 0 {
			t.Errorf("limit %d: %d nodes bought and %d kinds of pods unplaced, want %d nodes", limit, got, len(r.Unplaced), want)
		}
	}
}

const daemonPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"agent-%[1]s","namespace":"kube-system","uid":"agent-%[1]s","ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"agent","uid":"2","controller":true}]},
"spec":{"nodeName":%[1]q,"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":[%[1]q]}]}]}}},
"containers":[{"name":"main","resources":{"requests":{"cpu":"500m","memory":"1Gi"}}}]},"status":{"phase":"Running"}}`

func TestDaemonsAreOverheadOfEveryNewNode(t *testing.T) {
	build := func() *cluster {
		c := new(cluster)
		for _, name := range []string{"a", "b", "c", "d"} {
			c.node(name, "m5.2xlarge", "us-east-1a", "").add(daemonPod, name).pod("p-"+name, name, "900m", "", "")
			c.add(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"proxy-%[1]s","namespace":"kube-system","uid":"proxy-%[1]s","annotations":{"kubernetes.io/config.mirror":"x"}},
"spec":{"nodeName":%[1]q,"containers":[{"name":"main","resources":{"requests":{"cpu":"100m"}}}]},"status":{"phase":"Running"}}`, name)
		}
		return c
	}
	r := build().plan(t, plan.Options{Families: []string{"m5.xlarge", "m5.2xlarge"}})
	// 3,920m of an m5.xlarge less 600m of daemons holds 3 pods; 7,910m less 600m all 4 of them. Either costs the same.
	if r.Input.DaemonPods != 4 || r.Input.StaticPods != 4 || r.Planned.Pods != 4+2*r.Planned.Nodes {
		t.Errorf("input %+v, planned %+v", r.Input, r.Planned)
	}
	if !near(r.Planned.PricePerHour, 0.384) {
		t.Errorf("planned %+v, want 0.384", r.Planned)
	}
	if d := cmp.Diff([]string{"1 daemonsets are not in the input; what they ask for is taken from one of their pods each"}, r.Notes); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	listed := build().add(`{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"agent","namespace":"kube-system"},"spec":{"template":{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"500m","memory":"1Gi"}}}]}}}}`)
	with := listed.plan(t, plan.Options{Families: []string{"m5.xlarge", "m5.2xlarge"}})
	if d := cmp.Diff(r, with, cmpopts.IgnoreFields(plan.Report{}, "Notes")); d != "" || len(with.Notes) != 0 {
		t.Errorf("notes %q, inferred -, listed +:\n%s", with.Notes, d)
	}
}

func TestRightsizedPacksWhatIsRecommended(t *testing.T) {
	scaler := `{"apiVersion":"supercargo.dev/v1alpha1","kind":"WorkloadScaler","metadata":{"name":"x","namespace":"web"},"spec":{"targetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"x"}},
"status":{"policy":{"mode":%q},"recommendation":{"computedAt":"2026-03-01T00:00:00Z","hash":"h","confidence":{"level":%q,"watched":"24h0m0s","coveragePercent":90},"containers":[{"name":"main","requests":{"cpu":"200m","memory":"256Mi"}}]}}}`
	for name, tc := range map[string]struct {
		mode, confidence string
		rightsized       bool

		note string
	}{
		"in Preview too":             {mode: "Preview", confidence: "Full", rightsized: true, note: "1 pods are packed at the size"},
		"not at low confidence":      {mode: "Auto", confidence: "Low", rightsized: true, note: "0 pods are packed at the size"},
		"not without being asked to": {mode: "Auto", confidence: "Full"},
	} {
		t.Run(name, func(t *testing.T) {
			c := new(cluster).node("n", "m5.2xlarge", "us-east-1a", "").pod("p", "n", "7", "", "").add(scaler, tc.mode, tc.confidence)
			r := c.plan(t, plan.Options{Rightsized: tc.rightsized})
			small := r.Planned.VCPU <= 2
			if want := tc.confidence == "Full" && tc.rightsized; small != want {
				t.Errorf("planned %+v, small %t, want %t", r.Planned, small, want)
			}
			if !strings.Contains(strings.Join(r.Notes, "\n"), tc.note) {
				t.Errorf("notes %q lack %q", r.Notes, tc.note)
			}
		})
	}
}

func TestWhatStandsInTheWayIsCounted(t *testing.T) {
	c := new(cluster).node("a", "m5.2xlarge", "us-east-1a", "").node("b", "m5.2xlarge", "us-east-1a", "").
		pod("held", "a", "100m", `,"annotations":{"cluster-autoscaler.kubernetes.io/safe-to-evict":"false"}`, "").
		pod("scratch", "a", "100m", "", `,"volumes":[{"name":"tmp","emptyDir":{}}]`).
		pod("alone", "b", "100m", "", `,"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"x"}}}]}}`).
		add(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"bare","namespace":"ops"},"spec":{"nodeName":"b","containers":[{"name":"c"}]},"status":{"phase":"Running"}}`).
		add(`{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"x","namespace":"ops"},"spec":{"selector":{},"minAvailable":1},"status":{"expectedPods":1,"disruptionsAllowed":0,"currentHealthy":1,"desiredHealthy":1}}`)
	r := c.plan(t, plan.Options{})
	type line struct {
		Reason      string
		Pods, Nodes int
		Example     string
	}
	var got []line
	for _, b := range r.Blockers {
		got = append(got, line{b.Reason, b.Pods, b.Nodes, b.Example})
		if !near(b.PricePerHour, 0.384*float64(b.Nodes)) {
			t.Errorf("%s: %v $/hour for %d nodes", b.Reason, b.PricePerHour, b.Nodes)
		}
	}
	want := []line{
		{plan.BlockerDoNotDisrupt, 1, 1, "web/held"},
		{plan.BlockerBudgetExhausted, 1, 1, "ops/bare"},
		{plan.BlockerNoController, 1, 1, "ops/bare"},
		{plan.BlockerLocalStorage, 1, 1, "web/scratch"},
		{plan.BlockerStrictAntiAffinity, 1, 1, "web/alone"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestFinishedAndGatedPodsAreNotPlannedFor(t *testing.T) {
	c := new(cluster).node("n", "m5.2xlarge", "us-east-1a", "").pod("p", "n", "1", "", "").pod("going", "n", "1", `,"deletionTimestamp":"2026-03-01T00:00:00Z"`, "").
		pod("gated", "", "1", "", `,"schedulingGates":[{"name":"wait"}]`).pod("waiting", "", "1", "", "").pod("lost", "gone", "1", "", "").
		add(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"done","namespace":"web"},"spec":{"nodeName":"n","containers":[{"name":"c"}]},"status":{"phase":"Succeeded"}}`)
	r := c.plan(t, plan.Options{})
	want := plan.Input{Nodes: 1, Pods: 3, FinishedPods: 2, PendingPods: 1, GatedPods: 1}
	if d := cmp.Diff(want, r.Input, cmpopts.IgnoreFields(plan.Input{}, "Ignored")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if want := "1 pods are on nodes that the input does not hold"; !strings.Contains(strings.Join(r.Notes, "\n"), want) {
		t.Errorf("notes %q lack %q", r.Notes, want)
	}
	if r.Planned.Pods != 3 || r.Current.Pods != 1 {
		t.Errorf("planned %d pods, current %d", r.Planned.Pods, r.Current.Pods)
	}
}

func TestTheBoundIsNeverAboveThePlan(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		o := generated(t, seed)
		for _, options := range []plan.Options{{}, {Spot: plan.SpotOn}, {Families: []string{"m5", "r5"}}} {
			r, err := plan.Make(context.Background(), o, nil, options)
			if err != nil {
				t.Fatal(err)
			}
			if r.Bound.PricePerHour > r.Planned.PricePerHour+1e-4 || len(r.Unplaced) > 0 {
				t.Errorf("seed %d: bound %v above plan %v, unplaced %v", seed, r.Bound, r.Planned, r.Unplaced)
			}
			if want := r.Input.Pods - r.Input.DaemonPods + 2*r.Planned.Nodes; r.Planned.Pods != want {
				t.Errorf("seed %d: %d pods planned, want %d", seed, r.Planned.Pods, want)
			}
		}
	}
}

func TestMistakesInTheRequestAreErrors(t *testing.T) {
	one := func() *cluster {
		return new(cluster).node("n", "m5.2xlarge", "us-east-1a", "").pod("p", "n", "1", "", "")
	}
	for name, tc := range map[string]struct {
		c    *cluster
		o    plan.Options
		want string
	}{
		"another cloud":     {one(), plan.Options{Cloud: "gcp"}, `no prices of cloud "gcp"`},
		"an unknown region": {one(), plan.Options{Region: "moon-1"}, `region "moon-1" is not in the catalog`},
		"an unknown zone":   {one(), plan.Options{Zones: []string{"us-east-1z"}}, `no zone "us-east-1z"`},
		"an unknown mode":   {one(), plan.Options{Spot: "maybe"}, `spot is "maybe"`},
		"no such families":  {one(), plan.Options{Families: []string{"zz"}}, "no instance type of the families zz"},
		"an empty input":    {new(cluster), plan.Options{}, "neither nodes nor pods"},
		"no region":         {new(cluster).pod("p", "", "1", "", ""), plan.Options{}, "--region"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := plan.Make(context.Background(), tc.c.objects(t), nil, tc.o)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
