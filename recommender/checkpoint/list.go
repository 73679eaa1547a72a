package checkpoint

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// metaList lists the names of chunks without their content, which would be the whole history.
type metaList struct{ names []string }

func (l *metaList) read(ctx context.Context, c client.Reader, namespace string) error {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	if err := c.List(ctx, &list, client.InNamespace(namespace), client.HasLabels{chunkLabel}); err != nil {
		return fmt.Errorf("listing chunks, %w", err)
	}
	for i := range list.Items {
		l.names = append(l.names, list.Items[i].Name)
	}
	return nil
}
