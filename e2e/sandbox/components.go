package sandbox

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"k8s.io/client-go/rest"

	"supercargo.dev/e2e/cluster/kubeconfig"
	"supercargo.dev/e2e/cluster/loopback"
)

// Supercargo's components: the names of their binaries and of their ServiceAccounts.
const (
	Provisioner = "supercargo-provisioner"
	Recommender = "supercargo-recommender"
	Scheduler   = "supercargo-scheduler"
)

// Components returns the names of all components, in the order in which to start them.
func Components() []string { return []string{Scheduler, Recommender, Provisioner} }

// Component starts a component by the name of its binary, as its ServiceAccount, with free ports for metrics and health and with
// what it needs to find cloud and configuration. args come last, so that they override. A second instance of the same component
// is a second replica. It does not wait: see Process.AwaitReady. Stop stops it.
func (s *Sandbox) Component(ctx context.Context, name string, args ...string) (*Process, error) {
	s.mu.Lock()
	s.started[name]++
	instance := name
	if n := s.started[name]; n > 1 {
		instance += "-" + strconv.Itoa(n)
	}
	s.mu.Unlock()
	p, err := StartComponent(ctx, s.config, s.Ready, s.bin, name, instance, s.dir, args...)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.components = append(s.components, p)
	return p, nil
}

// StartComponent starts the binary bin/<name> against the sandbox that ready describes. cfg must be allowed to request tokens for
// the component's ServiceAccount. Kubeconfig and log go to dir and have the name of the instance.
func StartComponent(ctx context.Context, cfg *rest.Config, ready Ready, bin, name, instance, dir string, args ...string) (*Process, error) {
	path, err := binary(bin, name)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, instance+".kubeconfig")
	if err := kubeconfig.ForServiceAccount(ctx, cfg, Namespace, name, file); err != nil {
		return nil, fmt.Errorf("starting %s, %w", instance, err)
	}
	metrics, err := loopback.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	health, err := loopback.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	all := []string{"--kubeconfig=" + file, "--metrics-bind-address=" + metrics, "--health-probe-bind-address=" + health}
	switch name {
	case Provisioner:
		all = append(all, "--cloud=sim", "--sim-endpoint="+ready.Cloud)
	case Recommender:
		// There is no Service to reach it through.
		webhook, err := loopback.FreeAddress(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, "--webhook-bind-address="+webhook, "--webhook-url=https://"+webhook)
	case Scheduler:
		all = append(all, "--config="+ready.SchedulerConfig)
	}
	return StartProcess(Command{
		Name: instance, Path: path, Args: append(all, args...),
		Log:   filepath.Join(dir, instance+".log"),
		Ready: "http://" + health + "/readyz", Metrics: "http://" + metrics + "/metrics",
	})
}

// FreePort returns a loopback address, as host:port, on which nothing listened a moment ago, for servers that come back under the
// same address after a restart. Another process may take it before it is used: listen on port 0 where that is possible.
func FreePort(ctx context.Context) (string, error) { return loopback.FreeAddress(ctx) }
