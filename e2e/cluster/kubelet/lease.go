package kubelet

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// leaseSeconds is the duration of a node's lease (nodeLeaseDurationSeconds' default).
const leaseSeconds = 40

// heartbeat renews the node's lease and, now and then, its status.
func (r *run) heartbeat(ctx context.Context, n *node) error {
	n.mu.Lock()
	silent, lease, uid, reported := n.stopped || n.gone, n.lease, n.uid, n.reported
	n.mu.Unlock()
	if silent {
		return nil
	}
	now := r.options.Clock.Now()
	renewed, err := r.renew(ctx, n, lease, uid, now)
	if err != nil {
		return fmt.Errorf("renewing the lease of node %s, %w", n.spec.Name, err)
	}
	n.mu.Lock()
	n.lease = renewed
	n.mu.Unlock()
	// Up to a tenth earlier, so that machines that booted together drift apart.
	period := r.options.LeaseRenewal - n.jitter(now.String(), r.options.LeaseRenewal/10)
	r.queue.AddAfter(task{kind: renewLease, node: n.spec.Name}, period)
	if now.Sub(reported) >= statusPeriod {
		return r.reportStatus(ctx, n)
	}
	return nil
}

// renew writes the lease: one request, unless somebody else has touched it.
func (r *run) renew(ctx context.Context, n *node, lease *coordinationv1.Lease, uid types.UID, now time.Time) (*coordinationv1.Lease, error) {
	leases := r.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	if lease != nil {
		next := lease.DeepCopy()
		next.Spec.RenewTime = &metav1.MicroTime{Time: now}
		updated, err := leases.Update(ctx, next, metav1.UpdateOptions{})
		if err == nil || (!apierrors.IsConflict(err) && !apierrors.IsNotFound(err)) {
			return updated, err
		}
	}
	holder, seconds := n.spec.Name, int32(leaseSeconds)
	fresh := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.spec.Name, Namespace: corev1.NamespaceNodeLease,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.spec.Name, UID: uid}},
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &metav1.MicroTime{Time: now},
		},
	}
	created, err := leases.Create(ctx, fresh, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return created, err
	}
	found, err := leases.Get(ctx, n.spec.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	found.OwnerReferences, found.Spec = fresh.OwnerReferences, fresh.Spec
	return leases.Update(ctx, found, metav1.UpdateOptions{})
}
