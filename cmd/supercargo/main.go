// Command supercargo, also kubectl supercargo, shows what a cluster costs and what it could cost, and applies recommendations. It links no control plane and
// acts with its caller's own rights.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, the same for every command.
const (
	exitError   = 1
	exitUsage   = 2
	exitPartial = 3
)

// version is set at link time.
var version = "dev"

// A command lives for seconds: memory is cheaper than collecting it often, up to a bound.
const (
	gcPercent   = 400
	memoryLimit = 768 << 20
)

func main() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(gcPercent)
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// stdio are the streams of a command.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a mistake in how the command was called.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// partialError says that part of the input could not be read; what was asked for is done with the rest.
type partialError struct{ problems int }

func (e partialError) Error() string {
	if e.problems == 1 {
		return "1 problem with the input: the answer is made of what could be read"
	}
	return fmt.Sprintf("%d problems with the input: the answer is made of what could be read", e.problems)
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, streams stdio) int {
	root := command(streams)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(streams.err, "%s: %v\n", root.Name(), err)
	var partial partialError
	var usage usageError
	switch {
	case errors.As(err, &partial):
		return exitPartial
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"):
		_, _ = fmt.Fprintf(streams.err, "See %s --help.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitError
}

// command is the whole command line.
func command(streams stdio) *cobra.Command {
	name := "supercargo"
	if strings.HasPrefix(filepath.Base(os.Args[0]), "kubectl-") {
		name = "kubectl supercargo"
	}
	root := &cobra.Command{
		Use:   "supercargo",
		Short: "What a Kubernetes cluster costs, what it could cost, and how to get there",
		Long: `supercargo shows what a Kubernetes cluster costs, what it could cost, and which workloads to begin with.

Exit codes: 0 done; 1 an error; 2 a mistake in the call; 3 done, but part of the input could not be read.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: name},
	}
	root.SetIn(streams.in)
	root.SetOut(streams.out)
	root.SetErr(streams.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(planCommand(), workloadsCommand(), explainCommand(), applyCommand(), migrateCommand(), doctorCommand())
	return root
}
