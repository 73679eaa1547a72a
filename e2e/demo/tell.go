package demo

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/demo/apps"
	"supercargo.dev/e2e/demo/observe"
	"supercargo.dev/e2e/sandbox"
)

// Limits of the steps. Each is several times what the step takes on an idle machine of two cores.
const (
	poolLimit        = 30 * time.Second
	buyLimit         = 90 * time.Second
	resizeLimit      = 2 * time.Minute
	consolidateLimit = 3 * time.Minute
	interruptLimit   = 3 * time.Minute
	batchLimit       = 3 * time.Minute
	// removeLimit is what the invariant allows, and a little to measure by how much it is missed.
	removeLimit = scaleDownLimit + 30*time.Second

	// shortQuiet without a machine coming or going is the end of a step; after consolidation it is longer, since there may be
	// another round of it.
	shortQuiet, longQuiet = 4 * time.Second, 20 * time.Second
	// backToNormal is how much dearer than before the batch the cluster may stay: less than consolidation moves pods for
	// (--consolidation-min-saving, --consolidation-min-saving-per-hour).
	backToNormalShare, backToNormalUSD = 1.03, 0.01
)

// tell goes through the steps.
func (s *story) tell(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.pool, s.buy, s.rightsize, s.consolidate, s.interrupt, s.batch} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close ends a stage with a snapshot.
func (s *story) close(ctx context.Context, name string, end observe.Snapshot) error {
	daemons := &appsv1.DaemonSetList{}
	if err := s.kube.List(ctx, daemons); err != nil {
		return fmt.Errorf("listing daemonsets, %w", err)
	}
	templates := make([]*appsv1.DaemonSet, 0, len(daemons.Items))
	for i := range daemons.Items {
		templates = append(templates, &daemons.Items[i])
	}
	shelf := observe.Shelf{Region: s.region, Families: apps.Families(), Sizes: apps.Sizes(), Zones: apps.Zones()}
	prices := s.observer.Prices()
	bound, err := observe.LowerBound(ctx, shelf, prices, s.observer.Pods(), templates)
	if err != nil {
		return err
	}
	stage := stageOf(name, s.mark, end, bound)
	stage.PricesMoved = s.spot != nil && !reflect.DeepEqual(s.spot, prices.Spot)
	s.spot = prices.Spot
	s.report.Stages = append(s.report.Stages, stage)
	s.show.stage(stage)
	s.mark = end
	return nil
}

// pods that run when all is well and no batch is there.
func (s *story) pods() int {
	n := 0
	for _, a := range s.applied {
		n += a.Pods()
	}
	return n
}

func (s *story) namespaces() []string {
	names := make([]string, 0, len(s.applied))
	for _, a := range s.applied {
		names = append(names, a.Namespace)
	}
	return names
}

func (s *story) create(ctx context.Context, objects ...client.Object) error {
	for _, o := range objects {
		if err := s.kube.Create(ctx, o); err != nil {
			return fmt.Errorf("creating %T %s, %w", o, client.ObjectKeyFromObject(o), err)
		}
	}
	return nil
}

// pool installs what machines may be bought, holding consolidation back until its step, and asks for recommendations without
// letting them be applied.
func (s *story) pool(ctx context.Context) error {
	s.began = time.Now()
	s.mark = s.observer.Snapshot()
	agent, err := apps.Agent()
	if err != nil {
		return err
	}
	objects := append(apps.Pool(), apps.Rule(s.namespaces()...), agent)
	if err := s.create(ctx, objects...); err != nil {
		return err
	}
	_, err = s.await(ctx, expectation{
		what: "the NodePool to be ready", limit: poolLimit, by: sandbox.Provisioner,
		met: func(observe.Snapshot) (bool, string) {
			pool := &karpv1.NodePool{}
			if err := s.kube.Get(ctx, client.ObjectKey{Name: apps.PoolName}, pool); err != nil {
				return false, err.Error()
			}
			for _, c := range pool.Status.Conditions {
				if c.Type == "Ready" {
					return c.Status == metav1.ConditionTrue, c.Message
				}
			}
			return false, "it has no condition Ready"
		},
	})
	return err
}

// buy deploys the applications onto a cluster without a node.
func (s *story) buy(ctx context.Context) error {
	for _, a := range s.applied {
		scheduler := "the default scheduler"
		if a.Scheduler != "" {
			scheduler = a.Scheduler
		}
		s.show.event("deploying %s (%d services, %d pods after scaling up) through %s; requests as in %s", a.Title, len(a.Services), a.Pods(), scheduler, a.Source)
		objects, err := a.Objects(s.Seed)
		if err != nil {
			return err
		}
		if err := s.create(ctx, objects...); err != nil {
			return err
		}
	}
	end, err := s.await(ctx, expectation{
		what: "all pods to run on bought machines", limit: buyLimit, by: sandbox.Provisioner,
		met: func(o observe.Snapshot) (bool, string) { return settled(o, s.pods(), shortQuiet) },
	})
	if err != nil {
		return err
	}
	return s.close(ctx, StageBought, end)
}

// rightsize lets the recommendations be applied to the running pods of the services.
func (s *story) rightsize(ctx context.Context) error {
	s.show.event("applying an AutoscalingPolicy: services are resized in place, databases stay in preview")
	services := 0
	for _, a := range s.applied {
		for i := range a.Services {
			if !a.Services[i].Data {
				services++
			}
		}
	}
	if err := s.create(ctx, apps.Policies(s.namespaces()...)...); err != nil {
		return err
	}
	before := s.mark.Requested
	end, err := s.await(ctx, expectation{
		what: "every pod of a service to run with its recommendation", limit: resizeLimit, by: sandbox.Recommender,
		met: func(o observe.Snapshot) (bool, string) {
			done, why := resized(o, services)
			ok, state := settled(o, s.pods(), 0)
			return done && ok && o.Requested.MilliCPU < before.MilliCPU, why + "; " + state
		},
	})
	if err != nil {
		return err
	}
	return s.close(ctx, StageRightsized, end)
}

// resized says whether all pods of so many workloads run with their recommendations.
func resized(o observe.Snapshot, services int) (ok bool, state string) {
	done, waiting := 0, ""
	for _, w := range o.Scalers {
		if w.Mode != v1alpha1.UpdateModeInPlace {
			continue
		}
		if w.Confidence != "" && w.Pods > 0 && w.UpToDate == w.Pods {
			done++
			continue
		}
		waiting = fmt.Sprintf("%s/%s has %d of %d pods up to date, %s confidence; %s", w.Namespace, w.Workload, w.UpToDate, w.Pods, w.Confidence, w.Message)
	}
	return done == services, fmt.Sprintf("%d of %d services up to date; %s", done, services, waiting)
}

// consolidate lets machines be given up for savings.
func (s *story) consolidate(ctx context.Context) error {
	s.show.event("letting the NodePool consolidate: up to half of its nodes at a time")
	if err := s.budget(ctx, apps.ConsolidationBudget); err != nil {
		return err
	}
	end, err := s.await(ctx, expectation{
		what: "consolidation to lower the bill and to come to rest", limit: consolidateLimit, by: sandbox.Provisioner,
		met: func(o observe.Snapshot) (bool, string) {
			ok, state := settled(o, s.pods(), longQuiet)
			return ok && o.Bill.PerHour < s.mark.Bill.PerHour, state
		},
	})
	if err != nil {
		return err
	}
	return s.close(ctx, StageConsolidated, end)
}

func (s *story) budget(ctx context.Context, nodes string) error {
	pool := &karpv1.NodePool{}
	if err := s.kube.Get(ctx, client.ObjectKey{Name: apps.PoolName}, pool); err != nil {
		return fmt.Errorf("reading nodepool, %w", err)
	}
	stored := pool.DeepCopy()
	pool.Spec.Disruption.Budgets = []karpv1.Budget{{Nodes: nodes}}
	if err := s.kube.Patch(ctx, pool, client.MergeFrom(stored)); err != nil {
		return fmt.Errorf("changing the budget of the nodepool, %w", err)
	}
	return nil
}

// interrupt has the spot market take back the machine with the most pods.
func (s *story) interrupt(ctx context.Context) error {
	victim, ok := busiest(s.observer.Snapshot())
	if !ok {
		return errors.New("there is no spot machine with pods to take back")
	}
	s.show.event("the spot market takes back %s (%s in %s, %d pods) in %s", victim.Instance, victim.InstanceType, victim.Zone, victim.Pods, s.Warning)
	if _, err := s.cloud.AddFault(ctx, sim.Fault{
		Kind: sim.FaultPreempt, Match: sim.Match{InstanceIDs: []string{victim.Instance}}, Warning: &metav1.Duration{Duration: s.Warning},
	}); err != nil {
		return fmt.Errorf("interrupting %s, %w", victim.Instance, err)
	}
	end, err := s.await(ctx, expectation{
		what: "the pods of the interrupted machine to run elsewhere", limit: interruptLimit, by: sandbox.Provisioner,
		met: func(o observe.Snapshot) (bool, string) {
			for i := range o.Nodes {
				if o.Nodes[i].Instance == victim.Instance {
					return false, fmt.Sprintf("%s is %s with %d pods; %s", victim.Instance, o.Nodes[i].Phase, o.Nodes[i].Pods, describe(o))
				}
			}
			return settled(o, s.pods(), shortQuiet)
		},
	})
	if err != nil {
		return err
	}
	return s.close(ctx, StageInterrupted, end)
}

// busiest is the spot machine with the most pods that can move.
func busiest(o observe.Snapshot) (victim observe.Node, ok bool) {
	for _, n := range o.Nodes {
		if n.Spot && n.Phase == observe.Ready && n.MovablePods > victim.MovablePods {
			victim, ok = n, true
		}
	}
	return victim, ok
}
