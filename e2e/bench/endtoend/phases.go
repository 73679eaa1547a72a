package main

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/e2e/demo/apps"
	"supercargo.dev/e2e/demo/observe"
)

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
	shelf := observe.Shelf{Region: region, Families: apps.Families(), Sizes: sizes(), Zones: apps.Zones()}
	return observe.LowerBound(ctx, shelf, prices, pods, []*appsv1.DaemonSet{agent})
}
