package karpenter

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// ManagerOptions adds what Karpenter's controllers want of their manager: the scheme that their kinds are in, reconciliations whose
// context has the options of ctx, and of the leases those of nodes only. See [Index] for the indexes.
func ManagerOptions(ctx context.Context, m manager.Options) manager.Options {
	m.Scheme, m.Logger = scheme.Scheme, log.FromContext(ctx)
	m.BaseContext = func() context.Context { return context.WithoutCancel(ctx) }
	m.Cache = cache.Options{ByObject: map[client.Object]cache.ByObject{
		&coordinationv1.Lease{}: {Field: fields.SelectorFromSet(fields.Set{"metadata.namespace": corev1.NamespaceNodeLease})},
	}}
	return m
}
