package workload

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ControllerField is the cache index from the UID of a controller to the pods, ReplicaSets and Jobs that it owns.
const ControllerField = "supercargo.dev/controller-uid"

// ControllerUID is the index function behind ControllerField.
func ControllerUID(o client.Object) []string {
	if ref := metav1.GetControllerOfNoCopy(o); ref != nil {
		return []string{string(ref.UID)}
	}
	return nil
}

// IndexFields registers the indexes that a Resolver reads. It must be called before the cache starts.
func IndexFields(ctx context.Context, indexer client.FieldIndexer) error {
	for _, o := range []client.Object{&corev1.Pod{}, &appsv1.ReplicaSet{}, &batchv1.Job{}} {
		if err := indexer.IndexField(ctx, o, ControllerField, ControllerUID); err != nil {
			return fmt.Errorf("indexing %T by controller, %w", o, err)
		}
	}
	return nil
}
