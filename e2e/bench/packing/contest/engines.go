package contest

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/log"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/fake"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/injection"
	"sigs.k8s.io/karpenter/pkg/operator/logging"
	"sigs.k8s.io/karpenter/pkg/test"

	karpoptions "sigs.k8s.io/karpenter/pkg/operator/options"

	"supercargo.dev/provisioner/packing"
)

// Engine is one of those who are compared.
type Engine string

// The engines.
const (
	Supercargo Engine = "supercargo"
	Karpenter  Engine = "karpenter"
)

// Phases says where the time of a run went.
type Phases struct {
	// Inputs is what it takes to put what a cluster states into the form that the engine reads.
	Inputs time.Duration
	// Build is what has to be built anew for each run before it can solve: Karpenter's topology and scheduler, which
	// accumulate state. Supercargo has no such step.
	Build time.Duration
	// Solve is the search itself.
	Solve time.Duration
}

// Total is what one run costs a caller who has the inputs.
func (p Phases) Total() time.Duration { return p.Build + p.Solve }

// run is what an engine returns: a plan, or what becomes one by code that is not part of its time.
type run struct {
	phases Phases
	plan   func() (packing.Plan, error)
}

// reconciles is the concurrency that Karpenter's own benchmark gives its scheduler.
const reconciles = 5

// prepared holds what is made for an engine before its run and outside of its time and memory.
type prepared struct {
	input *Input
	// pods and daemons are copies for Karpenter, which sorts the one and adds tolerations to the other.
	pods, daemons []*corev1.Pod
	client        client.Client
	ctx           context.Context //nolint:containedctx // Karpenter's options travel in the context
}

func prepare(ctx context.Context, e Engine, in *Input) *prepared {
	p := &prepared{input: in, ctx: ctx}
	if e != Karpenter {
		return p
	}
	for _, pod := range in.Pods {
		p.pods = append(p.pods, pod.DeepCopy())
	}
	for _, pod := range in.Daemons {
		p.daemons = append(p.daemons, pod.DeepCopy())
	}
	namespaces := make([]client.Object, 0, len(in.Namespaces))
	for name, labels := range in.Namespaces {
		namespaces = append(namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	}
	log.SetLogger(logging.NopLogger)
	p.client = fakeclient.NewClientBuilder().WithObjects(namespaces...).Build()
	p.ctx = karpoptions.ToContext(injection.WithControllerName(log.IntoContext(ctx, logging.NopLogger), "provisioner"), test.Options())
	return p
}

// solve lets an engine solve what was prepared for it.
func (p *prepared) solve(e Engine) (run, error) {
	if e == Karpenter {
		return p.karpenter()
	}
	return p.supercargo()
}

func (p *prepared) supercargo() (run, error) {
	start := time.Now()
	problem, err := p.input.problem()
	if err != nil {
		return run{}, err
	}
	converted := time.Now()
	plan, err := packing.Solve(p.ctx, problem)
	if err != nil {
		return run{}, fmt.Errorf("solving, %w", err)
	}
	return run{
		phases: Phases{Inputs: converted.Sub(start), Solve: time.Since(converted)},
		plan:   func() (packing.Plan, error) { return plan, nil },
	}, nil
}

// karpenter assembles the scheduler as Karpenter's own benchmark and its provisioner do.
func (p *prepared) karpenter() (run, error) {
	start := time.Now()
	pools := byWeight(p.input.Pools)
	nodePools := make([]*karpv1.NodePool, len(pools))
	instanceTypes := map[string][]*cloudprovider.InstanceType{}
	for i, pool := range pools {
		nodePools[i] = pool.NodePool
		instanceTypes[pool.NodePool.Name] = pool.Types
	}
	realClock := clock.RealClock{}
	cluster := state.NewCluster(realClock, p.client, fake.NewCloudProvider())
	listed := time.Now()

	workers := scheduling.NumConcurrentReconciles(reconciles)
	topology, err := scheduling.NewTopology(p.ctx, p.client, cluster, nil, nodePools, instanceTypes, p.pods, workers)
	if err != nil {
		return run{}, fmt.Errorf("building Karpenter's topology, %w", err)
	}
	scheduler := scheduling.NewScheduler(p.ctx, p.client, nodePools, cluster, nil, topology, instanceTypes, p.daemons,
		events.NewRecorder(&record.FakeRecorder{}), realClock, nil, nil, workers)
	built := time.Now()
	results, err := scheduler.Solve(p.ctx, p.pods)
	if err != nil {
		return run{}, fmt.Errorf("solving with Karpenter, %w", err)
	}
	return run{
		phases: Phases{Inputs: listed.Sub(start), Build: built.Sub(listed), Solve: time.Since(built)},
		plan:   func() (packing.Plan, error) { return planOf(p.input, &results, p.pods) },
	}, nil
}

// planOf puts Karpenter's results into the terms of packing, so that the same code judges both. Each NodeClaim becomes the
// node that a cloud launches which takes the lowest price: the cheapest available offering of the claim's types that its
// requirements allow, the first of several that cost the same. order is how Karpenter sorted the pods, by size: those that it
// had to try again came later, which is not known from outside.
func planOf(in *Input, results *scheduling.Results, order []*corev1.Pod) (packing.Plan, error) {
	index := make(map[types.UID]int, len(in.Pods))
	for i, pod := range in.Pods {
		index[pod.UID] = i
	}
	var plan packing.Plan
	for _, nc := range results.NewNodeClaims {
		node, err := cheapest(nc)
		if err != nil {
			return packing.Plan{}, err
		}
		for _, pod := range nc.Pods {
			node.Pods = append(node.Pods, index[pod.UID])
		}
		plan.Nodes = append(plan.Nodes, node)
	}
	for _, pod := range order {
		if _, failed := results.PodErrors[pod]; !failed {
			plan.Order = append(plan.Order, index[pod.UID])
		}
	}
	for pod, err := range results.PodErrors {
		plan.Unplaced = append(plan.Unplaced, packing.Unplaced{Pod: index[pod.UID], Message: err.Error()})
	}
	return plan, nil
}

func cheapest(nc *scheduling.NodeClaim) (packing.PlannedNode, error) {
	var best *cloudprovider.Offering
	var of *cloudprovider.InstanceType
	for _, it := range nc.InstanceTypeOptions {
		for _, o := range it.Offerings.Available().Compatible(nc.Requirements) {
			if best == nil || o.Price < best.Price {
				best, of = o, it
			}
		}
	}
	if best == nil {
		return packing.PlannedNode{}, fmt.Errorf("a NodeClaim of Karpenter's with %d pods has no offering that its requirements allow", len(nc.Pods))
	}
	labels := singleValues(of.Requirements)
	// What the claim asks for by name has been decided; the rest is the offering's.
	for k, v := range nc.ToNodeClaim().Labels {
		labels[k] = v
	}
	for k, v := range singleValues(best.Requirements) {
		labels[k] = v
	}
	return packing.PlannedNode{
		Pool: nc.NodePoolName, InstanceType: of.Name, Zone: best.Zone(), CapacityType: best.CapacityType(), Price: best.Price, Labels: labels,
		Alternatives: []packing.Alternative{{InstanceType: of.Name, Zone: best.Zone(), CapacityType: best.CapacityType(), Price: best.Price}},
	}, nil
}
