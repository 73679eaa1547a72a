// Package component is what the programs that run in a cluster and are built on controller-runtime have in common: the flags about
// the API server, the lease, the endpoints and the log, and what follows from them.
package component

import (
	"fmt"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Options are the flags.
type Options struct {
	// Kubeconfig is the path of one; empty means the pod's ServiceAccount.
	Kubeconfig string
	// MetricsAddress and HealthAddress are host:port; "0" turns metrics off.
	MetricsAddress, HealthAddress string
	// LeaderElect says whether to act only while holding the lease.
	LeaderElect bool
	// Namespace of the lease.
	Namespace string
	// LogLevel is debug, info or error.
	LogLevel string
	// QPS and Burst bound the requests to the API server.
	QPS   float32
	Burst int
}

// Defaults are the flags' defaults; how busy a component keeps the API server is its own.
func Defaults(qps float32, burst int) Options {
	return Options{
		MetricsAddress: ":8080", HealthAddress: ":8081", LeaderElect: true, Namespace: "supercargo-system", LogLevel: "info", QPS: qps, Burst: burst,
	}
}

// AddFlags adds the flags. Replicas says what those without the lease do, and namespace what is in the namespace of the lease, where
// there is something to say.
func (o *Options) AddFlags(f *pflag.FlagSet, replicas, namespace string) {
	f.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "path of a kubeconfig; empty uses the pod's ServiceAccount")
	f.StringVar(&o.MetricsAddress, "metrics-bind-address", o.MetricsAddress, "address of the Prometheus metrics; 0 turns them off")
	f.StringVar(&o.HealthAddress, "health-probe-bind-address", o.HealthAddress, "address of /healthz and /readyz")
	f.BoolVar(&o.LeaderElect, "leader-elect", o.LeaderElect, "act only while holding the lease, so that several replicas may run"+replicas)
	f.StringVar(&o.Namespace, "leader-election-namespace", o.Namespace, "namespace of the "+namespace)
	f.StringVar(&o.LogLevel, "log-level", o.LogLevel, "debug, info or error")
	f.Float32Var(&o.QPS, "kube-api-qps", o.QPS, "requests per second to the API server")
	f.IntVar(&o.Burst, "kube-api-burst", o.Burst, "requests to the API server at once")
}

// Validate names the flag that makes no sense.
func (o *Options) Validate() error {
	if _, err := o.level(); err != nil {
		return err
	}
	if !(o.QPS > 0) || o.Burst < 1 {
		return fmt.Errorf("--kube-api-qps is %g and --kube-api-burst %d; they must be above 0", o.QPS, o.Burst)
	}
	return nil
}

func (o *Options) level() (zapcore.Level, error) {
	switch o.LogLevel {
	case "debug":
		return zapcore.DebugLevel, nil
	case "info":
		return zapcore.InfoLevel, nil
	case "error":
		return zapcore.ErrorLevel, nil
	}
	return 0, fmt.Errorf("--log-level is %q; it must be debug, info or error", o.LogLevel)
}

// StartLog opens the log, JSON lines on the standard error, and makes it that of all libraries. Nothing is left out of it: a line
// that a sampler drops is the one that is looked for.
func (o *Options) StartLog() (logr.Logger, error) {
	level, err := o.level()
	if err != nil {
		return logr.Logger{}, err
	}
	c := zap.NewProductionConfig()
	c.Level = zap.NewAtomicLevelAt(level)
	c.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	c.DisableStacktrace = true
	c.Sampling = nil
	l, err := c.Build()
	if err != nil {
		return logr.Logger{}, fmt.Errorf("opening the log, %w", err)
	}
	logger := zapr.NewLogger(l)
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	return logger, nil
}

// Config says how the API server is reached, as the program of that name and version.
func (o *Options) Config(name, version string) (*rest.Config, error) {
	cfg, err := o.source()
	if err != nil {
		return nil, err
	}
	cfg.QPS, cfg.Burst = o.QPS, o.Burst
	cfg.UserAgent = name + "/" + version
	return cfg, nil
}

func (o *Options) source() (*rest.Config, error) {
	if o.Kubeconfig == "" {
		cfg, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("reading the pod's ServiceAccount (outside of a cluster, --kubeconfig is needed), %w", err)
		}
		return cfg, nil
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig, %w", err)
	}
	return cfg, nil
}

// Manager are the manager's options as far as the flags say: endpoints, and the lease of the program's name, which is given up when
// the manager ends.
func (o *Options) Manager(name string) manager.Options {
	return manager.Options{
		Metrics:                       server.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress:        o.HealthAddress,
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              name,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true, // the process ends when the manager does
	}
}
