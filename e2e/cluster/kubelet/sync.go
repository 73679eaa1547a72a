package kubelet

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// syncPod lets the machine live on with one pod, and writes what came of it.
func (r *run) syncPod(ctx context.Context, n *node, t task) error {
	if !n.alive() || !n.registered() {
		return nil // what is bound already is synced once the node has registered
	}
	object, exists, err := r.pods.GetStore().GetByKey(t.pod.String())
	if err != nil {
		return fmt.Errorf("reading pod %s, %w", t.pod, err)
	}
	now := r.options.Clock.Now()
	pod, ok := object.(*corev1.Pod)
	if !exists || !ok || pod.Spec.NodeName != t.node {
		r.follow(n, n.forget(t.pod, now))
		return nil
	}
	out := n.sync(pod, now)
	r.follow(n, out)
	if !out.next.IsZero() {
		r.queue.AddAfter(t, max(0, out.next.Sub(now)))
	}
	if out.status != nil {
		if err := r.patchStatus(ctx, pod, out.status); err != nil {
			return err
		}
	}
	if !out.remove {
		return nil
	}
	immediately := int64(0)
	err = r.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &immediately, Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting pod %s, %w", t.pod, err)
	}
	return nil
}

// follow queues the other pods that changed and records events.
func (r *run) follow(n *node, out outcome) {
	for _, key := range out.dirty {
		r.queue.Add(task{kind: syncPod, node: n.spec.Name, pod: key})
	}
	if len(out.notes) == 0 {
		return
	}
	recorder := r.recorder(n)
	for _, note := range out.notes {
		recorder.Event(note.pod, note.kind, note.reason, note.message)
	}
}

// patchStatus writes the difference between the status the API server is known to have and the wanted one, as the real
// kubelet's status manager does: no conflict with writers of other fields, and none with a pod of the same name that
// came after, as the UID is a precondition. When the known status was stale, the watch brings the newer one and the rest
// of the difference is written then.
func (r *run) patchStatus(ctx context.Context, pod *corev1.Pod, wanted *corev1.PodStatus) error {
	if apiequality.Semantic.DeepEqual(&pod.Status, wanted) {
		return nil
	}
	patch, err := statusPatch(pod, wanted)
	if err != nil || patch == nil {
		return err
	}
	_, err = r.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("patching the status of pod %s/%s, %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// statusPatch returns the strategic merge patch, nil when there is nothing to change.
func statusPatch(pod *corev1.Pod, wanted *corev1.PodStatus) ([]byte, error) {
	before, err := json.Marshal(corev1.Pod{Status: pod.Status})
	if err != nil {
		return nil, fmt.Errorf("encoding a pod's status, %w", err)
	}
	after, err := json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod.UID}, Status: *wanted})
	if err != nil {
		return nil, fmt.Errorf("encoding a pod's status, %w", err)
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("comparing a pod's statuses, %w", err)
	}
	if string(patch) == fmt.Sprintf(`{"metadata":{"uid":%q}}`, pod.UID) {
		return nil, nil
	}
	return patch, nil
}
