// Package oracle replays packing plans through kube-scheduler's own Filter
// plugins. It is for tests and benchmarks: it imports the scheduler, and is as
// slow as the scheduler is.
//
// A plan is valid when, with all pods where the plan puts them, taking any one
// pod out and offering it its own node again passes every plugin: the final state
// contradicts no hard rule. Spread constraints are also met by a state that
// kube-scheduler can reach and that later pods, which may match a constraint
// without having it, have since skewed; so a pod that fails the final check only
// by PodTopologySpread is forgiven when some order of placing all pods one after
// another passes at each step.
package oracle

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"

	"supercargo.dev/provisioner/packing"
)

// Violation is a rule that a plan breaks.
type Violation struct {
	// Pod or node that it is about.
	Subject string
	// Plugin that refused, or the oracle's own check.
	Plugin string
	Reason string
}

func (v Violation) String() string { return v.Subject + ": " + v.Plugin + ": " + v.Reason }

// filters are the plugins whose verdict on a node's suitability a plan must
// satisfy, in the order in which kube-scheduler runs them by default.
var filters = [...]string{
	names.NodeUnschedulable, names.TaintToleration, names.NodeAffinity, names.NodePorts,
	names.NodeResourcesFit, names.VolumeRestrictions, names.NodeVolumeLimits, names.VolumeBinding,
	names.PodTopologySpread, names.InterPodAffinity,
}

func arguments(name string) runtime.Object {
	switch name {
	case names.NodeAffinity:
		return &config.NodeAffinityArgs{}
	case names.NodeResourcesFit:
		return &config.NodeResourcesFitArgs{ScoringStrategy: &config.ScoringStrategy{
			Type: config.LeastAllocated, Resources: []config.ResourceSpec{{Name: "cpu", Weight: 1}},
		}}
	case names.PodTopologySpread:
		return &config.PodTopologySpreadArgs{DefaultingType: config.ListDefaulting}
	case names.VolumeBinding:
		return &config.VolumeBindingArgs{BindTimeoutSeconds: 1}
	case names.InterPodAffinity:
		return &config.InterPodAffinityArgs{HardPodAffinityWeight: 1}
	}
	return nil
}

// scheduler is one snapshot with its plugins.
type scheduler struct {
	snapshot *cache.Snapshot
	plugins  []fwk.Plugin
	logger   klog.Logger
}

func newScheduler(ctx context.Context, w *world, placed []*corev1.Pod) (*scheduler, error) {
	metrics.Register()
	s := &scheduler{snapshot: cache.NewSnapshot(placed, w.nodes), logger: klog.FromContext(ctx)}
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	for name, labels := range w.problem.Namespaces {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if err := factory.Core().V1().Namespaces().Informer().GetIndexer().Add(ns); err != nil {
			return nil, fmt.Errorf("adding namespace, %w", err)
		}
	}
	if err := w.storage.add(factory, w.nodes); err != nil {
		return nil, err
	}
	handle, err := frameworkruntime.NewFramework(ctx, nil, nil,
		frameworkruntime.WithSnapshotSharedLister(s.snapshot), frameworkruntime.WithInformerFactory(factory),
		frameworkruntime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(factory.Storage().V1().CSINodes().Lister())))
	if err != nil {
		return nil, fmt.Errorf("building scheduler framework, %w", err)
	}
	registry := plugins.NewInTreeRegistry()
	for _, name := range filters {
		p, err := registry[name](ctx, arguments(name), handle)
		if err != nil {
			return nil, fmt.Errorf("building plugin %s, %w", name, err)
		}
		s.plugins = append(s.plugins, p)
	}
	return s, nil
}

// refuses returns the plugin that keeps a pod off a node, and why.
func (s *scheduler) refuses(ctx context.Context, pod *corev1.Pod, node string) (plugin, reason string, err error) {
	nodes, err := s.snapshot.NodeInfos().List()
	if err != nil {
		return "", "", fmt.Errorf("listing nodes, %w", err)
	}
	info, err := s.snapshot.NodeInfos().Get(node)
	if err != nil {
		return "", "", fmt.Errorf("reading node, %w", err)
	}
	state := framework.NewCycleState()
	for _, p := range s.plugins {
		if pre, ok := p.(fwk.PreFilterPlugin); ok {
			result, status := pre.PreFilter(ctx, state, pod, nodes)
			if status.IsSkip() {
				continue
			}
			if !status.IsSuccess() {
				return p.Name(), status.Message(), nil
			}
			if result != nil && !result.AllNodes() && !result.NodeNames.Has(node) {
				return p.Name(), "node is not among those that the pod names", nil
			}
		}
		if f, ok := p.(fwk.FilterPlugin); ok {
			if status := f.Filter(ctx, state, pod, info); !status.IsSuccess() {
				return p.Name(), status.Message(), nil
			}
		}
	}
	return "", "", nil
}

// without runs f with the placed pod i taken off its node.
func (w *world) without(ctx context.Context, s *scheduler, i int, f func(*scheduler) error) error {
	pod := w.placed[i]
	if exclusive(&w.problem.Pods[w.index[i]]) {
		others := slices.Concat(w.residents, w.placed[:i], w.placed[i+1:])
		alone, err := newScheduler(ctx, w, others)
		if err != nil {
			return err
		}
		return f(alone)
	}
	info, err := s.snapshot.NodeInfos().Get(pod.Spec.NodeName)
	if err != nil {
		return fmt.Errorf("reading node, %w", err)
	}
	if err := info.RemovePod(s.logger, pod); err != nil {
		return fmt.Errorf("taking pod off node, %w", err)
	}
	podInfo, err := framework.NewPodInfo(pod)
	if err != nil {
		return fmt.Errorf("reading pod, %w", err)
	}
	defer info.AddPodInfo(podInfo)
	return f(s)
}

// Check returns what a plan violates; none means valid.
func Check(ctx context.Context, problem *packing.Problem, plan *packing.Plan) ([]Violation, error) {
	return CheckSample(ctx, problem, plan, len(problem.Pods), 0)
}

// CheckSample is Check with n of the placed pods, drawn with a seed, that are looked at one by one; all count for those. What
// concerns nodes and limits is checked throughout. A plan for thousands of nodes takes minutes to check in full.
func CheckSample(ctx context.Context, problem *packing.Problem, plan *packing.Plan, n int, seed uint64) ([]Violation, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, out := newWorld(problem, plan)
	if len(out) > 0 {
		return out, nil
	}
	w.draw(n, seed)
	all := append(append([]*corev1.Pod(nil), w.residents...), w.placed...)
	s, err := newScheduler(ctx, w, all)
	if err != nil {
		return nil, err
	}
	var skewed []Violation
	fragile := map[*corev1.Pod]bool{}
	alike := map[twin]verdict{}
	for i, pod := range w.placed {
		if !w.looked(pod) {
			continue
		}
		if len(pod.Spec.ResourceClaims) > 0 {
			out = append(out, Violation{pod.Name, names.DynamicResources, "no node is known to have the devices of its resource claims"})
		}
		if why := w.volumes(i); why != "" {
			out = append(out, Violation{pod.Name, "volumes", why})
		}
		err := w.without(ctx, s, i, func(s *scheduler) error {
			key, err := twinOf(pod)
			if err != nil {
				return err
			}
			v, known := alike[key]
			if !known {
				v.plugin, v.reason, err = s.refuses(ctx, bare(pod), pod.Spec.NodeName)
				alike[key] = v
			}
			plugin, reason := v.plugin, v.reason
			switch {
			case err != nil || plugin == "":
			case plugin == names.PodTopologySpread:
				skewed = append(skewed, Violation{pod.Name, plugin, reason})
				fragile[pod] = true
			default:
				out = append(out, Violation{pod.Name + " on " + pod.Spec.NodeName, plugin, reason})
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(skewed) > 0 && len(out) == 0 {
		ok, err := w.reachable(ctx, fragile)
		if err != nil {
			return nil, err
		}
		if !ok {
			out = append(out, skewed...)
		}
	}
	return append(out, w.purchases()...), nil
}
