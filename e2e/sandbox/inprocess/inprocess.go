// Package inprocess puts a sandbox together inside the calling process: control plane, simulated cloud, and a fleet of simulated
// kubelets that are the cloud's machines. It is what "supercargo-sandbox up" runs; tests and scenarios start that binary
// through package sandbox, since a process can hold one control plane only.
package inprocess

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/cluster"
	"supercargo.dev/e2e/cluster/kubelet"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/manifests"
)

// Options configures Start. The zero value is ready to use.
type Options struct {
	// Cluster configures the control plane. Its AuditLog and Dir are set by Start.
	Cluster cluster.Options
	// Cloud configures the simulated cloud. Its Machines are set by Start.
	Cloud sim.Options
	// Kubelets configures the machines.
	Kubelets kubelet.Options
	// NodeStartDelay is how long a machine takes from the registration of its node until it is ready.
	NodeStartDelay time.Duration
	// Dir holds state and logs. Empty: a temporary directory that Stop removes.
	Dir string
	// Log receives the log of control plane, cloud and machines. nil: sandbox.log in Dir.
	Log io.Writer
}

// Sandbox is a running sandbox.
type Sandbox struct {
	ready     sandbox.Ready
	temporary bool
	log       *os.File // nil when the log is somebody else's
	cluster   *cluster.Cluster

	// life ends everything but the control plane, which must outlive its clients.
	life    context.Context
	end     context.CancelCauseFunc
	workers sync.WaitGroup
	servers []*http.Server
}

// Start starts a sandbox and returns when the control plane is ready, the CRDs and roles of Supercargo are installed, and the cloud
// answers. ctx bounds the start only.
func Start(ctx context.Context, o Options) (_ *Sandbox, err error) {
	s := &Sandbox{}
	s.life, s.end = context.WithCancelCause(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := s.prepare(&o); err != nil {
		return nil, err
	}
	if s.cluster, err = cluster.Start(ctx, o.Cluster); err != nil {
		return nil, err
	}
	if err := s.install(ctx); err != nil {
		return nil, err
	}
	if err := s.startCloud(ctx, o); err != nil {
		return nil, err
	}
	s.ready.Kubeconfig, s.ready.APIServer = s.cluster.Kubeconfig(), s.cluster.URL()
	if s.ready.Control, err = s.serve(ctx, "controls", s.controls()); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Sandbox) prepare(o *Options) (err error) {
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "supercargo-sandbox-"); err != nil {
			return fmt.Errorf("creating a directory for the sandbox, %w", err)
		}
		s.temporary = true
	}
	if s.ready.Dir, err = filepath.Abs(o.Dir); err != nil {
		return fmt.Errorf("resolving directory, %w", err)
	}
	if err := os.MkdirAll(s.ready.Dir, 0o700); err != nil {
		return fmt.Errorf("creating a directory for the sandbox, %w", err)
	}
	s.ready.AuditLog = filepath.Join(s.ready.Dir, "audit.log")
	o.Cluster.Dir = filepath.Join(s.ready.Dir, "cluster")
	o.Cluster.AuditLog = s.ready.AuditLog
	s.ready.SchedulerConfig = filepath.Join(s.ready.Dir, "scheduler-config.yaml")
	if err := os.WriteFile(s.ready.SchedulerConfig, manifests.SchedulerConfig, 0o600); err != nil {
		return fmt.Errorf("writing the scheduler's configuration, %w", err)
	}
	if o.Log == nil {
		if s.log, err = os.Create(filepath.Join(s.ready.Dir, "sandbox.log")); err != nil {
			return fmt.Errorf("creating the sandbox's log, %w", err)
		}
		o.Log = s.log
	}
	o.Cluster.Log, o.Kubelets.Log = o.Log, o.Log
	return nil
}

// install applies what an installation of Supercargo consists of, but for the deployments: the components run as processes.
func (s *Sandbox) install(ctx context.Context) error {
	crds, err := sandbox.Read(manifests.CRDs)
	if err != nil {
		return err
	}
	roles, err := sandbox.Read(manifests.RBAC)
	if err != nil {
		return err
	}
	if err := sandbox.Apply(ctx, s.cluster.Config(), append(crds, roles...)...); err != nil {
		return fmt.Errorf("installing Supercargo's CRDs and roles, %w", err)
	}
	return nil
}

// startCloud starts the cloud, with the fleet as its machines.
func (s *Sandbox) startCloud(ctx context.Context, o Options) error {
	fleet := kubelet.NewFleet(s.cluster.Config(), o.Kubelets)
	o.Cloud.Machines = machines{fleet: fleet, startDelay: o.NodeStartDelay}
	cloud, err := sim.NewServer(o.Cloud)
	if err != nil {
		return fmt.Errorf("creating the cloud, %w", err)
	}
	s.work("the fleet of kubelets", fleet.Run)
	s.work("the cloud", cloud.Run)
	s.ready.Cloud, err = s.serve(ctx, "the cloud", cloud)
	return err
}

// work runs f until the sandbox stops. Its early end is the end of the sandbox.
func (s *Sandbox) work(name string, f func(context.Context) error) {
	s.workers.Go(func() {
		if err := f(s.life); s.life.Err() == nil {
			s.end(fmt.Errorf("%s ended, %w", name, err))
		}
	})
}

// serve serves the handler on a free loopback port until the sandbox stops, and returns its URL.
func (s *Sandbox) serve(ctx context.Context, name string, handler http.Handler) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listening for %s, %w", name, err)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second,
		// Requests that wait for something end with the sandbox.
		BaseContext: func(net.Listener) context.Context { return s.life },
	}
	s.servers = append(s.servers, server)
	s.work(name, func(context.Context) error { return server.Serve(listener) })
	return "http://" + listener.Addr().String(), nil
}

// Ready tells where everything is.
func (s *Sandbox) Ready() sandbox.Ready { return s.ready }

// Cluster returns the control plane.
func (s *Sandbox) Cluster() *cluster.Cluster { return s.cluster }

// Wait returns when ctx ends, with nil, or when a part of the sandbox has ended by itself, with the reason.
func (s *Sandbox) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.life.Done():
		return context.Cause(s.life)
	case <-s.cluster.Done():
		return s.cluster.Err()
	}
}

// errStopped is the cause of the end when Stop is.
var errStopped = errors.New("the sandbox was stopped")

// Stop stops the cloud and its machines, then the control plane, and removes a temporary directory. It may be called again.
func (s *Sandbox) Stop() error {
	s.end(errStopped)
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	s.workers.Wait()
	if s.cluster != nil {
		errs = append(errs, s.cluster.Stop())
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
		s.log = nil
	}
	if s.temporary {
		errs = append(errs, os.RemoveAll(s.ready.Dir))
	}
	return errors.Join(errs...)
}
