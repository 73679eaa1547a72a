package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/cluster/kubelet"
	"supercargo.dev/e2e/demo/apps"
	"supercargo.dev/e2e/demo/observe"
	"supercargo.dev/e2e/demo/replay"
	"supercargo.dev/e2e/sandbox"
)

// UsageSimulated is the value of Options.Usage for the seeded daily pattern.
const UsageSimulated = "simulated"

// Options of a demo.
type Options struct {
	// Seed of market, interruptions and usage.
	Seed int64
	// Usage is UsageSimulated, or a CSV file of measured usage, which services of the same name replay.
	Usage string
	// BoutiqueReplicas and SockShopReplicas of each stateless service; databases have one.
	BoutiqueReplicas, SockShopReplicas int32
	// Batch of Jobs.
	Batch apps.Batch
	// Warning is between the notice of the spot interruption and the machine's end.
	Warning time.Duration
	// Dir holds state and logs. Empty: a temporary directory, removed at the end unless Keep is set or the demo fails.
	Dir string
	// Keep leaves everything running at the end, until the context ends.
	Keep bool
	// JSON prints the report as one JSON object on Out, and everything else on Err.
	JSON bool
	// Out and Err are written to; a terminal as Out gets a live view.
	Out, Err io.Writer
}

// Defaults are the options of `make demo`.
func Defaults() Options {
	return Options{
		Seed: 1, Usage: UsageSimulated, BoutiqueReplicas: 8, SockShopReplicas: 6,
		Batch: apps.Batch{Jobs: 3, PodsPerJob: 8, RunFor: 30 * time.Second}, Warning: 45 * time.Second,
		Out: os.Stdout, Err: os.Stderr,
	}
}

// BrokenError says which invariants did not hold.
type BrokenError struct{ Report *Report }

// Error implements error.
func (e *BrokenError) Error() string {
	if e.Report.Failure != "" { // the report has said all of it
		first, _, _ := strings.Cut(e.Report.Failure, "\n")
		return "the demo did not come to its end: " + first
	}
	broken := e.Report.Broken()
	return fmt.Sprintf("%d of %d invariants are broken, first: %s: %s", len(broken), len(e.Report.Invariants), broken[0].Name, broken[0].Detail)
}

// ErrInterrupted is returned where the context ended before the demo did.
var ErrInterrupted = errors.New("interrupted")

// story is a demo under way.
type story struct {
	Options
	show    presenter
	dir     string
	applied []apps.Application
	usage   kubelet.Usage // of the past; machines use the same
	scheme  *runtime.Scheme

	box      *sandbox.Sandbox
	kube     client.Client
	cloud    *sim.Client
	observer *observe.Observer
	region   *sim.Region
	parts    map[string]*sandbox.Process // components
	report   Report
	began    time.Time
	mark     observe.Snapshot // the end of the last stage
	// spot are the prices then, by instance type and zone.
	spot map[string]map[string]float64
}

// Run tells the story. The error is a *BrokenError where an invariant did not hold or a step did not come to its end, and
// ErrInterrupted where the context ended. Everything that it started has ended when it returns.
func Run(ctx context.Context, o Options) (err error) {
	s := &story{Options: o, parts: map[string]*sandbox.Process{}, report: Report{Seed: o.Seed, Usage: o.Usage}}
	if s.scheme, err = newScheme(); err != nil {
		return err
	}
	s.usage = kubelet.NewAnnotatedUsage(o.Seed)
	if o.Usage != UsageSimulated {
		series, err := replay.Load(o.Usage, "")
		if err != nil {
			return err
		}
		s.usage = replay.NewUsage(series, s.usage)
	}
	s.applied = []apps.Application{apps.Boutique(o.BoutiqueReplicas), apps.SockShop(o.SockShopReplicas)}
	if s.dir, err = s.directory(); err != nil {
		return err
	}
	logs, err := logToFile(filepath.Join(s.dir, "demo.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	s.show = newPresenter(o)
	defer func() { err = errors.Join(err, s.show.close()) }()

	var workers sync.WaitGroup
	defer workers.Wait()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	defer func() {
		if s.box != nil {
			err = errors.Join(err, s.box.Stop())
		}
		// Logs are kept where there is something to look for in them.
		if broken := (*BrokenError)(nil); o.Dir == "" && !errors.As(err, &broken) {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	failure := s.start(ctx, watching, &workers)
	if failure == nil {
		failure = s.tell(ctx)
	}
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return s.end(ctx, failure)
}

// end judges, prints and, where asked to, waits.
func (s *story) end(ctx context.Context, failure error) error {
	if failure != nil {
		s.report.Failure = failure.Error()
	}
	if s.observer != nil {
		last, bill := s.observer.Snapshot(), s.observer.Bill()
		s.report.BilledUSD, s.report.LedgerUSD, s.report.ToleranceUSD = last.Bill.Spent, last.Ledger.Spent, tolerance(bill)
		s.report.Seconds = last.At.Sub(s.began).Round(time.Second).Seconds()
	}
	if before, after := s.report.stage(StageBought), s.report.stage(StageConsolidated); before != nil && after != nil {
		s.report.SavedPercent = 100 * (1 - after.USDPerHour/before.USDPerHour)
	}
	s.report.Invariants = Judge(&s.report)
	if err := s.show.report(&s.report); err != nil {
		return fmt.Errorf("printing the report, %w", err)
	}
	if err := s.writeEvents(ctx); err != nil {
		return err
	}
	if s.Keep && s.box != nil {
		s.show.event("%s", s.lookAround())
		<-ctx.Done()
	}
	if len(s.report.Broken()) > 0 {
		s.show.event("logs are kept in %s", s.dir)
		return &BrokenError{Report: &s.report}
	}
	return nil
}

func (s *story) lookAround() string {
	return fmt.Sprintf(`Everything is left running until Ctrl-C. Look around in another terminal:

  export KUBECONFIG=%s
  kubectl get nodes -L karpenter.sh/capacity-type,node.kubernetes.io/instance-type
  kubectl get workloadscalers -A
  kubectl get nodeclaims,nodepools
  kubectl get events -A --sort-by=.lastTimestamp

  logs: %s    cloud: %s`, s.box.Kubeconfig, s.dir, s.box.Cloud)
}

func (s *story) directory() (string, error) {
	if s.Dir != "" {
		dir, err := filepath.Abs(s.Dir)
		if err != nil {
			return "", fmt.Errorf("resolving directory, %w", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("creating directory, %w", err)
		}
		return dir, nil
	}
	dir, err := os.MkdirTemp("", "supercargo-demo-")
	if err != nil {
		return "", fmt.Errorf("creating directory, %w", err)
	}
	return dir, nil
}

// logToFile sends what the Kubernetes libraries of this process log to a file: on a terminal it would get in the way.
func logToFile(path string) (io.Closer, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("creating log, %w", err)
	}
	logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(file)))
	klog.SetLogger(logger)
	ctrllog.SetLogger(logger)
	return file, nil
}

// newScheme knows the kinds of Kubernetes, Karpenter (which adds its own to client-go's scheme) and Supercargo.
func newScheme() (*runtime.Scheme, error) {
	if err := v1alpha1.AddToScheme(clientgoscheme.Scheme); err != nil {
		return nil, fmt.Errorf("registering kinds, %w", err)
	}
	return clientgoscheme.Scheme, nil
}

// history writes what the applications used before the demo began, up to a while ago: the pods of then are gone long enough for
// those of now to count as their successors.
func (s *story) history() (string, error) {
	pods, err := apps.PastPods(s.Seed, s.applied...)
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, "history.txt")
	file, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("creating usage history, %w", err)
	}
	const rolledOut = 15 * time.Minute // before now
	to := clock.RealClock{}.Now().Add(-rolledOut).Truncate(apps.HistoryStep)
	err = apps.WriteHistory(file, s.usage, pods, to.Add(-apps.HistoryLength), to)
	return path, errors.Join(err, file.Close())
}

// writeEvents puts the events of the cluster beside the logs: what a person would look at first.
func (s *story) writeEvents(ctx context.Context) (err error) {
	if s.kube == nil {
		return nil
	}
	list := &corev1.EventList{}
	if err := s.kube.List(ctx, list); err != nil {
		return fmt.Errorf("listing events, %w", err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Event) int { return seen(&a).Compare(seen(&b)) })
	file, err := os.Create(filepath.Join(s.dir, "events.txt"))
	if err != nil {
		return fmt.Errorf("writing events, %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for i := range list.Items {
		e := &list.Items[i]
		if _, err := fmt.Fprintf(file, "%s %-8s %s %s/%s %s: %s\n", seen(e).UTC().Format(time.TimeOnly), e.Type, e.InvolvedObject.Kind,
			e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Reason, e.Message); err != nil {
			return fmt.Errorf("writing events, %w", err)
		}
	}
	return nil
}

// seen is when an event happened last, as far as it says so.
func seen(e *corev1.Event) time.Time {
	for _, at := range []time.Time{e.LastTimestamp.Time, e.EventTime.Time} {
		if !at.IsZero() {
			return at
		}
	}
	return e.CreationTimestamp.Time
}

// encode prints the report as JSON.
func encode(w io.Writer, r *Report) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}
