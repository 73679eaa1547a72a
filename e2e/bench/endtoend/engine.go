package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"github.com/awslabs/operatorpkg/status"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/cluster/kubelet"
	"supercargo.dev/e2e/cluster/loopback"
	"supercargo.dev/e2e/demo/apps"
	"supercargo.dev/e2e/sandbox"
)

// Engines.
const (
	engineSupercargo = "supercargo"
	engineKarpenter  = "karpenter"
	engineBoth       = "both"
)

// Case is one engine in one setting.
type Case struct {
	Name, Engine string
	// Setting says what runs, for readers.
	Setting string
	// Scheduler of the pods.
	Scheduler string
	// Rightsize: the recommender runs too, with a usage history, and pods are resized.
	Rightsize bool
	// Args of the provisioner.
	Args []string
}

// Cases of the engine asked for, in the order in which they run.
func Cases(o Options) []Case {
	// Supercargo weighs a move over quarters of an hour and this run has minutes: what it counts in time, and the cost of a pod's
	// move, are divided by the scale. Karpenter's waits are consolidateAfter, which is the same for all, and 15 s that are fixed,
	// as long as Supercargo's validation delay.
	scaled := []string{
		"--consolidation-break-even=" + (breakEven / time.Duration(o.TimeScale)).String(),
		"--consolidation-launch-overlap=" + (launchOverlap / time.Duration(o.TimeScale)).String(),
		fmt.Sprintf("--consolidation-pod-move-cost=%g", podMoveCost/float64(o.TimeScale)),
	}
	all := []Case{
		{
			Name: "Karpenter", Engine: engineKarpenter, Scheduler: corev1.DefaultSchedulerName,
			Setting: "stock controllers, default options, default scheduler",
		},
		{
			Name: "Supercargo, provisioner", Engine: engineSupercargo, Scheduler: corev1.DefaultSchedulerName, Args: scaled,
			Setting: "provisioner only, default scheduler, no rightsizing",
		},
		{
			Name: "Supercargo, defaults", Engine: engineSupercargo, Scheduler: corev1.DefaultSchedulerName,
			Setting: "provisioner only, default scheduler, no rightsizing, every flag at its default",
		},
		{
			Name: "Supercargo, all three", Engine: engineSupercargo, Scheduler: apps.OurScheduler, Rightsize: true, Args: scaled,
			Setting: "provisioner, supercargo-scheduler, recommender with 3 days of usage history, rightsizing in place",
		},
	}
	var out []Case
	for _, c := range all {
		if (o.Engine == engineBoth || o.Engine == c.Engine) && strings.Contains(c.Name, o.Only) {
			out = append(out, c)
		}
	}
	return out
}

// Defaults of supercargo-provisioner that the scale divides (cmd/supercargo-provisioner/options.go).
const (
	breakEven     = 15 * time.Minute
	launchOverlap = 3 * time.Minute
	podMoveCost   = 0.0005 // USD
)

// prepare starts what must be there before the pods are: our scheduler and recommender, where the case has them.
func (r *run) prepare(ctx context.Context) error {
	if !r.c.Rightsize {
		return nil
	}
	history, err := r.history()
	if err != nil {
		return err
	}
	if err := r.component(ctx, sandbox.Scheduler); err != nil {
		return err
	}
	return r.component(ctx, sandbox.Recommender, "--history-file="+history)
}

// acquaint lets the engine see the empty cluster and its NodePool once, as it has on any cluster where pods come to wait, and stops
// it again. Else what is measured would begin with the validation of the NodePool and what it refers to.
func (r *run) acquaint(ctx context.Context) error {
	p, err := r.start(ctx)
	if err != nil {
		return err
	}
	if err := r.await(ctx, "the NodePool to be ready", func(ctx context.Context) (string, error) {
		pool := &karpv1.NodePool{}
		if err := r.kube.Get(ctx, client.ObjectKey{Name: apps.PoolName}, pool); err != nil {
			return "", fmt.Errorf("reading the NodePool, %w", err)
		}
		for i := range pool.Status.Conditions {
			if c := &pool.Status.Conditions[i]; c.Type == status.ConditionReady {
				if c.Status == metav1.ConditionTrue {
					return "", nil
				}
				return c.Message, nil
			}
		}
		return "it has no condition " + status.ConditionReady, nil
	}); err != nil {
		return fmt.Errorf("%w; log %s ends:\n%s", err, p.Log(), sandbox.Tail(p.Log(), tailLines))
	}
	return p.Stop()
}

// oneReplica turns the lease off, for both engines: there is one replica, and on a machine as busy as one that runs all of a cluster,
// losing the lease for want of a timely answer is its end.
const oneReplica = "--leader-elect=false"

// start starts the engine proper. It does not wait: that is part of what is measured.
func (r *run) start(ctx context.Context) (*sandbox.Process, error) {
	if r.c.Engine == engineSupercargo {
		return r.box.Component(ctx, sandbox.Provisioner, append([]string{oneReplica}, r.c.Args...)...)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for this program, %w", err)
	}
	health, err := loopback.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p, err := sandbox.StartProcess(sandbox.Command{
		Name: "karpenter", Path: self,
		Args:  []string{karpenterCommand, "--kubeconfig=" + r.box.Kubeconfig, "--cloud=" + r.box.Cloud, "--health=" + health},
		Log:   filepath.Join(r.dir, "karpenter.log"),
		Ready: "http://" + health + "/readyz",
	})
	if err != nil {
		return nil, err
	}
	r.karpenter = p
	return p, nil
}

func (r *run) component(ctx context.Context, name string, args ...string) error {
	p, err := r.box.Component(ctx, name, append([]string{oneReplica}, args...)...)
	if err != nil {
		return err
	}
	return p.AwaitReady(ctx)
}

// history writes what the workloads' pods used over the last days, for the recommender: without it, it shrinks nothing.
func (r *run) history() (string, error) {
	var pods []*corev1.Pod
	for i := range r.workloads {
		objects, err := r.workloads[i].Objects(r.c.Scheduler)
		if err != nil {
			return "", err
		}
		for _, o := range objects {
			if d, ok := o.(*appsv1.Deployment); ok {
				one := d.DeepCopy()
				one.Spec.Replicas = new(min(*d.Spec.Replicas, historyPods))
				pods = append(pods, apps.Predecessors(int64(r.o.Seed), one)...) //nolint:gosec // any bit pattern is a seed
			}
		}
	}
	path := filepath.Join(r.dir, "history.txt")
	file, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("creating usage history, %w", err)
	}
	// The pods of then are gone long enough for those of now to count as their successors.
	to := time.Now().Add(-15 * time.Minute).Truncate(apps.HistoryStep)
	err = apps.WriteHistory(file, kubelet.NewAnnotatedUsage(int64(r.o.Seed)), pods, to.Add(-apps.HistoryLength), to) //nolint:gosec // any bit pattern is a seed
	return path, errors.Join(err, file.Close())
}

// historyPods of each workload are in the history: its pods are alike.
const historyPods = 5

// recommended tells whether every workload has a recommendation that will be applied in place.
func (r *run) recommended(ctx context.Context) (string, error) {
	scalers := &v1alpha1.WorkloadScalerList{}
	if err := r.kube.List(ctx, scalers, client.InNamespace(namespace)); err != nil {
		return "", fmt.Errorf("listing scalers, %w", err)
	}
	done := 0
	for i := range scalers.Items {
		s := &scalers.Items[i].Status
		if s.Recommendation != nil && s.Policy != nil && s.Policy.Mode == v1alpha1.UpdateModeInPlace {
			done++
		}
	}
	if done < len(r.workloads) {
		return fmt.Sprintf("%d of %d workloads have a recommendation", done, len(r.workloads)), nil
	}
	return "", nil
}
