package observe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/cost"
)

const (
	// tick is between two entries of the ledger.
	tick = time.Second
	// pricesEvery and usageEvery are in ticks.
	pricesEvery, usageEvery = 5, 5
)

// Observer watches a cluster. Its methods may be called concurrently.
type Observer struct {
	cache cache.Cache
	kube  kubernetes.Interface
	cloud *sim.Client
	clock clock.WithTicker

	mu      sync.Mutex
	world   *world
	prices  *sim.Prices
	used    map[string]cost.Resources
	bill    sim.Billing
	ledger  *cost.Ledger
	rate    float64 // of the ledger, USD per hour
	changed chan struct{}
	err     error // of the latest tick
}

// New returns an observer of the cluster of cfg and its cloud; it does nothing before Run. The scheme must know the kinds of
// Kubernetes, Karpenter and Supercargo.
func New(cfg *rest.Config, scheme *runtime.Scheme, cloud *sim.Client, c clock.WithTicker) (*Observer, error) {
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("creating client, %w", err)
	}
	informers, err := cache.New(cfg, cache.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("creating cache, %w", err)
	}
	return &Observer{
		cache: informers, kube: kube, cloud: cloud, clock: c,
		world: newWorld(), used: map[string]cost.Resources{}, ledger: cost.NewLedger(), changed: make(chan struct{}, 1),
	}, nil
}

// Run watches until the context ends. It closes synced once it has seen everything that there is.
func (o *Observer) Run(ctx context.Context, synced chan<- struct{}) error {
	if err := o.subscribe(ctx); err != nil {
		return err
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	failed := make(chan error, 1)
	workers.Go(func() { failed <- o.cache.Start(ctx) })
	if !o.cache.WaitForCacheSync(ctx) {
		return errors.Join(errors.New("the observer's cache did not sync"), ctx.Err())
	}
	close(synced)
	ticker := o.clock.NewTicker(tick)
	defer ticker.Stop()
	for n := 0; ; n++ {
		o.tick(ctx, n)
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watching the cluster, %w", err)
		case <-ticker.C():
		}
	}
}

// subscribe turns events into calls of the world.
func (o *Observer) subscribe(ctx context.Context) error {
	locked := func(f func(now time.Time)) {
		o.mu.Lock()
		f(o.clock.Now())
		o.mu.Unlock()
		select {
		case o.changed <- struct{}{}:
		default:
		}
	}
	w := o.world
	return errors.Join(
		watch(ctx, o.cache, func(p *corev1.Pod) { locked(func(time.Time) { w.setPod(p) }) },
			func(p *corev1.Pod) { locked(func(time.Time) { w.deletePod(p) }) }),
		watch(ctx, o.cache, func(n *corev1.Node) { locked(func(time.Time) { w.nodes[n.Name] = n }) },
			func(n *corev1.Node) { locked(func(time.Time) { delete(w.nodes, n.Name) }) }),
		watch(ctx, o.cache, func(c *karpv1.NodeClaim) { locked(func(now time.Time) { w.setClaim(c, now) }) },
			func(c *karpv1.NodeClaim) { locked(func(now time.Time) { w.deleteClaim(c.Name, now) }) }),
		watch(ctx, o.cache, func(b *policyv1.PodDisruptionBudget) { locked(func(now time.Time) { w.budgets.observe(b, now) }) },
			func(*policyv1.PodDisruptionBudget) {}),
		watch(ctx, o.cache, func(s *v1alpha1.WorkloadScaler) {
			locked(func(time.Time) { w.scalers[client.ObjectKeyFromObject(s)] = s })
		},
			func(s *v1alpha1.WorkloadScaler) {
				locked(func(time.Time) { delete(w.scalers, client.ObjectKeyFromObject(s)) })
			}),
	)
}

// watch calls set for each object that is there or changes, and gone for each that is no more.
func watch[T any, P interface {
	*T
	client.Object
}](ctx context.Context, informers cache.Cache, set, gone func(P)) error {
	informer, err := informers.GetInformer(ctx, P(new(T)), cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching %T, %w", P(nil), err)
	}
	typed := func(f func(P)) func(any) {
		return func(object any) {
			if unknown, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = unknown.Obj
			}
			if o, ok := object.(P); ok {
				f(o)
			}
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: typed(set), UpdateFunc: func(_, object any) { typed(set)(object) }, DeleteFunc: typed(gone),
	}); err != nil {
		return fmt.Errorf("watching %T, %w", P(nil), err)
	}
	return nil
}

// tick reads what does not come by itself and makes an entry in the ledger. What cannot be read is left as it was.
func (o *Observer) tick(ctx context.Context, n int) {
	var errs []error
	if n%pricesEvery == 0 {
		prices, err := o.cloud.Prices(ctx)
		if err == nil {
			o.mu.Lock()
			o.prices = prices
			o.mu.Unlock()
		}
		errs = append(errs, err)
	}
	if n%usageEvery == 0 {
		used, err := o.readUsage(ctx)
		o.mu.Lock()
		o.used = used
		o.mu.Unlock()
		errs = append(errs, err)
	}
	bill, err := o.cloud.Billing(ctx, false)
	errs = append(errs, err)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.bill = *bill
	}
	now := o.clock.Now()
	_, machines, pods := o.world.snapshot(now, o.prices, o.used)
	statement, err := cost.State(machines, pods)
	if err == nil {
		err = o.ledger.Record(now, statement)
		o.rate = statement.Price.Dollars()
	}
	o.err = errors.Join(append(errs, err)...)
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// Changed receives after something happened; it says nothing of how often.
func (o *Observer) Changed() <-chan struct{} { return o.changed }

// Snapshot shows the cluster as it was last seen. Money is of the last tick, a second ago at most.
func (o *Observer) Snapshot() Snapshot {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, _, _ := o.world.snapshot(o.clock.Now(), o.prices, o.used)
	s.Ledger = Money{PerHour: o.rate, Spent: o.ledger.Spent().Dollars()}
	s.Bill = Money{PerHour: o.bill.USDPerHour, Spent: o.bill.TotalUSD}
	for i := range o.bill.Instances {
		if o.bill.Instances[i].End == nil {
			s.Instances++
		}
	}
	return s
}

// Err is what went wrong at the latest tick.
func (o *Observer) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// Bill is the cloud's, as of the last tick.
func (o *Observer) Bill() sim.Billing {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bill
}

// Prices are the market's, as of a few ticks ago; nil before the first.
func (o *Observer) Prices() *sim.Prices {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.prices
}

// Pods returns the pods that are neither over nor leaving. They must not be changed.
func (o *Observer) Pods() []*corev1.Pod {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []*corev1.Pod
	for _, pod := range o.world.pods {
		if pod.DeletionTimestamp.IsZero() && !over(pod) {
			out = append(out, pod)
		}
	}
	return out
}
