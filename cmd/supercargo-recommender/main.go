// Command supercargo-recommender watches what workloads use, writes what they need into WorkloadScalers, and brings their pods to it
// where a policy asks for that.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
)

// version is set at link time.
var version = "dev"

func main() {
	if err := command().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "supercargo-recommender:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := defaultOptions()
	cmd := &cobra.Command{
		Use:   "supercargo-recommender",
		Short: "Recommends and applies the requests and limits of workloads",
		Long: `supercargo-recommender discovers workloads by WorkloadScalerRules, watches what their containers use, and writes what they need,
with the reasons and the savings, into the status of WorkloadScalers. Nothing is changed unless a WorkloadScaler or an AutoscalingPolicy
asks for it: then new pods are given their recommendation by a mutating webhook, running pods by a resize in place or by a new pod.

To stop every change in the cluster at once:
  kubectl -n supercargo-system create configmap supercargo --from-literal=paused=true`,
		Args:          cobra.NoArgs,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}
