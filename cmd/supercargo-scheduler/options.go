package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"

	"supercargo.dev/manifests"
)

type options struct {
	config               string
	kubeconfig           string
	metricsAddress       string
	healthAddress        string
	leaderElect          bool
	leaderElectNamespace string
	logLevel             string

	flags *pflag.FlagSet
}

func defaultOptions() *options {
	return &options{metricsAddress: ":8080", healthAddress: ":8081", leaderElect: true, leaderElectNamespace: "supercargo-system", logLevel: "info"}
}

func (o *options) addFlags(f *pflag.FlagSet) {
	o.flags = f
	f.StringVar(&o.config, "config", o.config, "path of a KubeSchedulerConfiguration; empty uses the built-in one")
	f.StringVar(&o.kubeconfig, "kubeconfig", o.kubeconfig, "path of a kubeconfig; overrides the configuration; empty uses what that says, or the pod's ServiceAccount")
	f.StringVar(&o.metricsAddress, "metrics-bind-address", o.metricsAddress, "address of the Prometheus metrics; 0 turns them off")
	f.StringVar(&o.healthAddress, "health-probe-bind-address", o.healthAddress, "address of /healthz and /readyz; 0 turns them off")
	f.BoolVar(&o.leaderElect, "leader-elect", o.leaderElect, "act only while holding the lease, so that several replicas may run; overrides the configuration")
	f.StringVar(&o.leaderElectNamespace, "leader-election-namespace", o.leaderElectNamespace, "namespace of the lease; overrides the configuration")
	f.StringVar(&o.logLevel, "log-level", o.logLevel, "debug, info or error")
}

// verbosity returns klog's for a log level: kube-scheduler tells what it does from 2, and why from 4 on.
func verbosity(level string) (uint32, error) {
	switch level {
	case "error":
		return 0, nil
	case "info":
		return 2, nil
	case "debug":
		return 4, nil
	}
	return 0, fmt.Errorf("--log-level is %q; it must be debug, info or error", level)
}

// load reads the scheduler configuration, strictly, and puts what the command line says in its place.
func (o *options) load() (*config.KubeSchedulerConfiguration, error) {
	raw, from := manifests.SchedulerConfig, "the built-in configuration"
	if o.config != "" {
		from = o.config
		var err error
		if raw, err = os.ReadFile(o.config); err != nil {
			return nil, fmt.Errorf("reading scheduler configuration, %w", err)
		}
	}
	object, gvk, err := scheme.Codecs.UniversalDecoder().Decode(raw, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("decoding %s, %w", from, err)
	}
	c, ok := object.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("decoding %s, it is a %s", from, gvk)
	}
	// The conversion to the internal version drops it, and validation wants it.
	c.APIVersion = gvk.GroupVersion().String()
	if o.kubeconfig != "" {
		c.ClientConnection.Kubeconfig = o.kubeconfig
	}
	if o.flags.Changed("leader-elect") {
		c.LeaderElection.LeaderElect = o.leaderElect
	}
	if o.flags.Changed("leader-election-namespace") {
		c.LeaderElection.ResourceNamespace = o.leaderElectNamespace
	}
	return c, nil
}
