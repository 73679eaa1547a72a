//go:build linux

package scenarios

import (
	"context"
	"fmt"
	"regexp"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/node"
)

// evictionMessage is what the kubelet says of an evicted pod; the simulated kubelet says the same.
var evictionMessage = regexp.MustCompile(`^The node was low on resource: memory\. Threshold quantity: \d+\S*, available: \d+Ki\. ` +
	`Container main was using \d+Ki, request is 100Mi, has larger consumption of memory\. $`)

// TestAPodAboveItsRequestIsEvictedUnderMemoryPressure: of two pods the one that uses more than it asks for goes. Its program stops in
// time and ends well, so that the pod calls itself Succeeded; only its condition tells. The recommender counts it out.
func TestAPodAboveItsRequestIsEvictedUnderMemoryPressure(t *testing.T) {
	w := newWorld(t)
	w.reconfigure(node.Settings{MilliCPU: 1000, Memory: 512 << 20, EvictionThreshold: 128 << 20})
	w.create(deployment("modest", 1, "50m 220Mi", "", "--memory-mib=200"), deployment("hog", 1, "50m 100Mi", "", "--memory-mib=20"))
	modest, hog := w.running("modest", 1)[0], w.running("hog", 1)[0]
	// Usage of now is not asked for: memory would be raised before it is short.
	w.recommender(w.history(used{"hog", 45, 90}), "--scrape-interval=1h")
	w.create(inPlace("hog", "", v1alpha1.FallbackHold)...)
	w.eventually("the recommender governs it", w.applied("hog", "UpToDate"))
	w.use(hog.Name, "memoryMiB", 340)
	w.eventually("the kubelet evicts it", func(context.Context) string {
		s := w.pod(hog.Name).Status
		for _, c := range s.Conditions {
			if c.Type == corev1.DisruptionTarget && c.Reason == corev1.PodReasonTerminationByKubelet && evictionMessage.MatchString(c.Message) {
				if s.Phase != corev1.PodSucceeded || s.Reason != "" {
					t.Fatalf("phase %s, reason %q", s.Phase, s.Reason)
				}
				return ""
			}
		}
		return fmt.Sprintf("%s %s %+v", s.Phase, s.Reason, s.Conditions)
	})
	w.eventually("the node says that memory is short", w.memoryPressure(corev1.ConditionTrue))
	successor := w.running("hog", 1)[0]
	if successor.UID == hog.UID {
		t.Error("the evicted pod runs")
	}
	w.eventually("memory is no longer short", w.memoryPressure(corev1.ConditionFalse))
	w.eventually("the pod within its request still runs", w.enforced(&modest, 50, 0, 0))
	w.eventually("the recommender counts the successor only", func(context.Context) string {
		if a := w.scaler("hog").Status.Applied; a.Pods != 1 || a.UpToDate != 1 {
			return fmt.Sprintf("%+v", a)
		}
		return ""
	})
}

// memoryPressure is a condition: the node says whether it lacks memory.
func (w *world) memoryPressure(is corev1.ConditionStatus) func(context.Context) string {
	return func(ctx context.Context) string {
		n := &corev1.Node{}
		if err := w.Get(ctx, client.ObjectKey{Name: nodeName}, n); err != nil {
			return err.Error()
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeMemoryPressure && c.Status == is {
				return ""
			}
		}
		return fmt.Sprintf("%+v", n.Status.Conditions)
	}
}
