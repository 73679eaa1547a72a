package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	schedulerconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"k8s.io/kubernetes/pkg/scheduler"
)

const (
	readHeaderTimeout = 5 * time.Second
	shutdownTimeout   = 2 * time.Second
	// off as an address turns an endpoint off.
	off = "0"
)

// endpoint is an address that is listened on, and what answers there.
type endpoint struct {
	listener net.Listener
	server   *http.Server
}

type endpoints []endpoint

// listen opens the addresses for metrics and health, so that one in use is an error at the start.
func listen(o *options, cc *schedulerconfig.CompletedConfig, ready healthz.HealthChecker) (endpoints, error) {
	var all endpoints
	metrics := http.NewServeMux()
	metrics.Handle("/metrics", legacyregistry.Handler())
	for _, e := range []struct {
		address string
		handler http.Handler
	}{{o.metricsAddress, metrics}, {o.healthAddress, health(cc, ready)}} {
		if e.address == off {
			continue
		}
		listener, err := net.Listen("tcp", e.address)
		if err != nil {
			for _, open := range all {
				err = errors.Join(err, open.listener.Close())
			}
			return nil, fmt.Errorf("opening endpoint, %w", err)
		}
		all = append(all, endpoint{listener: listener, server: &http.Server{Handler: e.handler, ReadHeaderTimeout: readHeaderTimeout}})
	}
	return all, nil
}

// health answers /healthz and /livez: the lease is being renewed by whoever holds it; and /readyz: the scheduler knows the cluster
// as well. A replica that waits for the lease is ready.
func health(cc *schedulerconfig.CompletedConfig, ready healthz.HealthChecker) http.Handler {
	checks := []healthz.HealthChecker{healthz.PingHealthz}
	if cc.LeaderElection != nil && cc.LeaderElection.WatchDog != nil {
		checks = append(checks, cc.LeaderElection.WatchDog)
	}
	mux := http.NewServeMux()
	healthz.InstallHandler(mux, checks...)
	healthz.InstallLivezHandler(mux, checks...)
	healthz.InstallReadyzHandler(mux, append(slices.Clone(checks), ready)...)
	return mux
}

// readiness is not given before the scheduler has taken in everything that existed when it started. An informer factory cannot be
// asked: before it is started it holds itself to be synced.
func readiness(ctx context.Context, s *scheduler.Scheduler) healthz.HealthChecker {
	var known atomic.Bool
	go func() { // ends with ctx
		if err := s.WaitForHandlersSync(ctx); err == nil {
			known.Store(true)
		}
	}()
	return healthz.NamedCheck("caches", func(*http.Request) error {
		if !known.Load() {
			return errors.New("the cluster has not been read yet")
		}
		return nil
	})
}

// start serves until ctx ends or the function returned is called, which waits for requests under way.
func (all endpoints) start(ctx context.Context) (stop func()) {
	var running sync.WaitGroup
	for _, e := range all {
		running.Go(func() {
			if err := e.server.Serve(e.listener); !errors.Is(err, http.ErrServerClosed) {
				klog.FromContext(ctx).Error(err, "Serving an endpoint failed", "address", e.listener.Addr().String())
			}
		})
	}
	return func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		for _, e := range all {
			if err := e.server.Shutdown(bounded); err != nil {
				klog.FromContext(ctx).Error(err, "Closing an endpoint failed", "address", e.listener.Addr().String())
			}
		}
		running.Wait()
	}
}
