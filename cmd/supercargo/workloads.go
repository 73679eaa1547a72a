package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"supercargo.dev/recommender/insight"
)

// selection is which workloads a command is about.
type selection struct {
	insight.Filter
	selector string
}

func (s *selection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&s.Namespace, "namespace", "n", "", "namespace, as a glob of *, ?, [a-z] and [^0-9] (default: all)")
	f.StringVar(&s.Kind, "kind", "", "kind of the workload, for example Deployment")
	f.StringVar(&s.Name, "name", "", "name of the workload, as a glob")
	f.StringVarP(&s.selector, "selector", "l", "", "label selector on the workload's labels")
}

func (s *selection) complete() error {
	if s.selector != "" {
		selector, err := labels.Parse(s.selector)
		if err != nil {
			return usageError{fmt.Errorf("--selector, %w", err)}
		}
		s.Labels = selector
	}
	if err := s.Validate(); err != nil {
		return usageError{fmt.Errorf("--%w", err)}
	}
	return nil
}

// workloadsOptions are the flags of workloads.
type workloadsOptions struct {
	selection
	connection
	sort   string
	output string
	limit  int
}

func workloadsCommand() *cobra.Command {
	o := &workloadsOptions{}
	cmd := &cobra.Command{
		Use:     "workloads [FILE | -]...",
		Aliases: []string{"workload", "wl"},
		Short:   "Which workloads reserve more or less than they need, what that costs, and where to begin",
		Long: `workloads lists what WorkloadScalers say of their workloads: how well the requests fit (SCORE, lower means more room), how much of
what is reserved is used (EFF), which resource drives it, and what the recommendations would save in a month of 730 hours. It
changes nothing.

NET is what lowered requests save less what raised ones cost. It becomes money only when nodes change: REAL is the part of it
that a packing of the whole cluster turns into fewer or cheaper nodes, where the provisioner runs. PRIORITY weighs NET by
confidence, by how steady the usage is and by the risk of the change: begin at its top.

It reads dumps of kubectl, in JSON or YAML, from files or from the standard input (-); without any it reads the cluster of the
kubeconfig, or those of several --context.`,
		Example: `  # what saves most
  supercargo workloads

  # where to begin in the namespaces of one team
  supercargo workloads -n 'payments-*' -l team=payments --sort priority --limit 10

  # several clusters in one list
  supercargo workloads --context east,west

  # offline
  kubectl get workloadscalers -A -o json | supercargo workloads - -o json`,
		Args: cobra.ArbitraryArgs,
		RunE: o.run,
	}
	o.selection.flags(cmd)
	o.flagsForSeveral(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Cluster, "cluster", "", "cluster, as a glob on the context or file that it was read from, where there are several")
	f.StringVar(&o.sort, "sort", string(insight.SortNet), "what comes first: "+keys())
	f.StringVarP(&o.output, "output", "o", "table", "table, wide, json or yaml")
	f.IntVar(&o.limit, "limit", 0, "show that many at most (default: all)")
	return cmd
}

func keys() string {
	names := make([]string, 0, len(insight.SortKeys()))
	for _, k := range insight.SortKeys() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

func (o *workloadsOptions) run(cmd *cobra.Command, args []string) error {
	if err := o.selection.complete(); err != nil {
		return err
	}
	known := false
	for _, k := range insight.SortKeys() {
		known = known || string(k) == o.sort
	}
	switch {
	case !known:
		return usageError{fmt.Errorf("--sort is %q, want one of %s", o.sort, keys())}
	case o.limit < 0:
		return usageError{errors.New("--limit must not be negative")}
	}
	switch o.output {
	case "table", "wide", "json", "yaml":
	default:
		return usageError{fmt.Errorf("--output is %q, want table, wide, json or yaml", o.output)}
	}
	clusters, problems, err := o.scalers(cmd, args)
	if err != nil {
		return err
	}
	listProblems(cmd.ErrOrStderr(), problems)
	var items []insight.Item
	for _, c := range clusters {
		for _, s := range c.scalers {
			if item := insight.ItemOf(c.cluster, s); o.Selects(&item) {
				items = append(items, item)
			}
		}
	}
	insight.Sort(items, insight.SortKey(o.sort))
	totals := insight.Total(items)
	if o.limit > 0 && len(items) > o.limit {
		items = items[:o.limit]
	}
	if err := o.write(cmd.OutOrStdout(), items, totals); err != nil {
		return fmt.Errorf("writing the workloads, %w", err)
	}
	if len(problems) > 0 {
		return partialError{len(problems)}
	}
	return nil
}

// inventory is the output for programs.
type inventory struct {
	Items  []insight.Item `json:"items"`
	Totals insight.Totals `json:"totals"`
}

func (o *workloadsOptions) write(w io.Writer, items []insight.Item, totals insight.Totals) error {
	if items == nil {
		items = []insight.Item{}
	}
	switch o.output {
	case "json", "yaml":
		return writeData(w, o.output, inventory{items, totals})
	}
	if totals.Workloads == 0 {
		_, err := fmt.Fprintln(w, "No workloads: there is no WorkloadScaler that the filters select. A WorkloadScalerRule creates them.")
		return err
	}
	several := false
	for i := range items {
		several = several || items[i].Cluster != ""
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) } // the writer keeps its error for Flush
	head := []string{"NAMESPACE", "WORKLOAD", "MODE", "SCORE", "CPU", "MEM", "EFF", "NET/MONTH", "REAL", "PRIORITY", "CONFIDENCE", "NOTE"}
	if o.output == "wide" {
		head = append(head[:len(head)-1], "SAVINGS", "REINVEST", "PODS", "POLICY", "SCALER", "NOTE")
	}
	if several {
		head = append([]string{"CLUSTER"}, head...)
	}
	row(head...)
	for i := range items {
		row(o.cells(&items[i], several)...)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\n"+sentence(totals, len(items)))
	return err
}

func (o *workloadsOptions) cells(i *insight.Item, several bool) []string {
	var cells []string
	if several {
		cells = append(cells, i.Cluster)
	}
	score := map[string]string{}
	for _, r := range i.Resources {
		score[string(r.Resource)] = strconv.Itoa(int(r.Score))
	}
	cells = append(cells, i.Namespace, i.Kind+"/"+i.Name, dash(string(i.Mode)), whole(i.Score, ""), dash(score["cpu"]), dash(score["memory"]),
		whole(i.EfficiencyPercent, "%"), dollars(i.Net), dollars(i.Realisable), dollars(i.Priority), dash(string(i.Confidence)))
	if o.output == "wide" {
		cells = append(cells, dollars(i.Savings), dollars(i.Reinvestment), fmt.Sprintf("%d/%d", i.UpToDate, i.Pods), dash(i.Policy), i.Scaler)
	}
	note := i.Problem
	if i.ReviewOnly != "" {
		note = strings.TrimPrefix(note+"; for review only: "+i.ReviewOnly, "; ")
	}
	return append(cells, note)
}

// sentence sums the inventory up.
func sentence(t insight.Totals, shown int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d workloads", t.Workloads)
	if shown < t.Workloads {
		fmt.Fprintf(&b, ", %d shown", shown)
	}
	fmt.Fprintf(&b, ": $%.2f a month saved by lowering requests, $%.2f spent by raising them, $%.2f net", t.Savings, t.Reinvestment, t.Net)
	b.WriteString(".")
	switch { // of those at full confidence only, so these are no parts of the net above
	case t.OnNodePools != nil && t.Realisable != nil:
		fmt.Fprintf(&b, " What is sure falls with $%.2f on nodes of NodePools, where packing realises $%.2f.", *t.OnNodePools, *t.Realisable)
	case t.OnNodePools != nil:
		b.WriteString(" None of what is sure falls on nodes of NodePools.")
	case t.Realisable != nil: // of a version that did not name the part
		fmt.Fprintf(&b, " Packing realises $%.2f.", *t.Realisable)
	}
	if t.Unknown > 0 {
		fmt.Fprintf(&b, " The impact of %d is not known yet.", t.Unknown)
	}
	return b.String()
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func whole(n *int32, unit string) string {
	if n == nil {
		return "-"
	}
	return strconv.Itoa(int(*n)) + unit
}

func dollars(f *float64) string {
	if f == nil {
		return "-"
	}
	return strconv.FormatFloat(*f, 'f', 2, 64)
}

// writeData writes a value as JSON or YAML.
func writeData(w io.Writer, format string, v any) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	}
	data, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
