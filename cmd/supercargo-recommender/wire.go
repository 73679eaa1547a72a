package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"supercargo.dev/recommender/admission"
	"supercargo.dev/recommender/backfill"
	"supercargo.dev/recommender/checkpoint"
	"supercargo.dev/recommender/discovery"
	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/governance"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/policystatus"
	"supercargo.dev/recommender/recommendation"
	"supercargo.dev/recommender/resize"
	"supercargo.dev/recommender/usage"
	"supercargo.dev/recommender/workload"
)

// recommender is the process put together.
type recommender struct {
	options options
	config  *rest.Config
	manager manager.Manager
	keyring *admission.Keyring // nil: no webhook

	server   *utilversion.Version
	clock    clock.RealClock
	resolver *workload.Resolver
	governor *governance.Governor
	store    *estimate.Store
	registry *recommendation.Registry
}

// wire builds every part and gives it to the manager, which starts and stops them.
func (r *recommender) wire(ctx context.Context) error {
	mgr := r.manager
	var err error
	if r.server, err = serverVersion(r.config); err != nil {
		return err
	}
	if err := errors.Join(workload.IndexFields(ctx, mgr.GetFieldIndexer()), workload.IndexScalers(ctx, mgr.GetFieldIndexer())); err != nil {
		return err
	}
	r.resolver = &workload.Resolver{Reader: mgr.GetClient(), Direct: mgr.GetAPIReader(), Scales: mgr.GetClient().SubResource("scale")}
	r.governor = &governance.Governor{Reader: mgr.GetClient(), Clock: r.clock, Namespace: r.options.Namespace}
	r.store = estimate.NewStore(estimate.Options{Retention: r.options.retention})
	r.registry = recommendation.NewRegistry()
	prover, err := r.admission(ctx)
	if err != nil {
		return err
	}
	if err := r.usage(); err != nil {
		return err
	}
	if err := r.recommendation(prover); err != nil {
		return err
	}
	return errors.Join(
		(&discovery.Reconciler{Client: mgr.GetClient(), Direct: mgr.GetAPIReader()}).SetupWithManager(mgr),
		(&policystatus.Autoscaling{Client: mgr.GetClient(), Resolver: r.resolver}).SetupWithManager(mgr),
		(&policystatus.Recommendation{Client: mgr.GetClient()}).SetupWithManager(mgr),
	)
}

// noWebhook is the prover where no webhook is served: no pod may be replaced.
type noWebhook struct{}

func (noWebhook) Proven(context.Context) (bool, error) { return false, nil }

func (r *recommender) admission(ctx context.Context) (resize.Prover, error) {
	if r.keyring == nil {
		return noWebhook{}, nil
	}
	mgr, namespace := r.manager, r.options.Namespace
	r.keyring.Client, r.keyring.Direct, r.keyring.Namespace, r.keyring.Clock = mgr.GetClient(), mgr.GetAPIReader(), namespace, r.clock
	r.keyring.Hosts = r.options.webhookHosts(admission.ServiceName)
	first, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := r.keyring.Sync(first); err != nil { // the server can start without; the keyring goes on trying
		ctrl.Log.WithName("webhook").Error(err, "the certificate could not be made yet")
	}
	registration := &admission.Registration{
		Client: mgr.GetClient(), Direct: mgr.GetAPIReader(), Namespace: namespace, URL: r.options.webhookURL, Keyring: r.keyring, Clock: r.clock,
	}
	for _, runnable := range []manager.Runnable{r.keyring, registration} {
		if err := mgr.Add(runnable); err != nil {
			return nil, fmt.Errorf("adding the webhook, %w", err)
		}
	}
	mgr.GetWebhookServer().Register(admission.Path, &webhook.Admission{Handler: &admission.Handler{
		Resolver: r.resolver, Governor: r.governor, Clock: r.clock, Decoder: webhookDecoder(mgr),
		NoBoost: !r.server.AtLeast(utilversion.MajorMinor(1, 33)),
	}})
	return admission.NewProver(mgr.GetClient(), namespace, name, r.clock, uint64(time.Now().UnixNano())), nil //nolint:gosec // any bits do
}

// usage adds the collector and its metrics.
func (r *recommender) usage() error {
	clientset, err := kubernetes.NewForConfig(r.config)
	if err != nil {
		return fmt.Errorf("building the client of kubelets, %w", err)
	}
	logger := ctrl.Log.WithName("usage")
	source, nodes := usage.NewKubelet(clientset.CoreV1().RESTClient()), r.nodes
	if r.options.usageSource == sourceMetricsAPI {
		source, nodes = usage.NewMetricsAPI(clientset.CoreV1().RESTClient()), func() []string { return []string{usage.Cluster} }
	}
	collector, err := usage.NewCollector(usage.CollectorOptions{
		Source: source, Sink: r.registry.Sink(r.store), Clock: r.clock, Nodes: nodes,
		Interval: r.options.scrapeInterval, Concurrency: r.options.scrapeConcurrency, Seed: r.options.seed,
		OnError: func(node string, err error) {
			logger.V(1).Info("usage of a node could not be read", "node", node, "error", err.Error())
		},
	})
	if err != nil {
		return err
	}
	if err := r.manager.Add(collector); err != nil {
		return fmt.Errorf("adding the collector, %w", err)
	}
	for reason, read := range map[string]func(usage.Counts) int64{
		"taken": func(c usage.Counts) int64 { return c.Taken }, "reset": func(c usage.Counts) int64 { return c.Resets },
		"stale": func(c usage.Counts) int64 { return c.Stale }, "skewed": func(c usage.Counts) int64 { return c.Skewed },
		"absurd": func(c usage.Counts) int64 { return c.Absurd },
	} {
		err := metrics.Registry.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "supercargo_usage_samples_total", Help: "Samples of usage, by what became of them.", ConstLabels: prometheus.Labels{"result": reason},
		}, func() float64 { return float64(read(collector.Counts())) }))
		if err != nil {
			return fmt.Errorf("registering usage metrics, %w", err)
		}
	}
	return nil
}

// nodes lists the nodes from the cache.
func (r *recommender) nodes() []string {
	var list corev1.NodeList
	if err := r.manager.GetClient().List(context.Background(), &list, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.Log.WithName("usage").Error(err, "nodes could not be listed")
		return nil
	}
	out := make([]string, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, list.Items[i].Name)
	}
	return out
}

// recommendation adds history, backfill, applier and controller.
func (r *recommender) recommendation(prover resize.Prover) error {
	mgr, namespace := r.manager, r.options.Namespace
	recorder := mgr.GetEventRecorder(name)
	// The API server accepts lower memory limits from Kubernetes 1.34 on.
	predict := policy.PredictOptions{MemoryLimitDecrease: r.server.AtLeast(utilversion.MajorMinor(1, 34))}
	limiter := &resize.Limiter{Client: mgr.GetClient(), Direct: mgr.GetAPIReader(), Namespace: namespace, Clock: r.clock, Rates: r.options.rates()}
	restored := make(chan struct{})
	controller := &recommendation.Reconciler{
		Client: mgr.GetClient(), Resolver: r.resolver, Governor: r.governor, Store: r.store, Registry: r.registry, Recorder: recorder, Clock: r.clock,
		Applier: resize.NewApplier(mgr.GetClient(), limiter, prover, recorder, r.clock, resize.Options{
			DeferredDeadline: r.options.deferredDeadline, RetryAfter: r.options.retryAfter, Predict: predict,
		}),
		Prices:   recommendation.Prices{PerCPUHour: r.options.cpuPrice, PerGiBHour: r.options.memoryPrice},
		Restored: restored,
	}
	var err error
	if controller.Metrics, err = recommendation.NewMetrics(metrics.Registry, r.store); err != nil {
		return fmt.Errorf("registering metrics, %w", err)
	}
	keeper := &checkpoint.Keeper{
		Objects: &checkpoint.Objects{Client: mgr.GetClient(), Direct: mgr.GetAPIReader(), Namespace: namespace},
		Store:   r.store, Recorder: recorder, Clock: r.clock, Interval: r.options.checkpointInterval, Bound: r.registry.Workloads, Ready: restored,
	}
	if err := keeper.Register(metrics.Registry); err != nil {
		return err
	}
	var wake <-chan event.GenericEvent
	if open := r.past(); open != nil {
		filler := backfill.NewFiller(open, r.store, r.clock, r.registry.Pods)
		controller.Backfill, keeper.Restored, wake = filler, filler.Restored, filler.Wake()
		if err := mgr.Add(filler); err != nil {
			return fmt.Errorf("adding the backfill, %w", err)
		}
	}
	if err := mgr.Add(keeper); err != nil {
		return fmt.Errorf("adding the checkpoints, %w", err)
	}
	return controller.SetupWithManager(mgr, wake, r.options.workers)
}

// past opens the source of usage from before the start, nil where there is none.
func (r *recommender) past() func() (usage.Stream, error) {
	switch {
	case r.options.historyFile != "":
		return func() (usage.Stream, error) {
			return func(ctx context.Context, yield func(usage.Usage) error) (err error) {
				f, err := os.Open(r.options.historyFile)
				if err != nil {
					return fmt.Errorf("opening the history file, %w", err)
				}
				defer func() { err = errors.Join(err, f.Close()) }()
				return usage.OpenMetrics(io.Reader(f))(ctx, yield)
			}, nil
		}
	case r.options.prometheusURL != "":
		return func() (usage.Stream, error) {
			now := r.clock.Now()
			c, err := usage.NewClient(r.options.prometheusClient)
			if err != nil {
				return nil, fmt.Errorf("building the client of the Prometheus server, %w", err)
			}
			return usage.Prometheus(usage.PrometheusOptions{
				URL: r.options.prometheusURL, Client: c, From: now.Add(-r.options.historyWindow), To: now, Step: r.options.prometheusStep,
				Selector: r.options.prometheusSelector,
			})
		}
	}
	return nil
}

// serverVersion asks the API server for its version, by which it is known what it allows.
func serverVersion(config *rest.Config) (*utilversion.Version, error) {
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("building the client of the API server, %w", err)
	}
	info, err := clientset.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("asking the API server for its version, %w", err)
	}
	v, err := utilversion.ParseGeneric(info.GitVersion)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's version, %w", err)
	}
	return v, nil
}
