package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/sandbox"
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
