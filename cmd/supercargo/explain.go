package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/insight"
	"supercargo.dev/recommender/policy"
)

// explainOptions are the flags of explain workload.
type explainOptions struct {
	connection
	namespace string
	files     []string
	output    string
}

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Why a recommendation is what it is",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	o := &explainOptions{}
	workload := &cobra.Command{
		Use:   "workload [KIND/]NAME",
		Short: "How the recommendation of a workload came about, step by step, and what stands in its way",
		Long: `explain workload shows each step from the usage that was seen to the requests that are recommended, which policies govern the
workload, how sure the recommendation is, what it is worth, and why it is or is not applied. It changes nothing.`,
		Example: `  supercargo explain workload web -n shop
  supercargo explain workload statefulset/orders -n shop
  kubectl get workloadscalers -A -o json | supercargo explain workload web -n shop -f -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("want one workload, as NAME or KIND/NAME")}
			}
			return nil
		},
		RunE: o.run,
	}
	o.flagsForSeveral(workload)
	f := workload.Flags()
	f.StringVarP(&o.namespace, "namespace", "n", metav1.NamespaceDefault, "namespace of the workload")
	f.StringArrayVarP(&o.files, "filename", "f", nil, "dump to read instead of the cluster; - is the standard input")
	f.StringVarP(&o.output, "output", "o", "text", "text, json or yaml")
	cmd.AddCommand(workload)
	return cmd
}

func (o *explainOptions) run(cmd *cobra.Command, args []string) error {
	switch o.output {
	case "text", "json", "yaml":
	default:
		return usageError{fmt.Errorf("--output is %q, want text, json or yaml", o.output)}
	}
	clusters, problems, err := o.scalers(cmd, o.files)
	if err != nil {
		return err
	}
	listProblems(cmd.ErrOrStderr(), problems)
	found, err := find(clusters, o.namespace, args[0])
	if err != nil {
		return err
	}
	if err := o.write(cmd.OutOrStdout(), found); err != nil {
		return fmt.Errorf("writing the explanation, %w", err)
	}
	if len(problems) > 0 {
		return partialError{len(problems)}
	}
	return nil
}

func (o *explainOptions) write(w io.Writer, s *v1alpha1.WorkloadScaler) error {
	if o.output != "text" {
		return writeData(w, o.output, s)
	}
	out := bufio.NewWriter(w)
	e := explanation{w: out, s: s}
	e.write()
	return out.Flush()
}

// find returns the one scaler whose target is named.
func find(clusters []clusterScalers, namespace, name string) (*v1alpha1.WorkloadScaler, error) {
	kind := ""
	if k, n, ok := strings.Cut(name, "/"); ok {
		kind, name = k, n
	}
	var found []*v1alpha1.WorkloadScaler
	for _, c := range clusters {
		for _, s := range c.scalers {
			ref := s.Spec.TargetRef
			if s.Namespace == namespace && ref.Name == name && (kind == "" || strings.EqualFold(kind, ref.Kind)) {
				found = append(found, s)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no WorkloadScaler in namespace %s binds a workload %q; supercargo workloads -n %s lists those that there are", namespace, name, namespace)
	case 1:
		return found[0], nil
	}
	names := make([]string, 0, len(found))
	for _, s := range found {
		names = append(names, s.Spec.TargetRef.Kind+"/"+s.Spec.TargetRef.Name+" (WorkloadScaler "+s.Name+")")
	}
	return nil, fmt.Errorf("%q is ambiguous: %s; name one by KIND/NAME and one --context", name, strings.Join(names, ", "))
}

// explanation writes what is known of one workload for people.
type explanation struct {
	w *bufio.Writer // keeps the first error until it is flushed
	s *v1alpha1.WorkloadScaler
}

func (e *explanation) printf(format string, args ...any) { _, _ = fmt.Fprintf(e.w, format, args...) }

func (e *explanation) write() {
	ref, st := e.s.Spec.TargetRef, &e.s.Status
	e.printf("%s %s/%s (WorkloadScaler %s)\n", ref.Kind, e.s.Namespace, ref.Name, e.s.Name)
	e.policy()
	if st.ReviewOnly != "" {
		e.printf("For review only: %s. It is changed only by a mode set on its own WorkloadScaler.\n", st.ReviewOnly)
	}
	r := st.Recommendation
	if r == nil {
		e.printf("\nThere is no recommendation yet.\n")
		e.conditions()
		return
	}
	e.printf("Computed %s with confidence %s: %s watched, %d%% of the lookback covered.\n", r.ComputedAt.UTC().Format(time.RFC3339),
		strings.ToLower(string(r.Confidence.Level)), r.Confidence.Watched.Round(time.Minute), r.Confidence.CoveragePercent)
	for i := range r.Containers {
		e.container(&r.Containers[i])
	}
	e.worth()
	e.conditions()
}

func (e *explanation) policy() {
	p := e.s.Status.Policy
	if p == nil {
		e.printf("No policy governs it.\n")
		return
	}
	switch {
	case p.AutoscalingPolicy == "" && e.s.Annotations[v1alpha1.UpdateModeAnnotation] != "" && policy.SetByHand(e.s):
		e.printf("Governed by its own update policy, mode %s, set by hand over WorkloadScalerRule %s", p.Mode, e.s.Labels[v1alpha1.RuleLabel])
	case p.AutoscalingPolicy == "":
		e.printf("Governed by its own update policy, mode %s", p.Mode)
	case p.Schedule == "":
		e.printf("Governed by AutoscalingPolicy %s, no schedule item is in force: mode %s", p.AutoscalingPolicy, p.Mode)
	default:
		e.printf("Governed by AutoscalingPolicy %s, schedule item %s, mode %s", p.AutoscalingPolicy, p.Schedule, p.Mode)
	}
	if p.RecommendationPolicy == "" {
		e.printf("; computed with the built-in defaults.\n")
		return
	}
	e.printf("; computed by RecommendationPolicy %s.\n", p.RecommendationPolicy)
}

func (e *explanation) container(c *v1alpha1.ContainerRecommendation) {
	e.printf("\nCONTAINER %s\n", c.Name)
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		e.printf("  %s: request %s", name, change(c.Current.Requests, c.Requests, name))
		_, now := c.Current.Limits[name]
		if _, then := c.Limits[name]; now || then {
			e.printf(", limit %s", change(c.Current.Limits, c.Limits, name))
		}
		e.printf("\n")
		t := tabwriter.NewWriter(e.w, 0, 0, 2, ' ', 0)
		for _, step := range c.Explanation {
			if step.Resource == name {
				_, _ = fmt.Fprintf(t, "    %s\t%s\t%s\n", step.Step, step.Value, step.Message)
			}
		}
		_ = t.Flush() // the buffered writer below keeps the error
	}
}

// change shows a quantity and what becomes of it.
func change(before, after corev1.ResourceList, name corev1.ResourceName) string {
	show := func(l corev1.ResourceList) string {
		q, ok := l[name]
		if !ok {
			return "none"
		}
		return q.String()
	}
	if from, to := show(before), show(after); from != to {
		return from + " → " + to
	}
	return show(before) + " as it is"
}

func (e *explanation) worth() {
	item := insight.ItemOf("", e.s)
	e.printf("\nSCORE %s of 100 (", whole(item.Score, ""))
	for i, r := range item.Resources {
		if i > 0 {
			e.printf(", ")
		}
		e.printf("%s %d, %d%% of the request used", r.Resource, r.Score, r.EfficiencyPercent)
	}
	e.printf("); efficiency %s\n", whole(item.EfficiencyPercent, "%"))
	if item.Net == nil {
		e.printf("What the recommendation is worth is not known.\n")
		return
	}
	e.printf("A MONTH saves $%s and spends $%s: $%s net", dollars(item.Savings), dollars(item.Reinvestment), dollars(item.Net))
	e.printf("%s; priority %s\n", realised(item.OnNodePools, item.Realisable), dollars(item.Priority))
	e.printf("APPLIED to %d of %d pods; %d resized in place, %d replaced so far\n", item.UpToDate, item.Pods, e.s.Status.Applied.Resized, e.s.Status.Applied.Recreated)
}

// realised says what packing makes of the net impact of one workload, and of which part of it.
func realised(onNodePools, realisable *float64) string {
	switch {
	case realisable == nil && onNodePools == nil:
		return ""
	case realisable == nil:
		return ", none of it on nodes of NodePools"
	case onNodePools == nil: // of a version that did not name the part
		return fmt.Sprintf(", of which packing realises $%.2f", *realisable)
	}
	return fmt.Sprintf(", $%.2f of it on nodes of NodePools, where packing realises $%.2f", *onNodePools, *realisable)
}

func (e *explanation) conditions() {
	if len(e.s.Status.Conditions) == 0 {
		e.printf("\nNothing has looked at it yet: is the recommender running? supercargo doctor tells.\n")
		return
	}
	e.printf("\nCONDITIONS\n")
	t := tabwriter.NewWriter(e.w, 0, 0, 2, ' ', 0)
	for _, c := range e.s.Status.Conditions {
		_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	_ = t.Flush()
}
