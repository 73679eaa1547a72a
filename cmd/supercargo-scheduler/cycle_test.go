package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/parallelize"
	frameworkplugins "k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	schedulermetrics "k8s.io/kubernetes/pkg/scheduler/metrics"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/manifests"
)

// What the scheduler looks at for one pod in a cluster of 5,000 nodes: it filters until a tenth of them fits.
const cycleNodes, cyclePodsPerNode = 500, 20

// BenchmarkCycle runs filters and scores for one pod with the shipped profile and with the default one, in turns, so that whatever
// else the machine does falls on both.
func BenchmarkCycle(b *testing.B) {
	schedulermetrics.Register()
	var nodes []*corev1.Node
	var pods []*corev1.Pod
	for n := range cycleNodes {
		nodes = append(nodes, cycleNode(n))
		for i := range cyclePodsPerNode {
			pod := cyclePod(fmt.Sprintf("%d-%d", n, i))
			pod.Spec.NodeName = nodes[n].Name
			pods = append(pods, pod)
		}
	}
	snapshot := cache.NewSnapshot(pods, nodes)
	infos, err := snapshot.NodeInfos().List()
	if err != nil {
		b.Fatal(err)
	}
	shipped := string(manifests.SchedulerConfig)
	bare, _, _ := strings.Cut(shipped, "\n  plugins:")
	ours, other := profileOf(b, snapshot, shipped), profileOf(b, snapshot, bare+"\n")
	var tookOurs, tookOther time.Duration
	pod := cyclePod("new")
	for i := 0; b.Loop(); i++ {
		// The previous pod was bound to some node.
		changed := infos[i%len(infos)]
		changed.SetNode(changed.Node())
		tookOther += cycle(b, other, pod, infos)
		tookOurs += cycle(b, ours, pod, infos)
	}
	b.ReportMetric(float64(tookOurs.Microseconds())/float64(b.N), "ours-µs/pod")
	b.ReportMetric(float64(tookOther.Microseconds())/float64(b.N), "default-µs/pod")
	b.ReportMetric(100*float64(tookOther)/float64(tookOurs), "percent-of-default")
	b.ReportMetric(0, "ns/op")
}

func cycle(b *testing.B, f framework.Framework, pod *corev1.Pod, infos []fwk.NodeInfo) time.Duration {
	start := time.Now()
	ctx, state := b.Context(), framework.NewCycleState()
	f.SignPod(ctx, pod)
	if _, status, _ := f.RunPreFilterPlugins(ctx, state, pod); !status.IsSuccess() {
		b.Fatal(status)
	}
	for _, info := range infos {
		if status := f.RunFilterPlugins(ctx, state, pod, info); !status.IsSuccess() {
			b.Fatal(status)
		}
	}
	if status := f.RunPreScorePlugins(ctx, state, pod, infos); !status.IsSuccess() {
		b.Fatal(status)
	}
	if _, status := f.RunScorePlugins(ctx, state, pod, infos); !status.IsSuccess() {
		b.Fatal(status)
	}
	return time.Since(start)
}

func profileOf(b *testing.B, snapshot fwk.SharedLister, raw string) framework.Framework {
	b.Helper()
	object, _, err := scheme.Codecs.UniversalDecoder().Decode([]byte(raw), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	profile := object.(*config.KubeSchedulerConfiguration).Profiles[0]
	// It needs a manager of claims, which no pod here has.
	profile.Plugins.MultiPoint.Disabled = append(profile.Plugins.MultiPoint.Disabled, config.Plugin{Name: "DynamicResources"})
	for i, p := range profile.Plugins.MultiPoint.Enabled {
		if p.Name == "DynamicResources" {
			profile.Plugins.MultiPoint.Enabled = append(profile.Plugins.MultiPoint.Enabled[:i:i], profile.Plugins.MultiPoint.Enabled[i+1:]...)
			break
		}
	}
	registry := frameworkplugins.NewInTreeRegistry()
	added, err := plugins()
	if err != nil {
		b.Fatal(err)
	}
	for _, add := range added {
		if err := add(registry); err != nil {
			b.Fatal(err)
		}
	}
	client := fake.NewClientset()
	factory := informers.NewSharedInformerFactory(client, 0)
	ctx, cancel := context.WithCancel(context.Background())
	f, err := frameworkruntime.NewFramework(ctx, registry, &profile,
		frameworkruntime.WithSnapshotSharedLister(snapshot), frameworkruntime.WithInformerFactory(factory), frameworkruntime.WithClientSet(client),
		frameworkruntime.WithParallelism(parallelize.DefaultParallelism))
	if err != nil {
		b.Fatal(err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	b.Cleanup(func() {
		cancel()
		factory.Shutdown()
	})
	return f
}

func cycleNode(i int) *corev1.Node {
	name := fmt.Sprintf("node-%d", i)
	capacity := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("16"), corev1.ResourceMemory: resource.MustParse("64Gi"), corev1.ResourcePods: resource.MustParse("110")}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%3), corev1.LabelInstanceTypeStable: "m6i.4xlarge",
				"karpenter.sh/capacity-type": []string{"spot", "on-demand"}[i%2],
			},
			Annotations: map[string]string{v1alpha1.PriceAnnotation: "0.768"},
		},
		Status: corev1.NodeStatus{Capacity: capacity, Allocatable: capacity},
	}
}

func cyclePod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(name), Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			SchedulerName: "supercargo-scheduler",
			Containers: []corev1.Container{{Name: "app", Image: "app", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("200m"), corev1.ResourceMemory: resource.MustParse("512Mi"),
			}}}},
		},
	}
}
