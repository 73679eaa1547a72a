package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"supercargo.dev/e2e/cluster/kubelet"
	"supercargo.dev/e2e/demo/replay"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/e2e/sandbox/inprocess"
)

// upOptions are the flags of "up".
type upOptions struct {
	inprocess.Options
	seed       int64
	components bool
	usage      string
	output     string
	log        string
}

func newUpCommand() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start control plane, cloud and machines, and run until interrupted",
		Long: `Starts a Kubernetes control plane, a simulated cloud and its machines in this process, installs Supercargo's CRDs and
roles, prints where everything is, and runs until interrupted (SIGINT, SIGTERM). Nothing is left behind but --dir.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return up(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", "", "directory for state, kubeconfigs and logs; kept (default: a temporary one, removed at the end)")
	f.IntVar(&o.Cluster.Port, "port", 0, "port of the API server on 127.0.0.1 (default: any free one)")
	f.Int64Var(&o.seed, "seed", 1, "seed of market, interruptions, faults and usage")
	f.StringVar(&o.Cloud.Region, "region", "us-east-1", "region of the catalog to simulate")
	f.DurationVar(&o.Cloud.RegistrationDelay, "registration-delay", 2*time.Second, "time from the launch of a machine until its node registers")
	f.DurationVar(&o.NodeStartDelay, "node-start-delay", 500*time.Millisecond, "time from the registration of a node until it is ready")
	f.DurationVar(&o.Cloud.Latency, "cloud-latency", 20*time.Millisecond, "mean time of a call to the cloud's API")
	f.DurationVar(&o.Cloud.PriceInterval, "price-interval", 5*time.Minute, "time between moves of spot prices")
	f.DurationVar(&o.Cloud.InterruptionWarning, "interruption-warning", 2*time.Minute, "time from the notice of a spot interruption until the machine is gone")
	f.Float64Var(&o.Cloud.InterruptionScale, "interruption-scale", 0, "multiplies the catalog's interruption rates; 0: interruptions only when asked for")
	f.StringVar(&o.usage, "usage", "", "CSV file (gzip or not) of measured usage, replayed by the pods of services of the same name (default: what pods declare)")
	f.BoolVar(&o.components, "components", false, "also run Supercargo's components, from the directory of this binary")
	f.StringVarP(&o.output, "output", "o", "text", "what to print when ready: text, or json (one line)")
	f.StringVar(&o.log, "log", "", "file for the log of control plane, cloud and machines; - is stderr (default: sandbox.log in --dir)")
	f.IntVarP(&o.Cluster.Verbosity, "v", "v", 0, "verbosity of the control plane's log")
	return cmd
}

func up(ctx context.Context, out, errOut io.Writer, o upOptions) (err error) {
	if o.output != "text" && o.output != "json" {
		return fmt.Errorf("unknown output %q: want text or json", o.output)
	}
	o.Cloud.Seed, o.Kubelets.Seed = uint64(o.seed), o.seed //nolint:gosec // any bit pattern is a seed
	if o.usage != "" {
		series, err := replay.Load(o.usage, "")
		if err != nil {
			return err
		}
		o.Kubelets.Usage = replay.NewUsage(series, kubelet.NewAnnotatedUsage(o.seed))
	}
	switch o.log {
	case "":
	case "-":
		o.Log = errOut
	default:
		log, err := os.OpenFile(o.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("opening the log, %w", err)
		}
		defer func() { _ = log.Close() }() // nothing is left to tell it to
		o.Log = log
	}
	begin := time.Now()
	s, err := inprocess.Start(ctx, o.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if o.components {
		stop, startErr := startComponents(ctx, s)
		defer func() { err = errors.Join(err, stop()) }()
		if startErr != nil {
			return startErr
		}
	}
	if err := printReady(out, o.output, s.Ready(), time.Since(begin)); err != nil {
		return err
	}
	return s.Wait(ctx)
}

// startComponents starts every component of Supercargo and waits until they are ready. The function returned stops them and is
// never nil.
func startComponents(ctx context.Context, s *inprocess.Sandbox) (stop func() error, err error) {
	var started []*sandbox.Process
	stop = func() error { return sandbox.StopAll(started) }
	bin, err := sandbox.BinDir()
	if err != nil {
		return stop, err
	}
	for _, name := range sandbox.Components() {
		p, err := sandbox.StartComponent(ctx, s.Cluster().Config(), s.Ready(), bin, name, name, s.Ready().Dir)
		if err != nil {
			return stop, err
		}
		started = append(started, p)
	}
	for _, p := range started {
		if err := p.AwaitReady(ctx); err != nil {
			return stop, err
		}
	}
	return stop, nil
}

func printReady(out io.Writer, format string, r sandbox.Ready, took time.Duration) error {
	if format == "json" {
		return json.NewEncoder(out).Encode(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Ready after %s.\n\n", took.Round(100*time.Millisecond))
	fmt.Fprintf(&b, "  export KUBECONFIG=%s\n\n", r.Kubeconfig)
	fmt.Fprintf(&b, "  API server  %s\n", r.APIServer)
	fmt.Fprintf(&b, "  cloud       %s\n", r.Cloud)
	fmt.Fprintf(&b, "  controls    %s\n", r.Control)
	fmt.Fprintf(&b, "  directory   %s\n\n", r.Dir)
	fmt.Fprintln(&b, "Press Ctrl-C to stop.")
	_, err := io.WriteString(out, b.String())
	return err
}
