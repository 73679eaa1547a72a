// Command supercargo-provisioner buys, consolidates and replaces nodes. It takes the place of Karpenter or Cluster Autoscaler:
// NodePools and NodeClaims are Karpenter's, the decisions are Supercargo's.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
)

// version is set at link time.
var version = "dev"

func main() {
	if err := command().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "supercargo-provisioner:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := defaultOptions()
	cmd := &cobra.Command{
		Use:   "supercargo-provisioner",
		Short: "Buys, consolidates and replaces the nodes of a cluster",
		Long: `supercargo-provisioner packs pending pods onto the cheapest spot and on-demand machines, consolidates m nodes into n,
and replaces spot nodes that the cloud takes back. NodePools and NodeClaims (karpenter.sh/v1) work as they do with Karpenter.

It must not run beside Karpenter or Cluster Autoscaler on the same nodes, nor on nodes that it manages.`,
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

func run(ctx context.Context, o options) error {
	p, err := newProvisioner(ctx, o)
	if err != nil {
		return err
	}
	if err := p.Start(ctx); err != nil {
		return fmt.Errorf("running, %w", err)
	}
	return nil
}
