package recommender

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	vpa_types "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
)

// VPASettings are those of the recommender's flags that bear on the target.
type VPASettings struct {
	Percentile, Margin float64
	// MinMilliCPU and MinMemoryMiB are --pod-recommendation-min-cpu-millicores and -memory-mb.
	MinMilliCPU, MinMemoryMiB float64
}

// VPAShipped is how VPA ships.
func VPAShipped() VPASettings {
	return VPASettings{Percentile: 0.9, Margin: 0.15, MinMilliCPU: 25, MinMemoryMiB: 250}
}

// WithoutFloors drops the least pod. What is left of floors is the lowest bucket of VPA's histograms: 10m and 10 MB.
func (s VPASettings) WithoutFloors() VPASettings {
	s.MinMilliCPU, s.MinMemoryMiB = 0, 0
	return s
}

func (s VPASettings) config() logic.RecommendationConfig {
	return logic.RecommendationConfig{
		SafetyMarginFraction: s.Margin, PodMinCPUMillicores: s.MinMilliCPU, PodMinMemoryMb: s.MinMemoryMiB,
		TargetCPUPercentile: s.Percentile, LowerBoundCPUPercentile: 0.5, UpperBoundCPUPercentile: 0.95,
		ConfidenceIntervalCPU: 24 * time.Hour, TargetMemoryPercentile: s.Percentile, LowerBoundMemoryPercentile: 0.5,
		UpperBoundMemoryPercentile: 0.95, ConfidenceIntervalMemory: 24 * time.Hour,
	}
}

// cluster is what is used of VPA's cluster state; its type is not exported.
type cluster = model.ClusterState

const appLabel = "app"

// addVPA registers a VerticalPodAutoscaler that selects the pods labelled with its name.
func addVPA(c cluster, namespace, name string) error {
	selector := labels.SelectorFromSet(labels.Set{appLabel: name})
	object := &vpa_types.VerticalPodAutoscaler{}
	object.Namespace, object.Name = namespace, name
	object.CreationTimestamp = metav1.NewTime(time.Unix(0, 0))
	return c.AddOrUpdateVpa(object, selector)
}

// addPod registers a pod of one container.
func addPod(c cluster, id model.PodID, app, container string) error {
	c.AddOrUpdatePod(id, labels.Set{appLabel: app}, corev1.PodRunning)
	return c.AddOrUpdateContainer(model.ContainerID{PodID: id, ContainerName: container}, model.Resources{})
}

// vpa is the Engine of VPA: its cluster state and its pod resource recommender, with one VPA object.
type vpa struct {
	state cluster
	logic logic.PodResourceRecommender
	id    model.VpaID
	pods  map[string]bool
}

const (
	replayNamespace = "replay"
	replayContainer = "app"
)

// NewVPA returns VPA's engine for one workload.
func NewVPA(s VPASettings) (Engine, error) {
	v := &vpa{
		state: model.NewClusterState(time.Hour), logic: logic.CreatePodResourceRecommender(s.config()),
		id: model.VpaID{Namespace: replayNamespace, VpaName: "workload"}, pods: map[string]bool{},
	}
	if err := addVPA(v.state, v.id.Namespace, v.id.VpaName); err != nil {
		return nil, fmt.Errorf("adding a VPA object, %w", err)
	}
	return v, nil
}

func (v *vpa) container(pod string) model.ContainerID {
	return model.ContainerID{PodID: model.PodID{Namespace: replayNamespace, PodName: pod}, ContainerName: replayContainer}
}

func (v *vpa) register(pod string) {
	if v.pods[pod] {
		return
	}
	v.pods[pod] = true
	// The pod was registered by the line before: there is nothing that could fail.
	_ = addPod(v.state, v.container(pod).PodID, v.id.VpaName, replayContainer)
}

func (v *vpa) Observe(pod string, s Sample) {
	v.register(pod)
	add := func(resource model.ResourceName, usage model.ResourceAmount) {
		// Samples out of order are discarded by VPA, as it does in a cluster.
		_ = v.state.AddSample(&model.ContainerUsageSampleWithKey{
			ContainerUsageSample: model.ContainerUsageSample{MeasureStart: s.At, Usage: usage, Resource: resource},
			Container:            v.container(pod),
		})
	}
	add(model.ResourceCPU, model.CPUAmountFromCores(s.MilliCPU/1000))
	add(model.ResourceMemory, model.MemoryAmountFromBytes(s.MemoryBytes))
}

func (v *vpa) OOM(pod string, at time.Time, request, _ float64) {
	v.register(pod)
	_ = v.state.RecordOOM(v.container(pod), at, model.MemoryAmountFromBytes(request)) // a late one is discarded by VPA
}

func (v *vpa) Recommend(time.Time) (Request, bool) {
	recommended := v.logic.GetRecommendedPodResources(v.state.VPAs()[v.id].AggregateStateByContainerName())
	r, ok := recommended[replayContainer]
	if !ok {
		return Request{}, false
	}
	return Request{
		MilliCPU: model.CoresFromCPUAmount(r.Target[model.ResourceCPU]) * 1000, MemoryBytes: model.BytesFromMemoryAmount(r.Target[model.ResourceMemory]),
	}, true
}

func (v *vpa) Applied(pod string, r Request) {
	v.register(pod)
	_ = v.state.AddOrUpdateContainer(v.container(pod), model.Resources{ // of a registered pod: it cannot fail
		model.ResourceCPU: model.CPUAmountFromCores(r.MilliCPU / 1000), model.ResourceMemory: model.MemoryAmountFromBytes(r.MemoryBytes),
	})
}
