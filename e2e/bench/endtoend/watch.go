package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/cloudprovider/sim"
)

// sampleEvery is between two readings of the bill.
const sampleEvery = time.Second

// Sample is the cluster at one instant.
type Sample struct {
	At time.Time `json:"-"`
	// Case that it is of.
	Case string `json:"case"`
	// Seconds since the engine was started.
	Seconds float64 `json:"seconds"`
	// USDPerHour and Nodes are of the running instances, SpentUSD of all so far: the cloud's bill.
	USDPerHour float64 `json:"usdPerHour"`
	SpentUSD   float64 `json:"spentUSD"`
	Nodes      int     `json:"nodes"`
	Spot       int     `json:"spot"`
	// Launched counts instances, those that are gone included.
	Launched int `json:"launched"`
	// Pods that there should be nodes for, and those that run on one.
	Pods    int `json:"pods"`
	Running int `json:"running"`
	Moved   int `json:"moved"`
}

// Watch follows a cluster from outside: pods and claims by watches of the API server, money by the cloud's bill.
type Watch struct {
	cloud *sim.Client

	mu      sync.Mutex
	tally   *Tally
	samples []Sample
}

// StartWatch returns when everything that is there has been seen. It goes on until the context ends; workers then ends too.
func StartWatch(ctx context.Context, informers cache.Cache, cloud *sim.Client, workers *sync.WaitGroup) (*Watch, error) {
	w := &Watch{cloud: cloud, tally: NewTally()}
	if err := errors.Join(
		subscribe(ctx, informers, &corev1.Pod{},
			func(o any) { w.locked(func() { w.tally.SetPod(o.(*corev1.Pod), time.Now()) }) },
			func(o any) { w.locked(func() { w.tally.DeletePod(o.(*corev1.Pod), time.Now()) }) }),
		subscribe(ctx, informers, &karpv1.NodeClaim{},
			func(o any) { w.locked(func() { w.tally.SetClaim(o.(*karpv1.NodeClaim)) }) },
			func(o any) { w.locked(func() { w.tally.DeleteClaim(o.(*karpv1.NodeClaim)) }) }),
	); err != nil {
		return nil, err
	}
	workers.Go(func() { _ = informers.Start(ctx) }) // it fails only when started twice
	if !informers.WaitForCacheSync(ctx) {
		return nil, errors.Join(errors.New("watching the cluster: the cache did not sync"), ctx.Err())
	}
	workers.Go(func() { w.sample(ctx) })
	return w, nil
}

func (w *Watch) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func subscribe(ctx context.Context, informers cache.Cache, of client.Object, set, gone func(any)) error {
	informer, err := informers.GetInformer(ctx, of, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching %T, %w", of, err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: set, UpdateFunc: func(_, o any) { set(o) },
		DeleteFunc: func(o any) {
			if unknown, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = unknown.Obj
			}
			gone(o)
		},
	}); err != nil {
		return fmt.Errorf("watching %T, %w", of, err)
	}
	return nil
}

// sample reads the bill until the context ends. A reading that fails is left out: the next is a second away.
func (w *Watch) sample(ctx context.Context) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		if bill, err := w.cloud.Billing(ctx, false); err == nil {
			now := time.Now()
			w.locked(func() { w.samples = append(w.samples, reading(bill, w.tally.Counts(now), now)) })
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func reading(bill *sim.Billing, c Counts, now time.Time) Sample {
	s := Sample{
		At: now, USDPerHour: bill.USDPerHour, SpentUSD: bill.TotalUSD, Launched: len(bill.Instances),
		Pods: c.Pods, Running: c.Running, Moved: c.Moved,
	}
	for i := range bill.Instances {
		if b := &bill.Instances[i]; b.End == nil {
			s.Nodes++
			if b.CapacityType == sim.Spot {
				s.Spot++
			}
		}
	}
	return s
}

// Counts returns what was counted so far.
func (w *Watch) Counts() Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tally.Counts(time.Now())
}

// Last returns the latest sample, false before the first.
func (w *Watch) Last() (Sample, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.samples) == 0 {
		return Sample{}, false
	}
	return w.samples[len(w.samples)-1], true
}

// Since returns the samples from a time on, with their seconds after it.
func (w *Watch) Since(begin time.Time) []Sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Sample
	for _, s := range w.samples {
		if s.At.Before(begin) {
			continue
		}
		s.Seconds = s.At.Sub(begin).Seconds()
		out = append(out, s)
	}
	return out
}

// steadySince returns since when the machines are the same and every pod runs; now when that is not so.
func steadySince(samples []Sample, now time.Time) time.Time {
	since := now
	for i := len(samples) - 1; i >= 0; i-- {
		s, last := &samples[i], &samples[len(samples)-1]
		if s.USDPerHour != last.USDPerHour || s.Nodes != last.Nodes || s.Launched != last.Launched || s.Running != s.Pods || s.Pods != last.Pods {
			break
		}
		since = s.At
	}
	return since
}
