package karpenter

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpsched "sigs.k8s.io/karpenter/pkg/scheduling"
	volumeutils "sigs.k8s.io/karpenter/pkg/utils/volume"

	"supercargo.dev/provisioner/packing"
)

// attachments is how many volumes nodes attach, and what is attached to them.
type attachments struct {
	// limits are the volumes per CSI driver that each node attaches, by the name of the node.
	limits map[string]map[string]int64
	// types are the least of those limits of the nodes of an instance type: what a node to buy will attach.
	types map[string]map[string]int64
	// attached are the volumes of each node, whether a pod there uses them or not.
	attached map[string][]packing.Volume
}

// attachments reads what drivers have registered of nodes. instanceTypes names the type of each node.
func (m *Machinery) attachments(ctx context.Context, instanceTypes map[string]string) (attachments, error) {
	out := attachments{limits: map[string]map[string]int64{}, types: map[string]map[string]int64{}, attached: map[string][]packing.Volume{}}
	nodes := &storagev1.CSINodeList{}
	if err := m.cfg.Client.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
		return attachments{}, fmt.Errorf("listing csinodes, %w", err)
	}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		for _, d := range n.Spec.Drivers {
			if d.Allocatable == nil || d.Allocatable.Count == nil {
				continue
			}
			out.limit(n.Name, instanceTypes[n.Name], d.Name, int64(*d.Allocatable.Count))
		}
	}
	list := &storagev1.VolumeAttachmentList{}
	if err := m.cfg.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return attachments{}, fmt.Errorf("listing volumeattachments, %w", err)
	}
	for i := range list.Items {
		a := &list.Items[i].Spec
		if a.Source.PersistentVolumeName == nil {
			continue
		}
		pv := &corev1.PersistentVolume{}
		if err := m.cfg.Client.Get(ctx, client.ObjectKey{Name: *a.Source.PersistentVolumeName}, pv); err != nil {
			if client.IgnoreNotFound(err) != nil {
				return attachments{}, fmt.Errorf("reading persistentvolume %q, %w", *a.Source.PersistentVolumeName, err)
			}
			continue // kube-scheduler does not count it either
		}
		v := packing.Volume{Driver: a.Attacher, ID: "pv/" + pv.Name}
		if ref := pv.Spec.ClaimRef; ref != nil {
			v.ID = ref.Namespace + "/" + ref.Name
		}
		out.attached[a.NodeName] = append(out.attached[a.NodeName], v)
	}
	return out, nil
}

// attach writes on a problem what its nodes, and those to buy, attach.
func (m *Machinery) attach(ctx context.Context, p *packing.Problem) error {
	types := make(map[string]string, len(p.Nodes))
	for i := range p.Nodes {
		types[p.Nodes[i].Name] = p.Nodes[i].Labels[corev1.LabelInstanceTypeStable]
	}
	a, err := m.attachments(ctx, types)
	if err != nil {
		return err
	}
	for i := range p.Nodes {
		a.node(&p.Nodes[i])
	}
	a.pools(p.Pools)
	return nil
}

func (a *attachments) limit(node, instanceType, driver string, count int64) {
	if a.limits[node] == nil {
		a.limits[node] = map[string]int64{}
	}
	a.limits[node][driver] = count
	if instanceType == "" {
		return
	}
	if a.types[instanceType] == nil {
		a.types[instanceType] = map[string]int64{}
	}
	if least, known := a.types[instanceType][driver]; !known || count < least {
		a.types[instanceType][driver] = count
	}
}

// node writes on a node what it attaches. A node whose drivers have not registered yet is thought to attach what others of its
// type do.
func (a *attachments) node(n *packing.Node) {
	limits, ok := a.limits[n.Name]
	if !ok {
		limits = a.types[n.Labels[corev1.LabelInstanceTypeStable]]
	}
	n.Allocatable = withLimits(n.Allocatable, limits)
	used := map[string]bool{}
	for i := range n.Pods {
		for _, v := range n.Pods[i].Volumes {
			used[v.Driver+" "+v.ID] = true
		}
	}
	for _, v := range a.attached[n.Name] {
		if !used[v.Driver+" "+v.ID] {
			n.Attached = append(n.Attached, v)
		}
	}
}

// pools writes on the types to buy what nodes of them attach, where the provider does not say it.
func (a *attachments) pools(sold []packing.Pool) {
	for i := range sold {
		for k := range sold[i].Types {
			it := &sold[i].Types[k]
			it.Allocatable = withLimits(it.Allocatable, a.types[it.Name])
		}
	}
}

// withLimits adds attach limits to a list that does not have them yet. The list itself is left alone.
func withLimits(list corev1.ResourceList, limits map[string]int64) corev1.ResourceList {
	out := list
	for _, driver := range slices.Sorted(maps.Keys(limits)) {
		if _, stated := list[packing.AttachableVolumes(driver)]; stated {
			continue
		}
		if len(out) == len(list) {
			out = maps.Clone(list)
		}
		if out == nil {
			out = corev1.ResourceList{}
		}
		out[packing.AttachableVolumes(driver)] = *resource.NewQuantity(limits[driver], resource.DecimalSI)
	}
	return out
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
	if len(limits) == 0 {
		return allocatable
	}
	return withLimits(allocatable, limits)
}
