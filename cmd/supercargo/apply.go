package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/governance"
	"supercargo.dev/recommender/insight"
	"supercargo.dev/recommender/policy"
)

// fieldManager signs what apply writes.
const fieldManager = "supercargo-cli"

// applyOptions are the flags of apply.
type applyOptions struct {
	selection
	connection
	all           bool
	mode          string
	dryRun        bool
	yes           bool
	lowConfidence bool
	output        string
}

func applyCommand() *cobra.Command {
	o := &applyOptions{}
	cmd := &cobra.Command{
		Use:   "apply [[KIND/]NAME]...",
		Short: "Put recommendations into workloads, or set how they are kept up to date",
		Long: `apply writes the recommended requests and limits into the pod templates of workloads, once: a rollout follows, as after any change
of a template. It shows what changes and asks before it writes.

With --mode it leaves the templates alone and sets the update mode of the WorkloadScalers instead: from then on the recommender keeps
the pods up to date by itself (OnCreate, ReCreate, InPlace, Auto), or stops doing so (Preview, Off). Of a WorkloadScaler that a
WorkloadScalerRule made, the mode that is set here stands over the rule's, until --mode Rule gives it back.

Workloads are named, or selected as in supercargo workloads. What is selected and not named is left out where the
recommendation rests on too little data, where the workload is for review only (accelerators, critical to the cluster), and where
it has opted out.

Where templates come from Git, --dry-run -o yaml prints the patches to put there; a tool that keeps the cluster like Git would undo
a direct change.`,
		Example: `  # what would change, and nothing more
  supercargo apply web -n shop --dry-run

  # one workload, by hand
  supercargo apply deployment/web -n shop

  # let the recommender keep one team's workloads up to date in place
  supercargo apply -n payments -l tier=web --mode InPlace

  # patches for Git
  supercargo apply -n payments --dry-run -o yaml`,
		Args: cobra.ArbitraryArgs,
		RunE: o.run,
	}
	o.selection.flags(cmd)
	o.connection.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "every workload of the cluster that has a recommendation")
	f.StringVar(&o.mode, "mode", "", "set the update mode instead: Preview, Off, OnCreate, ReCreate, InPlace or Auto; Rule: that of the WorkloadScalerRule again")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would change and change nothing")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.lowConfidence, "allow-low-confidence", false, "also where the recommendation rests on too little data")
	f.StringVarP(&o.output, "output", "o", "text", "text, or yaml with --dry-run for the patches")
	return cmd
}

func (o *applyOptions) complete(args []string) error {
	if err := o.selection.complete(); err != nil {
		return err
	}
	if o.mode != "" && !knownMode(o.mode) {
		return usageError{fmt.Errorf("--mode is %q, want Preview, Off, OnCreate, ReCreate, InPlace, Auto or Rule", o.mode)}
	}
	selected := o.Namespace != "" || o.Kind != "" || o.Name != "" || o.selector != ""
	switch {
	case o.output != "text" && o.output != "yaml":
		return usageError{fmt.Errorf("--output is %q, want text or yaml", o.output)}
	case o.output == "yaml" && !o.dryRun:
		return usageError{errors.New("--output yaml prints patches: it needs --dry-run")}
	case len(args) > 0 && o.Namespace == "":
		return usageError{errors.New("a workload that is named needs --namespace")}
	case len(args) > 0 && (o.all || o.Kind != "" || o.Name != "" || o.selector != ""):
		return usageError{errors.New("workloads are named or selected: want one of the two")}
	case len(args) == 0 && !selected && !o.all:
		return usageError{errors.New("name workloads, select them (--namespace, --kind, --name, --selector), or say --all")}
	}
	return nil
}

// modeOfRule is what --mode is called where a person gives the mode back to the WorkloadScalerRule.
const modeOfRule = "Rule"

func knownMode(mode string) bool {
	return mode == modeOfRule || slices.Contains(policy.Modes(), v1alpha1.UpdateMode(mode))
}

func (o *applyOptions) run(cmd *cobra.Command, args []string) error {
	if err := o.complete(args); err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	scalers, err := o.choose(ctx, c, args)
	if err != nil {
		return err
	}
	var changes []pendingChange
	for _, s := range scalers {
		p, why, err := o.prepare(ctx, c, s, len(args) > 0)
		if err != nil {
			return err
		}
		if why != "" {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s: left alone: %s\n", title(s), why)
			continue
		}
		changes = append(changes, p)
	}
	if len(changes) == 0 {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "Nothing to change.")
		return nil
	}
	if err := o.show(cmd.OutOrStdout(), changes); err != nil {
		return fmt.Errorf("showing the changes, %w", err)
	}
	if o.dryRun {
		return nil
	}
	if ok, err := o.confirm(cmd, len(changes)); err != nil || !ok {
		return err
	}
	return write(ctx, c, cmd.OutOrStdout(), changes)
}

// pendingChange is one change that waits for a yes.
type pendingChange struct {
	title string
	lines []string // what changes, for people
	// object is what is to be written, and the patch leads there from before.
	kind           schema.GroupVersionKind
	before, object client.Object
	patch          client.Patch
}

// choose reads the scalers that are named or selected, those worth most first.
func (o *applyOptions) choose(ctx context.Context, c client.Client, args []string) ([]*v1alpha1.WorkloadScaler, error) {
	var list v1alpha1.WorkloadScalerList
	if err := c.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing workloadscalers, %w", err)
	}
	all := make([]*v1alpha1.WorkloadScaler, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	if len(args) > 0 {
		var out []*v1alpha1.WorkloadScaler
		for _, name := range args {
			s, err := find([]clusterScalers{{scalers: all}}, o.Namespace, name)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
		return out, nil
	}
	byKey := map[client.ObjectKey]*v1alpha1.WorkloadScaler{}
	var items []insight.Item
	for _, s := range all {
		if item := insight.ItemOf("", s); o.Selects(&item) {
			items = append(items, item)
			byKey[client.ObjectKeyFromObject(s)] = s
		}
	}
	insight.Sort(items, insight.SortPriority)
	out := make([]*v1alpha1.WorkloadScaler, 0, len(items))
	for i := range items {
		out = append(out, byKey[client.ObjectKey{Namespace: items[i].Namespace, Name: items[i].Scaler}])
	}
	return out, nil
}

func title(s *v1alpha1.WorkloadScaler) string {
	return s.Spec.TargetRef.Kind + " " + s.Namespace + "/" + s.Spec.TargetRef.Name
}

// prepare works out what changes for one workload, or why it is left alone.
func (o *applyOptions) prepare(ctx context.Context, c client.Client, s *v1alpha1.WorkloadScaler, named bool) (p pendingChange, why string, err error) {
	if o.mode != "" {
		p, why = o.setMode(s, named)
		return p, why, nil
	}
	r := s.Status.Recommendation
	switch {
	case r == nil:
		return p, "there is no recommendation yet", nil
	case s.Status.ReviewOnly != "" && !named:
		return p, "for review only (" + s.Status.ReviewOnly + "): name it to change it", nil
	case r.Confidence.Level != v1alpha1.ConfidenceFull && !o.lowConfidence:
		return p, "the recommendation rests on too little data yet; --allow-low-confidence takes it all the same", nil
	}
	object, why := template(s)
	if why != "" {
		return p, why, nil
	}
	key := client.ObjectKey{Namespace: s.Namespace, Name: s.Spec.TargetRef.Name}
	if err := c.Get(ctx, key, object); err != nil {
		return p, "", fmt.Errorf("reading %s, %w", title(s), err)
	}
	if object.GetAnnotations()[v1alpha1.DisabledAnnotation] == "true" {
		return p, "it has opted out by the annotation " + v1alpha1.DisabledAnnotation, nil
	}
	before := object.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy is of the same type
	var resources []corev1.ResourceName
	if s.Status.Policy != nil {
		resources = s.Status.Policy.Resources
	}
	ref := s.Spec.TargetRef
	p = pendingChange{title: title(s), kind: schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind), before: before, object: object, lines: resizeTemplate(podSpec(object), ofTemplate(s, podSpec(object)), resources)}
	if len(p.lines) == 0 {
		return p, "its template asks for what is recommended", nil
	}
	if item := insight.ItemOf("", s); item.Net != nil {
		p.title += fmt.Sprintf(" ($%s net a month)", dollars(item.Net))
	}
	p.patch = client.StrategicMergeFrom(before, client.MergeFromWithOptimisticLock{})
	return p, "", nil
}

// setMode works out a change of the update mode. That of a scaler that a rule made is set over the rule's, by an annotation.
func (o *applyOptions) setMode(s *v1alpha1.WorkloadScaler, named bool) (p pendingChange, why string) {
	mode, is, r := v1alpha1.UpdateMode(o.mode), s.Spec.Resources.UpdatePolicy.UpdateMode, s.Status.Recommendation
	rule, override := s.Labels[v1alpha1.RuleLabel], s.Annotations[v1alpha1.UpdateModeAnnotation]
	unattended := governance.Applies(mode) && !named
	switch {
	case s.Status.Policy != nil && s.Status.Policy.AutoscalingPolicy != "":
		return p, fmt.Sprintf("AutoscalingPolicy %s governs it: change its updateSchedule", s.Status.Policy.AutoscalingPolicy)
	case o.mode == modeOfRule && (rule == "" || override == ""):
		return p, "its mode was not set over that of a WorkloadScalerRule"
	case mode == is && (rule == "" || override == o.mode):
		return p, "its mode is " + o.mode
	case unattended && s.Status.ReviewOnly != "":
		return p, "for review only (" + s.Status.ReviewOnly + "): name it to change it"
	case unattended && !o.lowConfidence && (r == nil || r.Confidence.Level != v1alpha1.ConfidenceFull):
		return p, "too little is known of it yet: name it, or --allow-low-confidence takes it all the same"
	}
	after := s.DeepCopy()
	line := fmt.Sprintf("mode %s → %s (WorkloadScaler %s", dash(string(is)), mode, s.Name)
	switch {
	case o.mode == modeOfRule: // the recommender then puts the rule's mode into the spec
		delete(after.Annotations, v1alpha1.UpdateModeAnnotation)
		line = fmt.Sprintf("mode %s → that of WorkloadScalerRule %s (WorkloadScaler %s", dash(string(is)), rule, s.Name)
	case rule != "":
		metav1.SetMetaDataAnnotation(&after.ObjectMeta, v1alpha1.UpdateModeAnnotation, o.mode)
		line += ", over WorkloadScalerRule " + rule
		fallthrough
	default:
		after.Spec.Resources.UpdatePolicy.UpdateMode = mode
	}
	return pendingChange{
		title: title(s), lines: []string{line + ")"}, kind: v1alpha1.GroupVersion.WithKind("WorkloadScaler"), before: s, object: after,
		patch: client.MergeFromWithOptions(s, client.MergeFromWithOptimisticLock{}),
	}, ""
}

func (o *applyOptions) show(w io.Writer, changes []pendingChange) error {
	out := bufio.NewWriter(w)
	for i := range changes {
		p := &changes[i]
		if o.output == "yaml" {
			if err := writePatch(out, p); err != nil {
				return err
			}
			continue
		}
		_, _ = fmt.Fprintln(out, p.title) // the writer keeps its error for Flush
		for _, line := range p.lines {
			_, _ = fmt.Fprintln(out, "  "+line)
		}
	}
	return out.Flush()
}

// confirm asks on a terminal. Where nobody can answer, --yes is wanted.
func (o *applyOptions) confirm(cmd *cobra.Command, n int) (bool, error) {
	if o.yes {
		return true, nil
	}
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok && !term.IsTerminal(int(f.Fd())) {
		return false, errors.New("nothing was changed: no terminal to ask on; --yes goes on without asking")
	}
	what := "rollouts follow"
	if o.mode != "" {
		what = "the recommender acts on it from now on"
	}
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "Change %d? (%s) [y/N] ", n, what)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("reading the answer, %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "Nothing was changed.")
	return false, nil
}

// write makes the changes one by one. One that fails does not stop the others.
func write(ctx context.Context, c client.Client, out io.Writer, changes []pendingChange) error {
	var failed []error
	for i := range changes {
		p := &changes[i]
		if err := c.Patch(ctx, p.object, p.patch, client.FieldOwner(fieldManager)); err != nil {
			failed = append(failed, fmt.Errorf("changing %s, %w", p.title, err))
			continue
		}
		if _, err := fmt.Fprintf(out, "%s: changed\n", p.title); err != nil {
			return fmt.Errorf("writing the outcome, %w", err)
		}
	}
	return errors.Join(failed...)
}
