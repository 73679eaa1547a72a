package oracle

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"supercargo.dev/provisioner/packing"
)

// storage is the claims and volumes of a world, as the scheduler's volume plugins see them.
type storage struct {
	claims      []*corev1.PersistentVolumeClaim
	volumes     []*corev1.PersistentVolume
	attachments []*storagev1.VolumeAttachment
	byKey       map[string]string // claim by namespace and volume
}

// mount gives a pod a claim for each of its volumes, and one more, bound to a volume that may be reached where the pod's node
// terms say.
func (s *storage) mount(to *corev1.Pod, p *packing.Pod) {
	to.Spec.Volumes = nil
	for _, v := range p.Volumes {
		s.use(to, s.claim(to.Namespace, v))
	}
	if p.NodeTerms != nil && labelsOnly(p.NodeTerms) {
		name := fmt.Sprintf("where-%d", len(s.claims))
		pv := s.bind(to.Namespace, name, false)
		pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: p.NodeTerms}}
		s.use(to, name)
	}
}

// labelsOnly tells whether terms look at labels alone, as those of volumes do.
func labelsOnly(terms []corev1.NodeSelectorTerm) bool {
	for i := range terms {
		if len(terms[i].MatchFields) > 0 {
			return false
		}
	}
	return true
}

func (s *storage) use(pod *corev1.Pod, claim string) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
	}})
}

func (s *storage) claim(namespace string, v packing.Volume) string {
	key := namespace + "/" + v.Driver + "/" + v.ID
	if name, ok := s.byKey[key]; ok {
		return name
	}
	name := fmt.Sprintf("claim-%d", len(s.claims))
	pv := s.bind(namespace, name, v.Exclusive)
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: v.Driver, VolumeHandle: v.ID}
	if s.byKey == nil {
		s.byKey = map[string]string{}
	}
	s.byKey[key] = name
	return name
}

// bind makes a claim and the volume that it is bound to.
func (s *storage) bind(namespace, name string, exclusive bool) *corev1.PersistentVolume {
	mode := corev1.ReadWriteMany
	if exclusive {
		mode = corev1.ReadWriteOncePod
	}
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + name}}
	s.volumes = append(s.volumes, pv)
	s.claims = append(s.claims, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{"pv.kubernetes.io/bind-completed": "yes"}},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: pv.Name, AccessModes: []corev1.PersistentVolumeAccessMode{mode}},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	})
	return pv
}

// attach notes volumes that are on a node without a pod.
func (s *storage) attach(node string, volumes []packing.Volume) {
	for _, v := range volumes {
		pv := s.bind("", fmt.Sprintf("stray-%d", len(s.claims)), false)
		pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: v.Driver, VolumeHandle: v.ID}
		s.attachments = append(s.attachments, &storagev1.VolumeAttachment{
			ObjectMeta: metav1.ObjectMeta{Name: "attach-" + pv.Name},
			Spec: storagev1.VolumeAttachmentSpec{
				Attacher: v.Driver, NodeName: node, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv.Name},
			},
		})
	}
}

// csiNode says how many volumes of each driver a node attaches.
func csiNode(n *corev1.Node) *storagev1.CSINode {
	out := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
	prefix := string(packing.AttachableVolumes(""))
	for name, q := range n.Status.Allocatable {
		if driver, ok := strings.CutPrefix(string(name), prefix); ok {
			out.Spec.Drivers = append(out.Spec.Drivers, storagev1.CSINodeDriver{
				Name: driver, NodeID: n.Name, Allocatable: &storagev1.VolumeNodeResources{Count: ptr.To(int32(q.Value()))},
			})
		}
	}
	return out
}

// add puts the objects where the plugins' listers look.
func (s *storage) add(factory informers.SharedInformerFactory, nodes []*corev1.Node) error {
	core, csi := factory.Core().V1(), factory.Storage().V1()
	put := func(to cache.Indexer, object any) error {
		if err := to.Add(object); err != nil {
			return fmt.Errorf("adding %T, %w", object, err)
		}
		return nil
	}
	for _, c := range s.claims {
		if err := put(core.PersistentVolumeClaims().Informer().GetIndexer(), c); err != nil {
			return err
		}
	}
	for _, v := range s.volumes {
		if err := put(core.PersistentVolumes().Informer().GetIndexer(), v); err != nil {
			return err
		}
	}
	for _, a := range s.attachments {
		if err := put(csi.VolumeAttachments().Informer().GetIndexer(), a); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		if err := put(csi.CSINodes().Informer().GetIndexer(), csiNode(n)); err != nil {
			return err
		}
	}
	return nil
}

// exclusive tells whether a pod has a volume to itself. The scheduler's snapshot remembers who uses it, so that the pod cannot
// be taken out of it.
func exclusive(p *packing.Pod) bool {
	for i := range p.Volumes {
		if p.Volumes[i].Exclusive {
			return true
		}
	}
	return false
}
