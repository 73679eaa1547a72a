package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"

	"supercargo.dev/plan"
	"supercargo.dev/plan/dump"
	"supercargo.dev/plan/live"
)

// maxProblemLines is how many broken items are listed one by one; the output in JSON and YAML has them all.
const maxProblemLines = 20

// planOptions are the flags of plan.
type planOptions struct {
	plan.Options
	connection
	output string
	files  []string
	keep   string
	spot   string
}

func planCommand() *cobra.Command {
	o := &planOptions{}
	cmd := &cobra.Command{
		Use:   "plan [FILE | -]...",
		Short: "What a cluster costs, what it would cost packed anew, and on which nodes",
		Long: `plan packs the pods of a cluster from zero onto the machines of a cloud's price list, and shows what that costs beside
what the cluster costs now, the bound below which no packing can go, the nodes to buy, and what stands in the way. It changes
nothing.

It reads dumps of kubectl, in JSON or YAML, from files or from the standard input (-); without any it reads the cluster of the
kubeconfig. Items that cannot be read are reported one by one, and the plan is made of the rest.

The price of a node is its annotation supercargo.dev/price-per-hour, else the list price of its instance type and region; spot
nodes count at the average spot price. A price that is not known is said to be unknown and never taken for nothing.

The plan buys on-demand capacity only unless --spot is given. Nodes of the control plane, with accelerators, serverless, of
another system than Linux, with local volumes or with pods that ask for them by name stay, as do those of --keep.`,
		Example: `  # from a dump, offline
  kubectl get nodes,pods,pvc,pv,storageclasses,csinodes,daemonsets,pdb,namespaces -A -o json | supercargo plan -

  # from the cluster of the current context, with spot capacity
  supercargo plan --spot

  # what would this deployment cost?
  supercargo plan dump.json -f deploy.yaml

  # at the recommended sizes, on arm64 too, in a script
  kubectl get nodes,pods,daemonsets,workloadscalers -A -o json | supercargo plan - --rightsized --arch amd64,arm64 -o json`,
		Args: cobra.ArbitraryArgs,
		RunE: o.run,
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "table", "table, json or yaml")
	f.StringArrayVarP(&o.files, "filename", "f", nil, "manifest whose workloads are added, or take the place of those of the same name, to price them")
	f.StringVar(&o.Cloud, "cloud", plan.CloudAWS, "cloud to buy from")
	f.StringVar(&o.Region, "region", "", "region to buy in (default: the one that most nodes are in)")
	f.StringSliceVar(&o.Zones, "zones", nil, "zones to buy in (default: those that the nodes are in)")
	f.StringSliceVar(&o.Families, "families", plan.DefaultFamilies(), "categories (m), families (m7g) or types (m7g.large) to buy; a category stands for generation 3 and later without flex, bare metal and accelerators")
	f.StringSliceVar(&o.Architectures, "arch", nil, "architectures that every image exists for (default: each pod keeps the one it runs on)")
	f.StringVar(&o.spot, "spot", string(plan.SpotOff), "spot capacity: --spot=off, on or only; --spot alone means on")
	f.Lookup("spot").NoOptDefVal = string(plan.SpotOn)
	f.BoolVar(&o.Rightsized, "rightsized", false, "pack pods at the sizes that the WorkloadScalers of the input recommend, whatever their mode")
	f.StringVar(&o.keep, "keep", "", "label selector of nodes that stay as they are")
	f.BoolVar(&o.KeepBlocked, "keep-blocked", false, "nodes with pods that must not be moved stay as they are")
	f.IntVar(&o.MaxPods, "max-pods", 0, "pods of a new node (default: as the present nodes have it, else what its network interfaces allow)")
	f.DurationVar(&o.TimeBudget, "time-budget", 10*time.Second, "longest time for each packing")
	f.Uint64Var(&o.Seed, "seed", 0, "decides between plans of equal worth")
	o.flags(cmd)
	return cmd
}

func (o *planOptions) run(cmd *cobra.Command, args []string) error {
	if err := o.complete(args); err != nil {
		return usageError{err}
	}
	status := newProgress(cmd.ErrOrStderr())
	defer status.done()
	o.Progress = status.stage

	objects := &dump.Objects{}
	if err := o.read(cmd, args, objects, status); err != nil {
		return err
	}
	var change *dump.Objects
	if len(o.files) > 0 {
		change = &dump.Objects{}
		if err := readFiles(cmd, o.files, change, status); err != nil {
			return err
		}
		objects.Problems = append(objects.Problems, change.Problems...)
	}
	status.done()
	listProblems(cmd.ErrOrStderr(), objects.Problems)
	report, err := plan.Make(cmd.Context(), objects, change, o.Options)
	status.done()
	var request plan.RequestError
	if errors.As(err, &request) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	if err := o.write(cmd.OutOrStdout(), report); err != nil {
		return fmt.Errorf("writing the plan, %w", err)
	}
	if n := len(objects.Problems); n > 0 {
		return partialError{n}
	}
	return nil
}

// complete checks the flags that the plan itself does not.
func (o *planOptions) complete(args []string) error {
	switch o.output {
	case "table", "json", "yaml":
	default:
		return fmt.Errorf("--output is %q, want table, json or yaml", o.output)
	}
	if err := o.orDump(args); err != nil {
		return err
	}
	dashes := 0
	for _, name := range append(append([]string(nil), args...), o.files...) {
		if name == "-" {
			dashes++
		}
	}
	if dashes > 1 {
		return errors.New("the standard input (-) can be read once only")
	}
	switch o.Spot = plan.SpotMode(o.spot); o.Spot {
	case plan.SpotOff, plan.SpotOn, plan.SpotOnly:
		for _, name := range args {
			if mode := plan.SpotMode(name); mode == plan.SpotOff || mode == plan.SpotOn || mode == plan.SpotOnly {
				return fmt.Errorf("%q is taken for a file: write --spot=%s", name, name)
			}
		}
	default:
		return fmt.Errorf("--spot is %q, want off, on or only", o.spot)
	}
	if o.MaxPods < 0 {
		return fmt.Errorf("--max-pods is %d, want 0 or more", o.MaxPods)
	}
	if o.TimeBudget <= 0 {
		return fmt.Errorf("--time-budget is %s, want more than 0s", o.TimeBudget)
	}
	if o.keep != "" {
		selector, err := labels.Parse(o.keep)
		if err != nil {
			return fmt.Errorf("--keep, %w", err)
		}
		o.Keep = selector
	}
	return nil
}

// read reads the dumps, or the cluster where none is given.
func (o *planOptions) read(cmd *cobra.Command, args []string, objects *dump.Objects, status *progress) error {
	if len(args) > 0 {
		return readFiles(cmd, args, objects, status)
	}
	cfg, err := o.config()
	if err != nil {
		return err
	}
	return live.Read(cmd.Context(), cfg, objects, dump.Options{Progress: status.reading("the cluster")})
}

func readFiles(cmd *cobra.Command, names []string, objects *dump.Objects, status *progress) error {
	for _, name := range names {
		if err := readFile(cmd.Context(), cmd.InOrStdin(), name, objects, status); err != nil {
			return err
		}
	}
	return nil
}

func readFile(ctx context.Context, stdin io.Reader, name string, objects *dump.Objects, status *progress) (err error) {
	in := stdin
	if name == "-" {
		name = "standard input"
	} else {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close() // only read
		in = file
	}
	return objects.Read(ctx, name, in, dump.Options{Progress: status.reading(name)})
}

// listProblems lists what could not be read, a line each.
func listProblems(w io.Writer, problems []dump.Problem) {
	for i, p := range problems {
		if i == maxProblemLines {
			_, _ = fmt.Fprintf(w, "and %d more; -o json lists them all\n", len(problems)-i)
			return
		}
		_, _ = fmt.Fprintln(w, p)
	}
}

func (o *planOptions) write(w io.Writer, report *plan.Report) error {
	if o.output == "json" || o.output == "yaml" {
		return writeData(w, o.output, report)
	}
	return report.WriteTable(w)
}
