package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"supercargo.dev/e2e/demo"
)

func newDemoCommand() *cobra.Command {
	o := demo.Defaults()
	output := "text"
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole system at work, from no node to a consolidated cluster and back",
		Long: `Starts a sandbox and, on a cluster that begins with no node, runs two published microservice applications: machines are bought
for them, they are rightsized in place, the machines are consolidated, the spot market takes one of them back, and a batch comes and
goes. It ends with a table of what each step cost, and fails where an invariant does not hold.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("unknown output %q: want text or json", output)
			}
			o.JSON, o.Out, o.Err = output == "json", cmd.OutOrStdout(), cmd.ErrOrStderr()
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.Int64Var(&o.Seed, "seed", o.Seed, "seed of market, interruptions and usage")
	f.StringVar(&o.Usage, "usage", o.Usage, "simulated, for a daily pattern; or a CSV file (gzip or not) of measured usage, replayed by services of the same name")
	f.Int32Var(&o.BoutiqueReplicas, "boutique-replicas", o.BoutiqueReplicas, "replicas of each service of Online Boutique")
	f.Int32Var(&o.SockShopReplicas, "sock-shop-replicas", o.SockShopReplicas, "replicas of each service of Sock Shop")
	f.Int32Var(&o.Batch.PodsPerJob, "batch-pods", o.Batch.PodsPerJob, "pods of each of the three Jobs")
	f.DurationVar(&o.Batch.RunFor, "batch-run-for", o.Batch.RunFor, "how long each pod of the batch runs")
	f.DurationVar(&o.Warning, "interruption-warning", o.Warning, "time from the notice of the spot interruption until the machine is gone")
	f.StringVar(&o.Dir, "dir", "", "directory for state and logs; kept (default: a temporary one, kept only after a failure)")
	f.BoolVar(&o.Keep, "keep", false, "leave everything running at the end, until interrupted")
	f.StringVarP(&output, "output", "o", output, "text, or json: the report as one JSON object on standard output, progress on standard error")
	return cmd
}
