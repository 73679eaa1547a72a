package karpenter

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpsched "sigs.k8s.io/karpenter/pkg/scheduling"
	volumeutils "sigs.k8s.io/karpenter/pkg/utils/volume"

	"supercargo.dev/provisioner/packing"
)

// attach writes on a problem how many volumes its nodes, and those to buy, attach, and what is attached already.
func (m *Machinery) attach(ctx context.Context, p *packing.Problem) error {
	types := make(map[string]string, len(p.Nodes))
	for i := range p.Nodes {
		types[p.Nodes[i].Name] = p.Nodes[i].Labels[corev1.LabelInstanceTypeStable]
	}
	var a packing.Attachments
	nodes := &storagev1.CSINodeList{}
	if err := m.cfg.Client.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing csinodes, %w", err)
	}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		for _, d := range n.Spec.Drivers {
			if d.Allocatable != nil && d.Allocatable.Count != nil {
				a.Limit(n.Name, types[n.Name], d.Name, int64(*d.Allocatable.Count))
			}
		}
	}
	list := &storagev1.VolumeAttachmentList{}
	if err := m.cfg.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing volumeattachments, %w", err)
	}
	for i := range list.Items {
		spec := &list.Items[i].Spec
		if spec.Source.PersistentVolumeName == nil {
			continue
		}
		pv := &corev1.PersistentVolume{}
		if err := m.cfg.Client.Get(ctx, client.ObjectKey{Name: *spec.Source.PersistentVolumeName}, pv); err != nil {
			if client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("reading persistentvolume %q, %w", *spec.Source.PersistentVolumeName, err)
			}
			continue // kube-scheduler does not count it either
		}
		v := packing.Volume{Driver: spec.Attacher, ID: "pv/" + pv.Name}
		if ref := pv.Spec.ClaimRef; ref != nil {
			v.ID = ref.Namespace + "/" + ref.Name
		}
		a.Attach(spec.NodeName, v)
	}
	a.Apply(p)
	return nil
}

// podVolumes are the volumes of a pod that a CSI driver attaches.
func (m *Machinery) podVolumes(ctx context.Context, pod *corev1.Pod) ([]packing.Volume, error) {
	if !claimsVolumes(pod) {
		return nil, nil
	}
	byDriver, err := karpsched.GetVolumes(ctx, m.cfg.Client, pod)
	if err != nil {
		return nil, fmt.Errorf("reading the volumes of pod %s/%s, %w", pod.Namespace, pod.Name, err)
	}
	var out []packing.Volume
	for _, driver := range slices.Sorted(maps.Keys(byDriver)) {
		for _, id := range slices.Sorted(maps.Keys(byDriver[driver])) {
			out = append(out, packing.Volume{Driver: driver, ID: id})
		}
	}
	for i := range pod.Spec.Volumes {
		claim, err := volumeutils.GetPersistentVolumeClaim(ctx, m.cfg.Client, pod, pod.Spec.Volumes[i])
		if err != nil {
			if client.IgnoreNotFound(err) != nil {
				return nil, fmt.Errorf("reading a volume claim of pod %s/%s, %w", pod.Namespace, pod.Name, err)
			}
			continue
		}
		if claim == nil || !slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteOncePod) {
			continue
		}
		id := client.ObjectKeyFromObject(claim).String()
		at := slices.IndexFunc(out, func(v packing.Volume) bool { return v.ID == id })
		if at < 0 { // no CSI driver, and yet one pod's alone
			at = len(out)
			out = append(out, packing.Volume{ID: id})
		}
		out[at].Exclusive = true
	}
	return out, nil
}

func claimsVolumes(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil || v.Ephemeral != nil
	})
}

// attachLimits restates the attach limits that a provider lists by the names of the volume plugins that CSI drivers replaced.
func attachLimits(allocatable corev1.ResourceList) corev1.ResourceList {
	limits := map[string]int64{}
	for name, q := range allocatable {
		suffix, ok := strings.CutPrefix(string(name), "attachable-volumes-")
		if !ok {
			continue
		}
		switch suffix {
		case "aws-ebs":
			limits["ebs.csi.aws.com"] = q.Value()
		case "gce-pd":
			limits["pd.csi.storage.gke.io"] = q.Value()
		case "azure-disk":
			limits["disk.csi.azure.com"] = q.Value()
		}
	}
	return packing.WithAttachLimits(allocatable, limits)
}
