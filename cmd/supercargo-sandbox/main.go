// Command supercargo-sandbox runs a Kubernetes control plane, a simulated cloud and its machines on one computer, to try and
// to test Supercargo without a cluster.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "v0.0.0-dev"

func main() {
	// A second signal kills, in case stopping hangs.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel)
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "supercargo-sandbox: %v\n", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "supercargo-sandbox",
		Short:         "A Kubernetes control plane and a simulated cloud on this computer",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	// Kubernetes declares a flag of this name for every program that links it, and cobra's would be that one.
	cmd.Flags().Bool("version", false, "print the version")
	cmd.AddCommand(newUpCommand(), newDemoCommand())
	return cmd
}
