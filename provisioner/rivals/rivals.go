// Package rivals finds other programs that buy and remove the nodes of this cluster. Two of them answer the same pending pod
// with a node each, and one removes what the other has just bought.
package rivals

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
)

// rival is a program known by its leader election.
type rival struct{ name, lease string }

// known are the default leases, in kube-system, of programs that buy nodes.
func known() []rival {
	return []rival{
		{"Cluster Autoscaler", "cluster-autoscaler"},
		{"Karpenter", "karpenter-leader-election"},
	}
}

// defaultLeaseDuration is assumed of a lease that does not say how long it holds; it is client-go's default.
const defaultLeaseDuration = 15 * time.Second

// Running returns the names of rivals whose lease is held now.
func Running(ctx context.Context, r client.Reader, now time.Time) ([]string, error) {
	var out []string
	for _, rival := range known() {
		lease := &coordinationv1.Lease{}
		err := r.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: rival.lease}, lease)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for %s, %w", rival.name, err)
		}
		if held(lease, now) {
			out = append(out, rival.name)
		}
	}
	return out, nil
}

func held(l *coordinationv1.Lease, now time.Time) bool {
	if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" || l.Spec.RenewTime == nil {
		return false
	}
	duration := defaultLeaseDuration
	if l.Spec.LeaseDurationSeconds != nil {
		duration = time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
	}
	return now.Before(l.Spec.RenewTime.Add(duration))
}

// Managed reports whether a node is one that a provisioner may remove. The provisioner must not run on such a node: it could
// remove the machine under itself. An empty name, which is what a process outside the cluster has, is not managed.
func Managed(ctx context.Context, r client.Reader, node string) (bool, error) {
	if node == "" {
		return false, nil
	}
	n := &corev1.Node{}
	if err := r.Get(ctx, client.ObjectKey{Name: node}, n); err != nil {
		return false, client.IgnoreNotFound(fmt.Errorf("reading the node that this runs on, %w", err))
	}
	return n.Labels[karpv1.NodePoolLabelKey] != "", nil
}
