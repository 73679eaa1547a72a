// Command endtoend runs Supercargo and stock Karpenter, one after the other, each on a fresh control plane and the same simulated
// cloud, with the same pods: all are pending, then all run, then workloads are scaled up and down, then everything settles. It
// tells how long that took, what it cost by the cloud's own bill, and how many pods were moved.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"supercargo.dev/e2e/bench/endtoend/karpenter"
)

// karpenterCommand is how this program starts itself as Karpenter.
const karpenterCommand = "karpenter"

// Options of the benchmark.
type Options struct {
	Pods   int
	Seed   uint64
	Engine string
	// Only cases whose name contains it.
	Only string
	// Churn is how long workloads are scaled.
	Churn time.Duration
	// Stable is for how long nothing may change for a cluster to count as settled; SettleLimit is how long that is waited for.
	Stable, SettleLimit time.Duration
	// ConsolidateAfter and DisruptionBudget are the NodePool's, for both engines.
	ConsolidateAfter time.Duration
	DisruptionBudget string
	// TimeScale divides what Supercargo counts in quarters of an hour, in the cases that are not at its defaults.
	TimeScale int
	// Out is the folder of the JSON files; Docs, where not empty, the folder of docs to write the plot and the table to.
	Out, Docs string
	// Dir holds logs and state.
	Dir string
	// Command is what was given to make beside its target, with a blank before it.
	Command string
}

func (o *Options) validate() error {
	switch {
	case o.Engine != engineBoth && o.Engine != engineSupercargo && o.Engine != engineKarpenter:
		return fmt.Errorf("--engine is %q; it must be %s, %s or %s", o.Engine, engineSupercargo, engineKarpenter, engineBoth)
	case o.Churn <= 0:
		return errors.New("--minutes must be above 0")
	case o.TimeScale < 1:
		return fmt.Errorf("--time-scale is %d; it must be at least 1", o.TimeScale)
	case o.Stable <= 0 || o.SettleLimit < o.Stable:
		return errors.New("--stable must be above 0 and --settle at least as long")
	}
	if len(Cases(*o)) == 0 {
		return fmt.Errorf("no case of --engine=%s has %q in its name (--case)", o.Engine, o.Only)
	}
	_, err := Workloads(o.Seed, o.Pods)
	return err
}

func main() {
	// A second signal kills, in case stopping hangs.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel)
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "endtoend: %v\n", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	o := Options{}
	minutes, short := 1.5, false
	cmd := &cobra.Command{
		Use:   "endtoend",
		Short: "Supercargo and Karpenter from pending pods to a settled cluster, on the same simulated cloud",
		Long: `Each case gets a control plane and a cloud of its own, with the same seed, prices that stand still, the same NodePool and the
same pods. The engine starts when all pods are pending; "bound" is counted from there. Then workloads are scaled by a schedule that
depends on the seed alone, and then nothing is done until nothing changes any more.`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if short && !cmd.Flags().Changed("pods") {
				o.Pods = 200
			}
			o.Churn = time.Duration(minutes * float64(time.Minute))
			if short && !cmd.Flags().Changed("minutes") {
				o.Churn = 40 * time.Second
			}
			if err := o.validate(); err != nil {
				return err
			}
			o.Command = arguments(cmd.Flags())
			return benchmark(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Pods, "pods", 1000, "pods that are pending at the start")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of pods, schedule, prices and usage")
	f.StringVar(&o.Engine, "engine", engineBoth, "supercargo, karpenter or both")
	f.StringVar(&o.Only, "case", "", "only cases whose name contains this")
	f.Float64Var(&minutes, "minutes", minutes, "how long workloads are scaled up and down")
	f.DurationVar(&o.Stable, "stable", time.Minute, "for how long nothing may change for a cluster to count as settled")
	f.DurationVar(&o.SettleLimit, "settle", 100*time.Second, "how long to wait for that at most")
	f.DurationVar(&o.ConsolidateAfter, "consolidate-after", 15*time.Second, "consolidateAfter of the NodePool, for both engines")
	f.StringVar(&o.DisruptionBudget, "disruption-budget", "20%", "nodes that may be disrupted at a time, for both engines")
	f.IntVar(&o.TimeScale, "time-scale", 10, "divides Supercargo's break-even age, launch overlap and cost of a pod's move, but for the case at its defaults")
	f.BoolVar(&short, "short", false, "a small form: 200 pods, 40 s of churn")
	f.StringVar(&o.Out, "out", "out/bench", "folder for e2e.json and e2e-cost.json")
	f.StringVar(&o.Docs, "docs", "", "folder of docs to write the plot and the table to; empty: none")
	f.StringVar(&o.Dir, "dir", "", "folder for logs and state, kept (default: a temporary one, kept only after a failure)")
	cmd.AddCommand(newKarpenterCommand())
	return cmd
}

// arguments are the flags that were set, as make takes them, but for where to write: they do not change what is measured.
func arguments(flags *pflag.FlagSet) string {
	var set []string
	flags.Visit(func(f *pflag.Flag) {
		if f.Name != "out" && f.Name != "docs" && f.Name != "dir" {
			set = append(set, "--"+f.Name+"="+f.Value.String())
		}
	})
	if len(set) == 0 {
		return ""
	}
	return fmt.Sprintf(" ARGS=%q", strings.Join(set, " "))
}

func newKarpenterCommand() *cobra.Command {
	var o karpenter.Options
	cmd := &cobra.Command{
		Use: karpenterCommand, Short: "Run stock Karpenter on a sandbox's cloud", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return karpenter.Run(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig of an administrator")
	cmd.Flags().StringVar(&o.Cloud, "cloud", "", "URL of the simulated cloud")
	cmd.Flags().StringVar(&o.Health, "health", "", "host:port of /healthz and /readyz")
	return cmd
}
