package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/rivals"
	"supercargo.dev/recommender/admission"
	"supercargo.dev/recommender/governance"
)

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	connection
	namespace string
	timeout   time.Duration
	output    string
}

func doctorCommand() *cobra.Command {
	o := &doctorOptions{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Does the installation work? Its loop and its webhook are really called",
		Long: `doctor checks an installation: the kinds are served, each component has a leader that renews its lease, the recommender's loop
answers a WorkloadScaler that is made for the test and deleted again, the API server really calls the admission webhook (a pod is
created as a dry run), usage arrives, and nothing else manages the same nodes.

It exits with 0 where nothing failed. It needs the right to create and delete workloadscalers, and to create pods, in the namespace of
the installation.`,
		Args: cobra.NoArgs,
		RunE: o.run,
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.namespace, "namespace", "supercargo-system", "namespace of the installation")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "longest wait for an answer of the loop")
	f.StringVarP(&o.output, "output", "o", "text", "text, json or yaml")
	return cmd
}

// verdict of a check.
type verdict string

const (
	verdictOK      verdict = "ok"
	verdictWarning verdict = "warning"
	verdictFailed  verdict = "failed"
)

// finding is what a check found.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Message string  `json:"message"`
	Remedy  string  `json:"remedy,omitempty"`
}

// examination is one run of the checks.
type examination struct {
	client    client.Client
	namespace string
	timeout   time.Duration
	now       time.Time
}

func (o *doctorOptions) run(cmd *cobra.Command, _ []string) error {
	switch o.output {
	case "text", "json", "yaml":
	default:
		return usageError{fmt.Errorf("--output is %q, want text, json or yaml", o.output)}
	}
	if o.timeout <= 0 {
		return usageError{errors.New("--timeout must be positive")}
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	e := &examination{client: c, namespace: o.namespace, timeout: o.timeout, now: time.Now()}
	status := newProgress(cmd.ErrOrStderr())
	var findings []finding
	failed := 0
	for _, check := range e.checks() {
		status.stage("checking " + check.name)
		f := check.run(cmd.Context())
		f.Check = check.name
		if f.Verdict == verdictFailed {
			failed++
		}
		findings = append(findings, f)
		status.done()
		if o.output == "text" {
			if err := show(cmd.OutOrStdout(), &f); err != nil {
				return fmt.Errorf("writing the findings, %w", err)
			}
		}
	}
	if o.output != "text" {
		if err := writeData(cmd.OutOrStdout(), o.output, findings); err != nil {
			return fmt.Errorf("writing the findings, %w", err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(findings))
	}
	return nil
}

func show(w io.Writer, f *finding) error {
	_, err := fmt.Fprintf(w, "%-8s %-22s %s\n", f.Verdict, f.Check, f.Message)
	if err == nil && f.Remedy != "" {
		_, err = fmt.Fprintf(w, "%-8s %-22s → %s\n", "", "", f.Remedy)
	}
	return err
}

type check struct {
	name string
	run  func(context.Context) finding
}

func (e *examination) checks() []check {
	out := []check{{"kinds", e.kinds}}
	for _, component := range []string{"recommender", "provisioner", "scheduler"} {
		out = append(out, check{"leader of " + component, func(ctx context.Context) finding { return e.leader(ctx, component) }})
	}
	return append(out,
		check{"recommender's loop", e.loop}, check{"admission webhook", e.webhook}, check{"usage", e.usage},
		check{"switches", e.switches}, check{"rivals", e.rivals})
}

func failure(err error, remedy string) finding {
	return finding{Verdict: verdictFailed, Message: err.Error(), Remedy: remedy}
}

func (e *examination) kinds(ctx context.Context) finding {
	for _, list := range []client.ObjectList{
		&v1alpha1.WorkloadScalerList{}, &v1alpha1.WorkloadScalerRuleList{}, &v1alpha1.AutoscalingPolicyList{}, &v1alpha1.RecommendationPolicyList{},
		&v1alpha1.PlacementPolicyList{},
	} {
		err := e.client.List(ctx, list, client.Limit(1))
		switch {
		case err == nil:
		case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
			return failure(err, "install the CRDs: kubectl apply --server-side -k manifests")
		default:
			return failure(err, "is the cluster reachable, and may you read the kinds of "+v1alpha1.GroupName+"?")
		}
	}
	return finding{Verdict: verdictOK, Message: "the kinds of " + v1alpha1.GroupName + " are served"}
}

func (e *examination) leader(ctx context.Context, component string) finding {
	name := "supercargo-" + component
	remedy := fmt.Sprintf("look at kubectl -n %s logs deployment/%s", e.namespace, name)
	var lease coordinationv1.Lease
	if err := e.client.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: name}, &lease); err != nil {
		f := failure(err, remedy)
		if apierrors.IsNotFound(err) {
			f.Message = fmt.Sprintf("nobody ever held the lease %s/%s", e.namespace, name)
			switch component { // each part runs without the others
			case "provisioner":
				f.Verdict, f.Remedy = verdictWarning, "no nodes are bought or consolidated; start the provisioner if they should be"
			case "scheduler":
				f.Verdict, f.Remedy = verdictWarning, "pods with schedulerName supercargo-scheduler stay pending; start it if there are such pods"
			}
		}
		return f
	}
	f := e.led(&lease.Spec)
	if f.Verdict != verdictOK {
		f.Remedy = remedy
	}
	return f
}

// led says who holds a lease. A leader that stops gives its lease up, and leaves it without a holder.
func (e *examination) led(lease *coordinationv1.LeaseSpec) finding {
	holder := ptr.Deref(lease.HolderIdentity, "")
	if holder == "" || lease.RenewTime == nil || lease.LeaseDurationSeconds == nil {
		return finding{Verdict: verdictFailed, Message: "nobody leads: nobody holds the lease"}
	}
	if age := e.now.Sub(lease.RenewTime.Time).Round(time.Second); age > 2*time.Duration(*lease.LeaseDurationSeconds)*time.Second {
		return finding{Verdict: verdictFailed, Message: fmt.Sprintf("nobody leads: the lease was last renewed %s ago by %q", age, holder)}
	}
	since := ""
	if lease.AcquireTime != nil {
		since = ", for " + e.now.Sub(lease.AcquireTime.Time).Round(time.Second).String()
	}
	return finding{Verdict: verdictOK, Message: holder + since}
}

// loop makes a WorkloadScaler for a workload that does not exist and waits until the recommender says so.
func (e *examination) loop(ctx context.Context) (f finding) {
	probe := &v1alpha1.WorkloadScaler{}
	probe.Namespace, probe.GenerateName = e.namespace, "supercargo-doctor-"
	probe.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "supercargo-doctor"}
	if err := e.client.Create(ctx, probe); err != nil {
		return failure(fmt.Errorf("creating a workloadscaler for the test, %w", err), "")
	}
	defer func() {
		// Also after an interrupt: the test leaves nothing behind.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := e.client.Delete(ctx, probe); client.IgnoreNotFound(err) != nil {
			f = failure(fmt.Errorf("deleting the workloadscaler of the test, %w", err), fmt.Sprintf("kubectl -n %s delete workloadscaler %s", e.namespace, probe.Name))
		}
	}()
	start := time.Now()
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, e.timeout, true, func(ctx context.Context) (bool, error) {
		if err := e.client.Get(ctx, client.ObjectKeyFromObject(probe), probe); err != nil {
			return false, err
		}
		c := meta.FindStatusCondition(probe.Status.Conditions, v1alpha1.ConditionTargetFound)
		return c != nil && c.Status == metav1.ConditionFalse && c.ObservedGeneration == probe.Generation, nil
	})
	switch {
	case wait.Interrupted(err) && ctx.Err() == nil:
		return finding{Verdict: verdictFailed, Message: fmt.Sprintf("no answer to a WorkloadScaler within %s", e.timeout), Remedy: fmt.Sprintf("look at kubectl -n %s logs deployment/supercargo-recommender", e.namespace)}
	case err != nil:
		return failure(err, "")
	}
	return finding{Verdict: verdictOK, Message: fmt.Sprintf("answered a WorkloadScaler after %s", time.Since(start).Round(time.Millisecond))}
}

func (e *examination) webhook(ctx context.Context) finding {
	prover := admission.NewProver(e.client, e.namespace, "supercargo-recommender", clock.RealClock{}, uint64(e.now.UnixNano())) //nolint:gosec // a seed
	if err := prover.Prove(ctx); err != nil {
		return failure(fmt.Errorf("%w: new pods keep the requests of their templates, and none is replaced for a recommendation", err),
			"can the API server reach the Service "+admission.ServiceName+" in "+e.namespace+"? kubectl get mutatingwebhookconfigurations")
	}
	return finding{Verdict: verdictOK, Message: "a pod created as a dry run was mutated"}
}

func (e *examination) usage(ctx context.Context) finding {
	var list v1alpha1.WorkloadScalerList
	if err := e.client.List(ctx, &list); err != nil {
		return failure(err, "")
	}
	var stale []string
	for i := range list.Items {
		s := &list.Items[i]
		if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionUsageFresh); c != nil && c.Status == metav1.ConditionFalse && c.Reason == "Stale" {
			stale = append(stale, s.Namespace+"/"+s.Name)
		}
	}
	switch {
	case len(list.Items) == 0:
		return finding{Verdict: verdictWarning, Message: "there are no WorkloadScalers", Remedy: "create a WorkloadScalerRule: it makes one for each workload"}
	case len(stale) > 0:
		return finding{
			Verdict: verdictWarning, Message: fmt.Sprintf("usage of %d of %d workloads no longer arrives: %s", len(stale), len(list.Items), few(stale)),
			Remedy: "can the recommender read the kubelets' /metrics/resource through the node proxy?",
		}
	}
	return finding{Verdict: verdictOK, Message: fmt.Sprintf("%d WorkloadScalers, none with stale usage", len(list.Items))}
}

// few names the first of many.
func few(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", …"
}

func (e *examination) switches(ctx context.Context) finding {
	governor := governance.Governor{Reader: e.client, Namespace: e.namespace}
	paused, err := governor.Paused(ctx)
	switch {
	case err != nil:
		return failure(err, "")
	case paused:
		return finding{
			Verdict: verdictWarning, Message: "everything is paused: recommendations go on, nothing is changed",
			Remedy: fmt.Sprintf("kubectl -n %s patch configmap %s --type merge -p '{\"data\":{\"%s\":\"false\"}}'", e.namespace, governance.SwitchName, governance.PausedKey),
		}
	}
	return finding{Verdict: verdictOK, Message: "not paused"}
}

func (e *examination) rivals(ctx context.Context) finding {
	running, err := rivals.Running(ctx, e.client, e.now)
	switch {
	case err != nil:
		return failure(err, "")
	case len(running) > 0:
		return finding{Verdict: verdictWarning, Message: strings.Join(running, "; "), Remedy: "the provisioner refuses to run beside it: scale it to 0 first"}
	}
	return finding{Verdict: verdictOK, Message: "nothing else buys nodes"}
}
