package karpenter

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	karpsched "sigs.k8s.io/karpenter/pkg/scheduling"

	"supercargo.dev/provisioner/packing"
)

const ebs = "ebs.csi.aws.com"

func csiNode(name string, count int32) *storagev1.CSINode {
	return &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.CSINodeSpec{
		Drivers: []storagev1.CSINodeDriver{{Name: ebs, NodeID: name, Allocatable: &storagev1.VolumeNodeResources{Count: ptr.To(count)}}},
	}}
}

// boundClaim is a claim in the namespace shop and its volume.
func boundClaim(name string, mode corev1.PersistentVolumeAccessMode) []client.Object {
	return []client.Object{
		&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.PersistentVolumeClaimSpec{
			VolumeName: "pv-" + name, AccessModes: []corev1.PersistentVolumeAccessMode{mode},
		}},
		&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + name}, Spec: corev1.PersistentVolumeSpec{
			ClaimRef:               &corev1.ObjectReference{Namespace: "shop", Name: name},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: ebs, VolumeHandle: "vol-" + name}},
		}},
	}
}

func attachment(node, volume string) *storagev1.VolumeAttachment {
	return &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: node + "-" + volume}, Spec: storagev1.VolumeAttachmentSpec{
		Attacher: ebs, NodeName: node, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: ptr.To(volume)},
	}}
}

func TestAttachLimitsAndStrayVolumesReachTheProblem(t *testing.T) {
	objects := []client.Object{
		csiNode("old", 25), csiNode("other", 24),
		attachment("old", "pv-data"), attachment("old", "pv-stray"), attachment("old", "pv-gone"),
	}
	objects = append(objects, boundClaim("data", corev1.ReadWriteOnce)...)
	objects = append(objects, boundClaim("stray", corev1.ReadWriteOnce)...)
	m := &Machinery{cfg: Config{Client: fake.NewClientBuilder().WithObjects(objects...).Build()}}
	labels := map[string]string{corev1.LabelInstanceTypeStable: "m6i.large"}
	shared := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}
	p := packing.Problem{
		Nodes: []packing.Node{
			{Name: "old", Labels: labels, Allocatable: shared, Pods: []packing.Pod{{Volumes: []packing.Volume{{Driver: ebs, ID: "shop/data"}}}}},
			{Name: "other", Labels: labels, Allocatable: shared},
			{Name: "new", Labels: labels, Allocatable: shared},
		},
		Pools: []packing.Pool{{Types: []packing.InstanceType{{Name: "m6i.large", Allocatable: shared}, {Name: "m7i.large", Allocatable: shared}}}},
	}
	if err := m.attach(context.Background(), &p); err != nil {
		t.Fatal(err)
	}
	limit := func(list corev1.ResourceList) int64 {
		q, ok := list[packing.AttachableVolumes(ebs)]
		if !ok {
			return -1
		}
		return q.Value()
	}
	got := map[string]int64{
		"old": limit(p.Nodes[0].Allocatable), "other": limit(p.Nodes[1].Allocatable), "new": limit(p.Nodes[2].Allocatable),
		"m6i.large": limit(p.Pools[0].Types[0].Allocatable), "m7i.large": limit(p.Pools[0].Types[1].Allocatable),
	}
	want := map[string]int64{"old": 25, "other": 24, "new": 24, "m6i.large": 24, "m7i.large": -1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("volumes that may be attached (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]packing.Volume{{Driver: ebs, ID: "shop/stray"}}, p.Nodes[0].Attached); diff != "" {
		t.Errorf("volumes attached without a pod (-want +got):\n%s", diff)
	}
	if len(shared) != 1 {
		t.Errorf("the provider's own list was changed: %v", shared)
	}
}

func TestPodsKnowTheVolumesThatHaveToBeAttached(t *testing.T) {
	objects := append(boundClaim("data", corev1.ReadWriteOnce), boundClaim("alone", corev1.ReadWriteOncePod)...)
	objects = append(objects,
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "gp3"}, Provisioner: ebs},
		&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "later"}, Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: ptr.To("gp3")}},
	)
	m := &Machinery{cfg: Config{Client: fake.NewClientBuilder().WithObjects(objects...).Build()}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "store-0"}}
	for _, claim := range []string{"data", "alone", "later"} {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}})
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	got, err := m.podVolumes(context.Background(), pod)
	if err != nil {
		t.Fatal(err)
	}
	want := []packing.Volume{
		{Driver: ebs, ID: "shop/alone", Exclusive: true}, {Driver: ebs, ID: "shop/data"}, {Driver: ebs, ID: "shop/later"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
}

func TestAttachLimitsOfFormerPluginsCountForTheirDrivers(t *testing.T) {
	list := corev1.ResourceList{"attachable-volumes-aws-ebs": resource.MustParse("39")}
	got := attachLimits(list)
	if q := got[packing.AttachableVolumes(ebs)]; q.Value() != 39 {
		t.Errorf("limit of %s is %s, want 39", ebs, q.String())
	}
}

func TestVolumeTermsUseTheZoneLabelOfNodes(t *testing.T) {
	zone := func(key string) karpsched.Requirements {
		return karpsched.NewLabelRequirements(map[string]string{key: "us-east-1a"})
	}
	want := []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
		{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"us-east-1a"}},
	}}}
	for name, tc := range map[string]struct {
		alternatives []karpsched.Requirements
		want         []corev1.NodeSelectorTerm
	}{
		"a driver's own key": {[]karpsched.Requirements{zone("topology.ebs.csi.aws.com/zone")}, want},
		"an alternative that demands nothing settles the rest": {[]karpsched.Requirements{zone(corev1.LabelTopologyZone), karpsched.NewRequirements()}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, terms(tc.alternatives)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// anywhere says of no pod where it may run.
type anywhere struct{}

func (anywhere) Terms(_ context.Context, pods []*corev1.Pod) ([][]corev1.NodeSelectorTerm, error) {
	return make([][]corev1.NodeSelectorTerm, len(pods)), nil
}

func TestAPodWhoseVolumesCannotBeReadHasNoPlaceAndKeepsNobodyFromTheirs(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	m := &Machinery{volumes: scheduling.NewVolumeTopology(c), cfg: Config{
		Client: c, Placement: anywhere{}, Demand: func(*corev1.Pod) corev1.ResourceList { return corev1.ResourceList{} },
	}}
	pod := func(name string, claims ...string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{NodeName: "old"}}
		for _, claim := range claims {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
			}})
		}
		return p
	}
	pods, err := m.toPlace(t.Context(), []*corev1.Pod{pod("store", "gone"), pod("web")})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := packing.Solve(t.Context(), packing.Problem{Pods: pods, Nodes: []packing.Node{{
		Name: "new", Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("10"), corev1.ResourceCPU: resource.MustParse("1")},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Unplaced) != 1 || plan.Unplaced[0].Pod != 0 || len(plan.Bindings) != 1 || plan.Bindings[0].Pod != 1 {
		t.Errorf("unplaced %v, placed %v, want the first without a place and the second with one", plan.Unplaced, plan.Bindings)
	}
}
