package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"supercargo.dev/cloudprovider/catalog"
	"supercargo.dev/plan/dump"
	"supercargo.dev/provisioner/packing"
)

// CloudAWS is the one cloud whose prices the catalog holds.
const CloudAWS = "aws"

// DefaultFamilies are the general families of AWS: for computing, balanced, and for memory.
func DefaultFamilies() []string { return []string{"c", "m", "r"} }

// Options say what may be bought and what stays.
type Options struct {
	// Cloud whose catalog is bought from; empty means CloudAWS.
	Cloud string
	// Region to buy in; empty means the one that most nodes are in.
	Region string
	// Zones to buy in; empty means those that the nodes are in.
	Zones []string
	// Families: categories (m), families (m7g) or types (m7g.large); empty means DefaultFamilies.
	Families []string
	// Architectures that every image exists for; empty means that each pod stays on the one that it runs on.
	Architectures []string
	// Spot says whether spot capacity may be bought; empty means SpotOff.
	Spot SpotMode
	// Rightsized packs pods at the sizes that the WorkloadScalers recommend.
	Rightsized bool
	// Keep selects nodes that stay as they are; nil selects none.
	Keep labels.Selector
	// KeepBlocked keeps the nodes with pods that must not be moved.
	KeepBlocked bool
	// MaxPods of a new node; 0 means as the present nodes have it, else what its network interfaces allow.
	MaxPods int
	// Seed decides between plans of equal worth.
	Seed uint64
	// TimeBudget of each packing; 0 means packing.DefaultTimeBudget.
	TimeBudget time.Duration
	// Progress is told what is being done; nil means nobody is.
	Progress func(stage string)

	mostUsedArch string
}

// RequestError is a mistake in what was asked for: a region that there is not, for example.
type RequestError struct{ message string }

func (e RequestError) Error() string { return e.message }

func mistake(format string, args ...any) error { return RequestError{fmt.Sprintf(format, args...)} }

// Make plans the cluster of the objects. change holds the workloads whose cost is asked for; nil means none. What is wrong with
// single objects of the input is in the report; an input that says nothing of a cluster is an error, and so is a RequestError.
func Make(ctx context.Context, objects, change *dump.Objects, o Options) (*Report, error) {
	asked := o.Region
	if err := o.complete(objects, change); err != nil {
		return nil, err
	}
	region, err := catalog.Load(o.Region)
	if err != nil {
		if asked != "" {
			return nil, mistake("%v", err)
		}
		return nil, fmt.Errorf("%w; --region names the one to take the prices of", err)
	}
	if o.Zones, err = zonesToBuyIn(region, o.Zones, objects.Nodes); err != nil {
		return nil, err
	}
	m, err := newMarket(region, &o, objects.Nodes, o.archs(objects))
	if err != nil {
		return nil, err
	}
	sizes, err := newSizes(objects.Scalers, o.Rightsized)
	if err != nil {
		return nil, err
	}
	sizes.regions[region.Name] = region
	c := newCluster(objects, &o, sizes)
	r := &Report{APIVersion: APIVersion, Kind: Kind, Pricing: o.pricing(m), Current: c.summary(), Blockers: c.blockers()}
	c.keepTied(o.KeepBlocked)

	p, err := c.pack(ctx, &o, m)
	if err != nil {
		return nil, err
	}
	if change != nil {
		if p, err = r.price(ctx, c, objects, change, &o, m, sizes, p); err != nil {
			return nil, err
		}
		c = p.c
	}
	p.into(r)
	r.Keep, r.UnknownPrices = c.kept(), c.unknownPrices()
	if m.offer.untold {
		c.notef("the zones' names are this account's own, and not the catalog's: every type is taken to be offered in every zone; nodes with the label %s tell them apart", labelZoneID)
	}
	switch {
	case o.MaxPods > 0:
	case m.limit.prefix:
		c.notef("new nodes take %d pods, and %d from %d vCPU on, as the present ones do", prefixPods, prefixPodsLarge, prefixLargeVCPUs)
	case m.limit.same > 0:
		c.notef("new nodes take %d pods each, as the present ones do", m.limit.same)
	}
	c.noteAssumptions(&o, sizes, p)
	r.Notes, r.Input = c.notes, c.input
	return r, nil
}

// complete fills in what the caller leaves to the cluster.
func (o *Options) complete(objects, change *dump.Objects) error {
	o.Cloud = cmp.Or(o.Cloud, CloudAWS)
	o.Spot = cmp.Or(o.Spot, SpotOff)
	if o.Cloud != CloudAWS {
		return mistake("the catalog has no prices of cloud %q; it has those of %s", o.Cloud, CloudAWS)
	}
	if !slices.Contains([]SpotMode{SpotOff, SpotOn, SpotOnly}, o.Spot) {
		return mistake("spot is %q, want %s, %s or %s", o.Spot, SpotOff, SpotOn, SpotOnly)
	}
	if len(objects.Nodes) == 0 && len(objects.Pods) == 0 && change == nil {
		return errors.New("the input holds neither nodes nor pods")
	}
	if len(objects.Pods) == 0 && change == nil {
		return fmt.Errorf("the input holds %d nodes and no pods: without what runs on them, all of them would look empty", len(objects.Nodes))
	}
	if len(o.Families) == 0 {
		o.Families = DefaultFamilies()
	}
	regions, archs := map[string]int{}, map[string]int{}
	for _, n := range objects.Nodes {
		regions[regionOf(n)]++
		archs[archOf(n)]++
	}
	o.mostUsedArch = cmp.Or(mostUsed(archs), "amd64")
	if o.Region == "" {
		if o.Region = mostUsed(regions); o.Region == "" {
			return mistake("no node names its region: say which one's prices to use with --region")
		}
	}
	return nil
}

// zonesToBuyIn are those asked for, else those of the region that nodes are in, else all of the region.
func zonesToBuyIn(region *catalog.Region, asked []string, nodes []*corev1.Node) ([]string, error) {
	for _, zone := range asked {
		if !slices.Contains(region.Zones, zone) {
			return nil, mistake("region %s has no zone %q; it has %s", region.Name, zone, strings.Join(region.Zones, ", "))
		}
	}
	if len(asked) > 0 {
		return asked, nil
	}
	used := map[string]bool{}
	for _, n := range nodes {
		if zone := zoneOf(n); slices.Contains(region.Zones, zone) {
			used[zone] = true
		}
	}
	if len(used) == 0 {
		return region.Zones, nil
	}
	return slices.Sorted(maps.Keys(used)), nil
}

// mostUsed is the key of the largest count; the first by name among equals.
func mostUsed(counts map[string]int) string {
	best := ""
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		if key != "" && (best == "" || counts[key] > counts[best]) {
			best = key
		}
	}
	return best
}

// archs are the architectures to buy.
func (o *Options) archs(objects *dump.Objects) []string {
	if len(o.Architectures) > 0 {
		return o.Architectures
	}
	used := map[string]bool{o.mostUsedArch: true}
	for _, n := range objects.Nodes {
		used[archOf(n)] = true
	}
	return slices.Sorted(maps.Keys(used))
}

func (o *Options) pricing(m *market) Pricing {
	return Pricing{
		Cloud: o.Cloud, Region: m.region.Name, Zones: m.zones, Families: o.Families, Architectures: m.archs, Spot: o.Spot,
		InstanceTypes: len(m.types), OnDemandAt: day(m.region.OnDemandAt), SpotAt: day(m.region.SpotAt),
		Rightsized: o.Rightsized, Currency: "USD",
	}
}

// packed is a cluster packed anew.
type packed struct {
	c      *cluster
	m      *market
	plan   packing.Plan
	movers []*pod
}

// pack solves the cluster.
func (c *cluster) pack(ctx context.Context, o *Options, m *market) (*packed, error) {
	demanded := demandedLabels(c.pods, m.types)
	found, left := groups(c.nodes, demanded)
	if left > 0 {
		c.notef("%d further groups of nodes, by labels and taints that pods ask for, are not planned for", left)
	}
	problem, movers := c.problem(o, pools(found, m.types))
	if o.Progress != nil {
		o.Progress(fmt.Sprintf("packing %d pods on %d instance types", len(movers), len(m.types)))
	}
	solved, err := packing.Solve(ctx, problem)
	if err != nil {
		return nil, fmt.Errorf("packing, %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &packed{c: c, m: m, plan: solved, movers: movers}, nil
}

// into writes the planned side of the report.
func (p *packed) into(r *Report) {
	var t tally
	bound := p.plan.LowerBound
	for _, n := range p.c.nodes {
		if n.keep != "" {
			t.node(n)
			if !math.IsNaN(n.price) {
				bound += n.price
			}
		}
	}
	p.addTo(&t)
	r.Planned = t.summary()
	r.Bound = Bound{PricePerHour: round(bound), PricePerMonth: round(bound * HoursPerMonth)}
	if bound > 0 {
		r.Bound.GapPercent = math.Round(1e4*max(0, t.s.PricePerHour-bound)/bound) / 100
	}
	r.Savings = Savings{
		PerHour: round(r.Current.PricePerHour - r.Planned.PricePerHour), PerMonth: round(r.Current.PricePerMonth - r.Planned.PricePerMonth),
		AtLeast: r.Current.UnknownPrices > 0, Unknown: p.plan.Stats.UnknownPrices > 0,
	}
	if r.Current.PricePerHour > 0 {
		r.Savings.Percent = tenth(100 * r.Savings.PerHour / r.Current.PricePerHour)
	}
	r.Buy, r.Unplaced = p.purchases(), p.unplaced()
}

// addTo adds what is bought, and what goes on kept nodes.
func (p *packed) addTo(t *tally) {
	for i := range p.plan.Nodes {
		n := &p.plan.Nodes[i]
		it := &p.m.types[p.m.byName[n.InstanceType]]
		t.machine(it.Capacity, it.Allocatable, n.CapacityType == packing.CapacitySpot, n.Price)
		t.s.Pods += int(n.Requests.Pods().Value())
		t.cpu += n.Requests.Cpu().AsApproximateFloat64()
		t.memory += n.Requests.Memory().AsApproximateFloat64()
	}
	for _, b := range p.plan.Bindings {
		t.s.Pods++
		t.cpu += p.movers[b.Pod].wanted.Cpu().AsApproximateFloat64()
		t.memory += p.movers[b.Pod].wanted.Memory().AsApproximateFloat64()
	}
}

// purchases groups equal nodes, the dearest group first.
func (p *packed) purchases() []Purchase {
	type key struct{ group, instanceType, zone, capacityType string }
	found := map[key]*Purchase{}
	totals := map[key]float64{}
	for i := range p.plan.Nodes {
		n := &p.plan.Nodes[i]
		k := key{n.Pool, n.InstanceType, n.Zone, n.CapacityType}
		if found[k] == nil {
			found[k] = &Purchase{
				Group: n.Pool, InstanceType: n.InstanceType, Zone: n.Zone, CapacityType: n.CapacityType, PricePerHour: priced(n.Price),
			}
		}
		found[k].Count++
		found[k].Pods += len(n.Pods)
		totals[k] += n.Price
	}
	out := make([]Purchase, 0, len(found))
	for k, purchase := range found {
		purchase.TotalPerHour = priced(totals[k])
		out = append(out, *purchase)
	}
	total := func(p *Purchase) float64 {
		if p.TotalPerHour == nil {
			return -1
		}
		return *p.TotalPerHour
	}
	slices.SortFunc(out, func(a, b Purchase) int {
		return cmp.Or(cmp.Compare(total(&b), total(&a)), cmp.Compare(a.InstanceType, b.InstanceType), cmp.Compare(a.Zone, b.Zone),
			cmp.Compare(a.CapacityType, b.CapacityType), cmp.Compare(a.Group, b.Group))
	})
	return out
}

// unplaced groups pods without a place by workload and reason, the largest group first.
func (p *packed) unplaced() []Unplaced {
	var out []Unplaced
	index := map[[2]string]int{}
	for i := range p.plan.Unplaced {
		u := &p.plan.Unplaced[i]
		known := p.movers[u.Pod]
		k := [2]string{known.owner, u.Message}
		at, ok := index[k]
		if !ok {
			at = len(out)
			index[k] = at
			out = append(out, Unplaced{Workload: known.owner, Example: known.Namespace + "/" + known.Name, Message: u.Message, Remedy: inTermsOfFlags(u.Remedy)})
		}
		out[at].Pods++
	}
	slices.SortStableFunc(out, func(a, b Unplaced) int { return cmp.Compare(b.Pods, a.Pods) })
	return out
}

// inTermsOfFlags says a remedy that speaks of NodePools, which the plan has not, as what its caller can do.
func inTermsOfFlags(remedy string) string {
	return strings.NewReplacer(
		"allow larger instance types in a NodePool", "allow larger instance types with --families",
		"allow one in a NodePool", "allow one with --families, or keep the nodes that have it with --keep",
		"against the labels and requirements of the NodePools", "against the labels of the nodes that there are, and --zones, --arch, --families and --spot",
		"add spec.tolerations for the taints of the NodePools, or a NodePool without them", "add spec.tolerations for the taints of the nodes that there are",
		"allow the zone of the pod's volumes in a NodePool's spec.template.spec.requirements", "allow the zone of the pod's volumes with --zones",
	).Replace(remedy)
}
