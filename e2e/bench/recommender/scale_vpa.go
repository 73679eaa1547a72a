package recommender

import (
	"fmt"
	"time"

	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
)

// theirs is VPA's cluster state as its feeder fills it: a VPA object and its pods at a time.
type theirs struct {
	state      cluster
	logic      logic.PodResourceRecommender
	scalers    int
	containers []model.ContainerID
}

func newTheirs() *theirs {
	return &theirs{state: model.NewClusterState(time.Hour), logic: logic.CreatePodResourceRecommender(VPAShipped().config())}
}

func (t *theirs) register() error {
	n := t.scalers
	t.scalers++
	if err := addVPA(t.state, scaleNamespace, workloadName(n)); err != nil {
		return fmt.Errorf("adding a VPA object, %w", err)
	}
	for pod := range podsPerScaler {
		id := model.PodID{Namespace: scaleNamespace, PodName: podName(n, pod)}
		if err := addPod(t.state, id, workloadName(n), replayContainer); err != nil {
			return fmt.Errorf("adding a pod, %w", err)
		}
		t.containers = append(t.containers, model.ContainerID{PodID: id, ContainerName: replayContainer})
	}
	return nil
}

func (t *theirs) observe(i int, at time.Time, milliCPU, bytes float64) error {
	for _, s := range [...]model.ContainerUsageSample{
		{MeasureStart: at, Usage: model.CPUAmountFromCores(milliCPU / 1000), Resource: model.ResourceCPU},
		{MeasureStart: at, Usage: model.MemoryAmountFromBytes(bytes), Resource: model.ResourceMemory},
	} {
		if err := t.state.AddSample(&model.ContainerUsageSampleWithKey{ContainerUsageSample: s, Container: t.containers[i]}); err != nil {
			return fmt.Errorf("adding a sample, %w", err)
		}
	}
	return nil
}

func (t *theirs) recompute(time.Time) (int, error) {
	n := 0
	for _, v := range t.state.VPAs() {
		n += len(t.logic.GetRecommendedPodResources(v.AggregateStateByContainerName())) * podsPerScaler
	}
	return n, nil
}
