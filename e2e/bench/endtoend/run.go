package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/demo/apps"
	"supercargo.dev/e2e/demo/observe"
	"supercargo.dev/e2e/sandbox"
)

const (
	// look is between two looks at a condition.
	look = 100 * time.Millisecond
	// patience bounds each wait; it is far above what any takes.
	patience = 5 * time.Minute
	// tailLines of a log are shown when something goes wrong.
	tailLines = 15
)

// run is one case under way.
type run struct {
	o         Options
	c         Case
	dir       string
	workloads []Workload
	say       func(format string, args ...any)

	box       *sandbox.Sandbox
	kube      client.Client
	cloud     *sim.Client
	watch     *Watch
	engine    *sandbox.Process // the provisioner, or Karpenter
	karpenter *sandbox.Process // to stop; Supercargo's are the sandbox's
}

// Run measures one case in a world of its own.
func Run(ctx context.Context, o Options, c Case, out io.Writer) (_ Result, _ []Sample, err error) {
	r := &run{o: o, c: c, dir: filepath.Join(o.Dir, slug(c.Name))}
	begin := time.Now()
	r.say = func(format string, args ...any) {
		_, _ = fmt.Fprintf(out, "%6.1f s  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...)) // progress is not worth failing for
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return Result{}, nil, fmt.Errorf("making a directory for logs, %w", err)
	}
	if r.workloads, err = Workloads(o.Seed, o.Pods); err != nil {
		return Result{}, nil, err
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := r.world(ctx, &workers); err != nil {
		return Result{}, nil, err
	}
	return r.measure(ctx)
}

func slug(name string) string {
	return strings.Map(func(c rune) rune {
		if c == ' ' || c == ',' {
			return '-'
		}
		return c
	}, strings.ToLower(name))
}

func (r *run) stop() error {
	var errs []error
	if r.karpenter != nil {
		errs = append(errs, r.karpenter.Stop())
	}
	if r.box != nil {
		errs = append(errs, r.box.Stop())
	}
	return errors.Join(errs...)
}

// world starts control plane and cloud, and the watch over both.
func (r *run) world(ctx context.Context, workers *sync.WaitGroup) error {
	var err error
	r.box, err = sandbox.Start(ctx, sandbox.Options{
		Dir: r.dir, Seed: int64(r.o.Seed), //nolint:gosec // any bit pattern is a seed
		// Prices that stand still are the same for every case, whenever it runs, and what a case costs is its decisions.
		Args: []string{"--price-interval=" + (365 * 24 * time.Hour).String()},
	})
	if err != nil {
		return err
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	if r.kube, err = client.New(r.box.Config(), client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("creating client, %w", err)
	}
	informers, err := cache.New(r.box.Config(), cache.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("creating cache, %w", err)
	}
	r.cloud = sim.NewClient(r.box.Cloud)
	r.watch, err = StartWatch(ctx, informers, r.cloud, workers)
	return err
}

func newScheme() (*runtime.Scheme, error) {
	// Karpenter registers its kinds in the client's own scheme.
	if err := v1alpha1.AddToScheme(clientgoscheme.Scheme); err != nil {
		return nil, fmt.Errorf("registering kinds, %w", err)
	}
	return clientgoscheme.Scheme, nil
}

// measure goes through the phases.
func (r *run) measure(ctx context.Context) (Result, []Sample, error) {
	result := Result{Case: r.c.Name, Engine: r.c.Engine, Setting: r.c.Setting, Pods: r.o.Pods, Seed: r.o.Seed}
	if err := r.pending(ctx); err != nil {
		return result, nil, err
	}
	begin := time.Now()
	if err := r.bind(ctx, begin, &result); err != nil {
		return result, nil, err
	}
	if err := r.churn(ctx, &result); err != nil {
		return result, nil, err
	}
	if err := r.settle(ctx, begin, &result); err != nil {
		return result, nil, err
	}
	samples := r.watch.Since(begin)
	for i := range samples {
		samples[i].Case = r.c.Name
	}
	return result, samples, nil
}

// pending brings the cluster to where nothing is missing but machines: every pod has been tried and has no place.
func (r *run) pending(ctx context.Context) error {
	r.say("%s: control plane and cloud are ready", r.c.Name)
	if err := r.prepare(ctx); err != nil {
		return err
	}
	agent, err := apps.Agent()
	if err != nil {
		return err
	}
	if err := r.create(ctx, Pool(r.o)); err != nil {
		return err
	}
	if err := r.acquaint(ctx); err != nil {
		return err
	}
	objects := []client.Object{agent, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}}
	if r.c.Rightsize {
		objects = append(objects, apps.Rule(namespace))
		objects = append(objects, apps.Policies(namespace)...)
	}
	for i := range r.workloads {
		of, err := r.workloads[i].Objects(r.c.Scheduler)
		if err != nil {
			return err
		}
		objects = append(objects, of...)
	}
	if err := r.create(ctx, objects); err != nil {
		return err
	}
	if err := r.await(ctx, "pods to be found unschedulable", func(context.Context) (string, error) {
		if c := r.watch.Counts(); c.Unschedulable != r.o.Pods {
			return fmt.Sprintf("%d of %d", c.Unschedulable, r.o.Pods), nil
		}
		return "", nil
	}); err != nil {
		return err
	}
	if !r.c.Rightsize {
		return nil
	}
	return r.await(ctx, "recommendations", r.recommended)
}

func (r *run) create(ctx context.Context, objects []client.Object) error {
	for _, o := range objects {
		if err := r.kube.Create(ctx, o); err != nil {
			return fmt.Errorf("creating %T %s, %w", o, o.GetName(), err)
		}
	}
	return nil
}

// bind starts the engine and waits until every pod runs.
func (r *run) bind(ctx context.Context, begin time.Time, result *Result) error {
	before := r.watch.Counts()
	r.say("%d pods are pending; starting %s", before.Pods, r.c.Setting)
	var err error
	if r.engine, err = r.start(ctx); err != nil {
		return err
	}
	var bound time.Duration
	if err := r.await(ctx, "all pods to run", func(context.Context) (string, error) {
		c := r.watch.Counts()
		if bound == 0 && c.Bound == r.o.Pods {
			bound = time.Since(begin)
		}
		if c.Running != r.o.Pods || c.Pods != r.o.Pods {
			return fmt.Sprintf("%d of %d pods are bound and %d run", c.Bound, r.o.Pods, c.Running), nil
		}
		return "", nil
	}); err != nil {
		return err
	}
	if bound == 0 { // between two looks
		bound = time.Since(begin)
	}
	result.SecondsToAllBound, result.SecondsToAllRunning = bound.Seconds(), time.Since(begin).Seconds()
	result.BindCPUSeconds = cpuSeconds(r.engine.PID())
	if err := r.nextSample(ctx); err != nil {
		return err
	}
	s, _ := r.watch.Last()
	result.Nodes, result.SpotNodes, result.CostPerHour = s.Nodes, s.Spot, s.USDPerHour
	if result.LowerBound, err = r.lowerBound(ctx); err != nil {
		return err
	}
	result.Ratio = s.USDPerHour / result.LowerBound
	result.UnboundPodSeconds = r.watch.Counts().UnboundSeconds - before.UnboundSeconds
	r.say("all bound after %.1f s and running after %.1f s: %d nodes, $%.4f/h, %.3f of the lower bound",
		result.SecondsToAllBound, result.SecondsToAllRunning, s.Nodes, s.USDPerHour, result.Ratio)
	return nil
}

// churn carries the schedule out.
func (r *run) churn(ctx context.Context, result *Result) error {
	steps := Churn(r.o.Seed, r.workloads, r.o.Churn)
	result.PodsAfter = podsAfter(r.workloads, steps)
	begin := time.Now()
	s, _ := r.watch.Last()
	result.spentBefore, result.churnBegan = s.SpentUSD, begin
	result.before = r.watch.Counts()
	r.say("churn: %d steps in %s, to %d pods", len(steps), r.o.Churn, result.PodsAfter)
	for _, step := range steps {
		if err := sleep(ctx, time.Until(begin.Add(step.After))); err != nil {
			return err
		}
		if err := r.alive(); err != nil {
			return err
		}
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: step.Workload, Namespace: namespace}}
		patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, step.Replicas))
		if err := r.kube.Patch(ctx, d, patch); err != nil {
			return fmt.Errorf("scaling %s, %w", step.Workload, err)
		}
	}
	if err := sleep(ctx, time.Until(begin.Add(r.o.Churn))); err != nil {
		return err
	}
	c := r.watch.Counts()
	s, _ = r.watch.Last()
	result.CostPerHourChurn = s.USDPerHour
	r.say("churn is over: %d of %d pods run on %d nodes, $%.4f/h, %d moved", c.Running, c.Pods, s.Nodes, s.USDPerHour, c.Moved)
	return nil
}

// settle waits until nothing changes any more, at most as long as the limit.
func (r *run) settle(ctx context.Context, engineBegan time.Time, result *Result) error {
	begin := time.Now()
	for {
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
		if err := r.alive(); err != nil {
			return err
		}
		now := time.Now()
		since := steadySince(r.watch.Since(begin), now)
		result.Settled = now.Sub(since) >= r.o.Stable && r.watch.Counts().Pods == result.PodsAfter
		if result.Settled {
			result.SecondsToSettle = since.Sub(begin).Seconds()
			break
		}
		if now.Sub(begin) >= r.o.SettleLimit {
			result.SecondsToSettle = now.Sub(begin).Seconds()
			break
		}
	}
	s, _ := r.watch.Last()
	c := r.watch.Counts()
	result.NodesAfter, result.SpotNodesAfter, result.CostPerHourAfter, result.Launched = s.Nodes, s.Spot, s.USDPerHour, s.Launched
	var err error
	if result.LowerBoundAfter, err = r.lowerBound(ctx); err != nil {
		return err
	}
	result.RatioAfter = s.USDPerHour / result.LowerBoundAfter
	result.PodsMoved, result.PodsRejected = c.Moved-result.before.Moved, c.Rejected
	result.MovedWhileBinding = result.before.Moved
	result.UnboundPodSecondsChurn = c.UnboundSeconds - result.before.UnboundSeconds
	result.Disruptions = c.Disrupted
	result.EngineCPUSeconds = cpuSeconds(r.engine.PID())
	// Every case is charged for the same time: one that settled early goes on at its last rate.
	rest := result.churnBegan.Add(r.o.Churn + r.o.SettleLimit).Sub(s.At)
	result.DollarsTotal = s.SpentUSD - result.spentBefore + s.USDPerHour*max(0, rest).Hours()
	result.Seconds = s.At.Sub(engineBegan).Seconds()
	r.say("settled: %t after %.0f s: %d pods on %d nodes, $%.4f/h, %.3f of the lower bound, %d pods moved, %d machines given up, %.0f pod-seconds without a node",
		result.Settled, result.SecondsToSettle, c.Running, s.Nodes, s.USDPerHour, result.RatioAfter, result.PodsMoved, result.disrupted(), result.UnboundPodSecondsChurn)
	return nil
}

// lowerBound is what the pods there are would cost at least, at the requests that they have now.
func (r *run) lowerBound(ctx context.Context) (float64, error) {
	prices, err := r.cloud.Prices(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading prices, %w", err)
	}
	region, err := r.cloud.Types(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading instance types, %w", err)
	}
	list := &corev1.PodList{}
	if err := r.kube.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return 0, fmt.Errorf("listing pods, %w", err)
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		p := &list.Items[i]
		if p.DeletionTimestamp.IsZero() && p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded {
			pods = append(pods, p)
		}
	}
	agent, err := apps.Agent()
	if err != nil {
		return 0, err
	}
	shelf := observe.Shelf{Region: region, Families: families(), Sizes: sizes(), Zones: zones()}
	return observe.LowerBound(ctx, shelf, prices, pods, []*appsv1.DaemonSet{agent})
}

// nextSample returns when the bill has been read once more.
func (r *run) nextSample(ctx context.Context) error {
	now := time.Now()
	return r.await(ctx, "the next reading of the bill", func(context.Context) (string, error) {
		if s, ok := r.watch.Last(); !ok || s.At.Before(now) {
			return "none yet", nil
		}
		return "", nil
	})
}

// await waits until the condition has nothing left to wait for.
func (r *run) await(ctx context.Context, what string, condition func(context.Context) (missing string, err error)) error {
	begin := time.Now()
	for {
		missing, err := condition(ctx)
		if err != nil || missing == "" {
			return err
		}
		if err := r.alive(); err != nil {
			return fmt.Errorf("waiting for %s, %w", what, err)
		}
		if time.Since(begin) > patience {
			log := r.box.Process().Log()
			if r.engine != nil {
				log = r.engine.Log()
			}
			return fmt.Errorf("waited %s for %s: %s; %s ends:\n%s", patience, what, missing, log, sandbox.Tail(log, tailLines))
		}
		if err := sleep(ctx, look); err != nil {
			return err
		}
	}
}

// alive fails where the engine or the sandbox has ended.
func (r *run) alive() error {
	for _, p := range []*sandbox.Process{r.box.Process(), r.engine} {
		if p == nil {
			continue
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s has ended; its log %s ends:\n%s", p.Name(), p.Log(), sandbox.Tail(p.Log(), tailLines))
		default:
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// cpuSeconds is the processor time that a process has used, 0 where the system does not tell. It does not depend on what else the
// machine does.
func cpuSeconds(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// utime and stime are the 14th and 15th field (proc(5)); the second is a name in brackets that may hold blanks.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	const ticksPerSecond = 100 // USER_HZ, on every architecture that Go runs on
	total := 0.0
	for _, f := range slices.Clip(fields[11:13]) {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0
		}
		total += n
	}
	return total / ticksPerSecond
}
