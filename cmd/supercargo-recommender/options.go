package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"supercargo.dev/cmd/internal/component"
	"supercargo.dev/cost"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/resize"
	"supercargo.dev/recommender/usage"
)

// maxHistory is the longest lookback that a RecommendationPolicy may have, with a day to spare.
const maxHistory = 31 * 24 * time.Hour

// Sources of usage while the recommender runs.
const (
	sourceKubelet    = "kubelet"
	sourceMetricsAPI = "metrics-api"
)

type options struct {
	component.Options

	workers int
	seed    uint64

	usageSource        string
	scrapeInterval     time.Duration
	scrapeConcurrency  int
	retention          time.Duration
	checkpointInterval time.Duration
	historyFile        string
	prometheusURL      string
	prometheusSelector string
	prometheusStep     time.Duration
	prometheusClient   usage.ClientOptions
	historyWindow      time.Duration

	webhookAddress string
	webhookURL     string

	deferredDeadline time.Duration
	retryAfter       time.Duration
	resizeEvery      time.Duration
	resizeBurst      int
	recreateEvery    time.Duration
	recreateBurst    int
	workloadRecreate time.Duration

	cpuPrice, memoryPrice float64
}

func defaultOptions() options {
	rates := resize.DefaultRates()
	return options{
		Options: component.Defaults(100, 200), workers: 8, seed: 1,
		usageSource: sourceKubelet, scrapeInterval: time.Minute, scrapeConcurrency: 16, retention: 8 * 24 * time.Hour, checkpointInterval: 5 * time.Minute,
		historyWindow: 8 * 24 * time.Hour, prometheusStep: 5 * time.Minute,
		webhookAddress: ":9443", deferredDeadline: 10 * time.Minute, retryAfter: time.Hour,
		resizeEvery: rates[resize.KindResize].Global.Every, resizeBurst: rates[resize.KindResize].Global.Burst,
		recreateEvery: rates[resize.KindRecreate].Global.Every, recreateBurst: rates[resize.KindRecreate].Global.Burst,
		workloadRecreate: rates[resize.KindRecreate].Workload.Every,
		cpuPrice:         cost.ReferenceCPUHour, memoryPrice: cost.ReferenceGiBHour,
	}
}

func (o *options) addFlags(f *pflag.FlagSet) {
	o.AddFlags(f, "; the webhook answers on all of them", "installation: of the lease, the checkpoints, the certificate and the pause switch")
	f.IntVar(&o.workers, "workers", o.workers, "WorkloadScalers reconciled at once")
	f.Uint64Var(&o.seed, "seed", o.seed, "seed of the jitter of visits to nodes")

	f.StringVar(&o.usageSource, "usage-source", o.usageSource, "kubelet: /metrics/resource of every kubelet through the API server; metrics-api: metrics.k8s.io, where a metrics-server runs and kubelets may not be reached")
	f.DurationVar(&o.scrapeInterval, "scrape-interval", o.scrapeInterval, "time between two visits of a node's kubelet, or of metrics.k8s.io")
	f.IntVar(&o.scrapeConcurrency, "scrape-concurrency", o.scrapeConcurrency, "nodes visited at once")
	f.DurationVar(&o.retention, "history-retention", o.retention, "how far back usage is kept; no lookback reaches further")
	f.DurationVar(&o.checkpointInterval, "checkpoint-interval", o.checkpointInterval, "time between two checkpoints of the history")
	f.StringVar(&o.historyFile, "history-file", o.historyFile, "OpenMetrics text with timestamps, of usage from before the start")
	f.StringVar(&o.prometheusURL, "prometheus-url", o.prometheusURL, "Prometheus-compatible server with usage from before the start")
	f.StringVar(&o.prometheusSelector, "prometheus-selector", o.prometheusSelector, `label matchers added to every query, for example cluster="a"`)
	f.DurationVar(&o.prometheusStep, "prometheus-step", o.prometheusStep, "time between two samples asked for")
	c := &o.prometheusClient
	f.StringVar(&c.BearerTokenFile, "prometheus-bearer-token-file", "", "file with a token for --prometheus-url; it is read anew with each request")
	f.StringVar(&c.Username, "prometheus-username", "", "user name for --prometheus-url, with --prometheus-password-file")
	f.StringVar(&c.PasswordFile, "prometheus-password-file", "", "file with the password of --prometheus-username")
	f.StringVar(&c.CAFile, "prometheus-ca-file", "", "certificates in PEM that the server of --prometheus-url is checked against; empty: the system's")
	f.BoolVar(&c.InsecureSkipVerify, "prometheus-insecure-skip-verify", false, "accept any certificate of --prometheus-url")
	f.StringArrayVar(&c.Headers, "prometheus-header", nil, `header of requests to --prometheus-url, for example "X-Scope-OrgID: team-a"; may be given several times`)
	f.DurationVar(&c.Timeout, "prometheus-timeout", 5*time.Minute, "time limit of one request to --prometheus-url")
	f.DurationVar(&o.historyWindow, "history-window", o.historyWindow, "how far back --prometheus-url is asked")

	f.StringVar(&o.webhookAddress, "webhook-bind-address", o.webhookAddress, "address of the admission webhook; 0 turns it off, and with it all but resizes in place")
	f.StringVar(&o.webhookURL, "webhook-url", o.webhookURL, "https URL by which the API server reaches the webhook from outside of the cluster; empty: the Service supercargo-recommender-webhook")

	f.DurationVar(&o.deferredDeadline, "resize-deferred-deadline", o.deferredDeadline, "how long a resize that its node defers may wait before it is taken back")
	f.DurationVar(&o.retryAfter, "resize-retry-after", o.retryAfter, "how long a resize that was refused or taken back is not tried again with the same numbers")
	f.DurationVar(&o.resizeEvery, "resize-every", o.resizeEvery, "time between two resizes in the whole cluster, once the burst is spent")
	f.IntVar(&o.resizeBurst, "resize-burst", o.resizeBurst, "resizes in the whole cluster at once")
	f.DurationVar(&o.recreateEvery, "recreate-every", o.recreateEvery, "time between two evictions or rollouts in the whole cluster, once the burst is spent")
	f.IntVar(&o.recreateBurst, "recreate-burst", o.recreateBurst, "evictions and rollouts in the whole cluster at once")
	f.DurationVar(&o.workloadRecreate, "workload-recreate-every", o.workloadRecreate, "time between two evictions or rollouts of one workload")

	f.Float64Var(&o.cpuPrice, "cpu-price", o.cpuPrice, "USD per vCPU and hour by which savings are reckoned")
	f.Float64Var(&o.memoryPrice, "memory-price", o.memoryPrice, "USD per GiB and hour by which savings are reckoned")
}

func (o *options) validate() error {
	if err := o.Options.Validate(); err != nil {
		return err
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"scrape-interval", o.scrapeInterval},
		{"history-retention", o.retention},
		{"checkpoint-interval", o.checkpointInterval},
		{"prometheus-step", o.prometheusStep},
		{"history-window", o.historyWindow},
		{"resize-deferred-deadline", o.deferredDeadline},
		{"resize-retry-after", o.retryAfter},
		{"resize-every", o.resizeEvery},
		{"recreate-every", o.recreateEvery},
		{"workload-recreate-every", o.workloadRecreate},
	} {
		if d.value <= 0 {
			return fmt.Errorf("--%s is %s; it must be above 0", d.flag, d.value)
		}
	}
	for _, n := range []struct {
		flag  string
		value int
	}{{"workers", o.workers}, {"scrape-concurrency", o.scrapeConcurrency}, {"resize-burst", o.resizeBurst}, {"recreate-burst", o.recreateBurst}} {
		if n.value < 1 {
			return fmt.Errorf("--%s is %d; it must be at least 1", n.flag, n.value)
		}
	}
	if o.retention > maxHistory || o.historyWindow > maxHistory {
		return fmt.Errorf("--history-retention and --history-window must be at most %s", maxHistory)
	}
	if !(o.cpuPrice >= 0) || !(o.memoryPrice >= 0) {
		return errors.New("--cpu-price and --memory-price must be numbers of at least 0")
	}
	if o.historyFile != "" && o.prometheusURL != "" {
		return errors.New("--history-file and --prometheus-url exclude each other")
	}
	if o.usageSource != sourceKubelet && o.usageSource != sourceMetricsAPI {
		return fmt.Errorf("--usage-source is %q; it must be %s or %s", o.usageSource, sourceKubelet, sourceMetricsAPI)
	}
	if _, err := usage.NewClient(o.prometheusClient); err != nil {
		return fmt.Errorf("--prometheus-*: %w", err)
	}
	if _, _, err := o.webhookHostPort(); err != nil {
		return err
	}
	if o.webhookURL != "" {
		if u, err := url.Parse(o.webhookURL); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" {
			return fmt.Errorf("--webhook-url is %q; it must be https://host:port", o.webhookURL)
		}
	}
	return nil
}

// webhook says whether the admission webhook is served.
func (o *options) webhook() bool { return o.webhookAddress != "0" }

func (o *options) webhookHostPort() (host string, port int, err error) {
	if !o.webhook() {
		return "", 0, nil
	}
	host, text, err := net.SplitHostPort(o.webhookAddress)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("--webhook-bind-address is %q; it must be host:port, :port or 0", o.webhookAddress)
	}
	return host, port, nil
}

// webhookHosts are the names and addresses that the webhook's certificate is for.
func (o *options) webhookHosts(service string) []string {
	hosts := []string{service + "." + o.Namespace + ".svc", service + "." + o.Namespace + ".svc.cluster.local"}
	if u, err := url.Parse(o.webhookURL); err == nil && u.Hostname() != "" {
		hosts = append(hosts, u.Hostname())
	}
	return hosts
}

func (o *options) rates() map[resize.Kind]resize.Rates {
	out := resize.DefaultRates()
	out[resize.KindResize] = resize.Rates{Global: policy.Rate{Every: o.resizeEvery, Burst: o.resizeBurst}, Workload: out[resize.KindResize].Workload}
	out[resize.KindRecreate] = resize.Rates{
		Global:   policy.Rate{Every: o.recreateEvery, Burst: o.recreateBurst},
		Workload: policy.Rate{Every: o.workloadRecreate, Burst: out[resize.KindRecreate].Workload.Burst},
	}
	return out
}
