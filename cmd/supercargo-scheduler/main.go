// Command supercargo-scheduler is kube-scheduler with three more plugins: RightsizedPacking, SpotPreference and PlannedNode. It runs beside the
// default scheduler, under the scheduler name and with the lease that its configuration states.
//
// Without --config it runs with manifests/deploy/scheduler-config.yaml, which is built in.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	"k8s.io/utils/clock"

	"supercargo.dev/scheduler-plugins/feed"
	"supercargo.dev/scheduler-plugins/metrics"
	"supercargo.dev/scheduler-plugins/plannednode"
	"supercargo.dev/scheduler-plugins/rightsizedpacking"
	"supercargo.dev/scheduler-plugins/spotpreference"
)

// version is set at link time.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "supercargo-scheduler:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o, kube := defaultOptions(), scheduleroptions.NewOptions()
	cmd := &cobra.Command{
		Use:   "supercargo-scheduler",
		Short: "Binds pods by what they will need, what nodes cost, and how far they tolerate spot capacity",
		Long: `supercargo-scheduler is kube-scheduler with the plugins RightsizedPacking, SpotPreference and PlannedNode. It serves the pods that name it
in spec.schedulerName and may run beside the default scheduler on the same nodes.`,
		Args:          cobra.NoArgs,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return kube.ComponentGlobalsRegistry.Set()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o, kube)
		},
	}
	o.addFlags(cmd.Flags())
	// Kubernetes declares a flag of this name for every program that links it, and cobra's would be that one.
	cmd.Flags().Bool("version", false, "print the version")
	cmd.Flags().AddFlagSet(kube.Flags.FlagSet("feature gate"))
	return cmd
}

// plugins returns the options that add the plugins, all of which read one feed.
func plugins() ([]app.Option, error) {
	m, err := metrics.New(legacyregistry.Registerer())
	if err != nil {
		return nil, err
	}
	f := feed.New(m, clock.RealClock{})
	return []app.Option{
		app.WithPlugin(rightsizedpacking.Name, rightsizedpacking.Factory(f)),
		app.WithPlugin(spotpreference.Name, spotpreference.Factory(f)),
		app.WithPlugin(plannednode.Name, plannednode.Factory(f)),
	}, nil
}
