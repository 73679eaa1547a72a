package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"supercargo.dev/cmd/internal/component"
	"supercargo.dev/provisioner/realisable"
)

// clouds are the values of --cloud.
var clouds = []string{"sim"}

type options struct {
	component.Options

	allowRivals bool

	cloud       string
	simEndpoint string

	batchIdle, batchMax time.Duration
	launchesPerMinute   int
	planBudget          time.Duration
	nodeFee             float64
	interruptionCost    float64
	maxNodeCPU          int64
	maxNodeShare        float64
	maxSpotPoolShare    float64

	validationDelay   time.Duration
	breakEven         time.Duration
	launchOverlap     time.Duration
	podMoveCost       float64
	capacitySettle    time.Duration
	minSavingFraction float64
	minSavingPerHour  float64
	searchBudget      time.Duration

	realisableInterval time.Duration
}

func defaultOptions() options {
	return options{
		Options:   component.Defaults(200, 300),
		batchIdle: time.Second, batchMax: 10 * time.Second, launchesPerMinute: 200, planBudget: 5 * time.Second,
		interruptionCost: 0.02, maxNodeShare: 1, maxSpotPoolShare: 1,
		validationDelay: 15 * time.Second, breakEven: 15 * time.Minute, launchOverlap: 3 * time.Minute, podMoveCost: 0.0005,
		capacitySettle: 10 * time.Minute, minSavingFraction: 0.03, minSavingPerHour: 0.01, searchBudget: 2 * time.Second,
		realisableInterval: realisable.DefaultInterval,
	}
}

func (o *options) addFlags(f *pflag.FlagSet) {
	o.AddFlags(f, "", "lease")

	f.BoolVar(&o.allowRivals, "allow-rivals", o.allowRivals, "start although Cluster Autoscaler or Karpenter runs in the cluster; only where its node groups are its own")

	f.StringVar(&o.cloud, "cloud", o.cloud, fmt.Sprintf("cloud to buy from, one of %v", clouds))
	f.StringVar(&o.simEndpoint, "sim-endpoint", o.simEndpoint, "URL of the simulated cloud's API, with --cloud=sim")

	f.DurationVar(&o.batchIdle, "batch-idle-duration", o.batchIdle, "a batch of pending pods ends when no pod came for so long")
	f.DurationVar(&o.batchMax, "batch-max-duration", o.batchMax, "a batch of pending pods ends after so long in any case, and one of pods that have lost their places to others only then")
	f.IntVar(&o.launchesPerMinute, "launches-per-minute", o.launchesPerMinute, "nodes launched per minute at most, over all NodePools")
	f.DurationVar(&o.planBudget, "plan-time-budget", o.planBudget, "time to look for a cheaper plan; the best so far is carried out")
	f.Float64Var(&o.nodeFee, "node-fee", o.nodeFee, "USD per hour that a further node is thought to cost beyond its price; 0 uses the packer's default, negative none")
	f.Float64Var(&o.interruptionCost, "interruption-cost", o.interruptionCost, "USD that one spot interruption is thought to cost; it is weighed with the risk of each offering")

	f.Int64Var(&o.maxNodeCPU, "max-node-cpus", o.maxNodeCPU, "CPUs that a node to buy may have at most, over all NodePools; 0 means any number. A NodePool's own requirements may say less")
	f.Float64Var(&o.maxNodeShare, "max-workload-share-per-node", o.maxNodeShare, "largest share of the pods of one workload, above 0 to 1, that a node is planned to hold; one pod always may")
	f.Float64Var(&o.maxSpotPoolShare, "max-workload-share-per-spot-pool", o.maxSpotPoolShare, "largest share of the pods of one workload, above 0 to 1, that is planned on the nodes bought of one spot pool: an instance type in a zone")

	f.DurationVar(&o.validationDelay, "consolidation-validation-delay", o.validationDelay, "time after which a saving must still be one before it is carried out")
	f.DurationVar(&o.breakEven, "consolidation-break-even", o.breakEven, "age below which a node is not given up for savings")
	f.DurationVar(&o.launchOverlap, "consolidation-launch-overlap", o.launchOverlap, "time for which a node and its replacement are both paid: launch, start and drain on this cloud; a saving must earn it back")
	f.Float64Var(&o.podMoveCost, "consolidation-pod-move-cost", o.podMoveCost, "USD that moving an ordinary pod is thought to cost; a saving must earn it back. Priority, pod-deletion-cost, a tight PodDisruptionBudget, a start less than an hour ago and the lost work of a Job raise it for a pod, the annotation cluster-autoscaler.kubernetes.io/safe-to-evict=true lowers it; 0 makes every pod free to move")
	f.DurationVar(&o.capacitySettle, "consolidation-capacity-settle", o.capacitySettle, "time for which capacity that was out must have been back before running nodes are replaced by it, such as an on-demand fallback by spot; pods that wait use it at once")
	f.Float64Var(&o.minSavingFraction, "consolidation-min-saving", o.minSavingFraction, "share of the price of the nodes removed that a move which launches nodes must save")
	f.Float64Var(&o.minSavingPerHour, "consolidation-min-saving-per-hour", o.minSavingPerHour, "USD per hour that a move which launches nodes must save, beside the share of --consolidation-min-saving")
	f.DurationVar(&o.searchBudget, "consolidation-time-budget", o.searchBudget, "time to look for savings in each round")

	f.DurationVar(&o.realisableInterval, "realisable-interval", o.realisableInterval, "how often to find out, by packing all pods at their requests and as recommended, what part of the recommendations' savings nodes would realise; 0 never does")
}

func (o *options) validate() error {
	if !slices.Contains(clouds, o.cloud) {
		return fmt.Errorf("--cloud is %q; it must be one of %v", o.cloud, clouds)
	}
	if o.cloud == "sim" && o.simEndpoint == "" {
		return errors.New("--sim-endpoint is needed with --cloud=sim, for example http://127.0.0.1:9999")
	}
	if err := o.Options.Validate(); err != nil {
		return err
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"batch-idle-duration", o.batchIdle}, {"batch-max-duration", o.batchMax}, {"plan-time-budget", o.planBudget}, {"consolidation-time-budget", o.searchBudget}} {
		if d.value <= 0 {
			return fmt.Errorf("--%s is %s; it must be positive", d.flag, d.value)
		}
	}
	if o.batchIdle > o.batchMax {
		return fmt.Errorf("--batch-idle-duration (%s) must not exceed --batch-max-duration (%s)", o.batchIdle, o.batchMax)
	}
	if o.realisableInterval < 0 {
		return fmt.Errorf("--realisable-interval is %s; it must not be negative", o.realisableInterval)
	}
	if o.launchesPerMinute <= 0 {
		return fmt.Errorf("--launches-per-minute is %d; it must be positive", o.launchesPerMinute)
	}
	if o.maxNodeCPU < 0 {
		return fmt.Errorf("--max-node-cpus is %d; it must not be negative", o.maxNodeCPU)
	}
	for _, s := range []struct {
		flag  string
		value float64
	}{{"max-workload-share-per-node", o.maxNodeShare}, {"max-workload-share-per-spot-pool", o.maxSpotPoolShare}} {
		if !(s.value > 0 && s.value <= 1) {
			return fmt.Errorf("--%s is %g; it must be above 0 and at most 1", s.flag, s.value)
		}
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"consolidation-validation-delay", o.validationDelay},
		{"consolidation-break-even", o.breakEven},
		{"consolidation-launch-overlap", o.launchOverlap},
		{"consolidation-capacity-settle", o.capacitySettle},
	} {
		if d.value < 0 {
			return fmt.Errorf("--%s is %s; it must not be negative", d.flag, d.value)
		}
	}
	for _, n := range []struct {
		flag  string
		value float64
	}{
		{"interruption-cost", o.interruptionCost},
		{"consolidation-pod-move-cost", o.podMoveCost},
		{"consolidation-min-saving", o.minSavingFraction},
		{"consolidation-min-saving-per-hour", o.minSavingPerHour},
	} {
		if !(n.value >= 0) || math.IsInf(n.value, 0) {
			return fmt.Errorf("--%s is %g; it must be a number of at least 0", n.flag, n.value)
		}
	}
	if math.IsNaN(o.nodeFee) || math.IsInf(o.nodeFee, 0) {
		return fmt.Errorf("--node-fee is %g; it must be a number", o.nodeFee)
	}
	return nil
}
