package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/demo/observe"
	"supercargo.dev/e2e/sandbox"
)

// componentsLimit bounds the start of the components.
const componentsLimit = time.Minute

// start brings up the world, the observer and the components. watching ends what runs in this process.
func (s *story) start(ctx, watching context.Context, workers *sync.WaitGroup) error {
	begin := time.Now()
	s.show.event("starting a control plane, a cloud and its machines")
	o := sandbox.Options{Dir: s.dir, Seed: s.Seed}
	if s.Usage != UsageSimulated {
		path, err := filepath.Abs(s.Usage)
		if err != nil {
			return fmt.Errorf("resolving the path of the usage, %w", err)
		}
		o.Args = append(o.Args, "--usage", path)
	}
	// The history is written while the control plane starts; both are needed before the recommender starts.
	var history string
	var historyErr error
	var writing sync.WaitGroup
	writing.Go(func() { history, historyErr = s.history() })
	var err error
	s.box, err = sandbox.Start(ctx, o)
	writing.Wait()
	if err := errors.Join(err, historyErr); err != nil {
		return err
	}
	if s.kube, err = client.New(s.box.Config(), client.Options{Scheme: s.scheme}); err != nil {
		return fmt.Errorf("creating client, %w", err)
	}
	s.cloud = sim.NewClient(s.box.Cloud)
	if s.region, err = s.cloud.Types(ctx); err != nil {
		return fmt.Errorf("reading what the cloud offers, %w", err)
	}
	if err := s.observe(ctx, watching, workers); err != nil {
		return err
	}
	s.show.event("ready after %.1f s; starting Supercargo's scheduler, recommender and provisioner", time.Since(begin).Seconds())
	return s.components(ctx, history)
}

func (s *story) observe(ctx, watching context.Context, workers *sync.WaitGroup) error {
	var err error
	if s.observer, err = observe.New(s.box.Config(), s.scheme, s.cloud, clock.RealClock{}); err != nil {
		return err
	}
	synced, failed := make(chan struct{}), make(chan error, 1)
	workers.Go(func() { failed <- s.observer.Run(watching, synced) })
	select {
	case <-synced:
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	workers.Go(func() { s.paint(watching) })
	return nil
}

// paintEvery is between two pictures of the live view.
const paintEvery = 500 * time.Millisecond

// paint shows the cluster until the context ends.
func (s *story) paint(ctx context.Context) {
	ticker := time.NewTicker(paintEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.show.update(s.observer.Snapshot())
		}
	}
}

// components starts Supercargo. What a production cluster does within quarters of an hour, so that nothing moves needlessly, is to
// be seen within minutes here: a saving is carried out sooner, and kubelets are visited more often. That a machine here starts in
// seconds rather than minutes, and a pod in less than one, makes a move cheaper too.
func (s *story) components(ctx context.Context, history string) error {
	ctx, cancel := context.WithTimeout(ctx, componentsLimit)
	defer cancel()
	for _, c := range []struct {
		name string
		args []string
	}{
		{sandbox.Scheduler, nil},
		{sandbox.Recommender, []string{"--history-file=" + history, "--scrape-interval=15s"}},
		{sandbox.Provisioner, []string{
			"--consolidation-validation-delay=2s", "--consolidation-break-even=0s",
			"--consolidation-launch-overlap=5s", "--consolidation-pod-move-cost=0.000005",
		}},
	} {
		p, err := s.box.Component(ctx, c.name, c.args...)
		if err != nil {
			return err
		}
		s.parts[c.name] = p
	}
	for _, p := range s.parts {
		if err := p.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}
