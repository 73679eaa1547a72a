package plan

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"supercargo.dev/plan/dump"
	"supercargo.dev/provisioner/packing"
)

// volumes tells where the volumes of pods can be reached.
type volumes struct {
	claims  map[string]*corev1.PersistentVolumeClaim // by namespace/name
	volumes map[string]*corev1.PersistentVolume
	classes map[string]*storagev1.StorageClass
	// attach is how many volumes nodes attach.
	attach packing.Attachments
	// guessed counts the pods whose volumes are held to be in the zone where the pods run, for want of the objects.
	guessed int
}

func newVolumes(objects *dump.Objects) *volumes {
	v := &volumes{
		claims: map[string]*corev1.PersistentVolumeClaim{}, volumes: map[string]*corev1.PersistentVolume{}, classes: map[string]*storagev1.StorageClass{},
	}
	for _, c := range objects.Claims {
		v.claims[c.Namespace+"/"+c.Name] = c
	}
	for _, pv := range objects.Volumes {
		v.volumes[pv.Name] = pv
	}
	for _, c := range objects.Classes {
		v.classes[c.Name] = c
	}
	types := map[string]string{}
	for _, n := range objects.Nodes {
		types[n.Name] = n.Labels[corev1.LabelInstanceTypeStable]
	}
	for _, n := range objects.CSINodes {
		for _, d := range n.Spec.Drivers {
			if d.Allocatable != nil && d.Allocatable.Count != nil {
				v.attach.Limit(n.Name, types[n.Name], d.Name, int64(*d.Allocatable.Count))
			}
		}
	}
	return v
}

// claimOf is the claim behind a volume of a pod; ok is false for a volume without one, and the claim nil where the input lacks it.
func (v *volumes) claimOf(p *corev1.Pod, i int) (claim *corev1.PersistentVolumeClaim, ok bool) {
	var name string
	switch source := p.Spec.Volumes[i].VolumeSource; {
	case source.PersistentVolumeClaim != nil:
		name = source.PersistentVolumeClaim.ClaimName
	case source.Ephemeral != nil:
		name = p.Name + "-" + p.Spec.Volumes[i].Name
	default:
		return nil, false
	}
	return v.claims[p.Namespace+"/"+name], true
}

// of lists the volumes of a pod that CSI drivers attach, as far as the input tells.
func (v *volumes) of(p *corev1.Pod) []packing.Volume {
	var out []packing.Volume
	for i := range p.Spec.Volumes {
		claim, ok := v.claimOf(p, i)
		if !ok || claim == nil {
			continue
		}
		volume := packing.Volume{
			ID: claim.Namespace + "/" + claim.Name, Exclusive: slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteOncePod),
		}
		pv, class := v.volumes[claim.Spec.VolumeName], v.classOf(claim)
		switch {
		case pv != nil && pv.Spec.CSI != nil:
			volume.Driver = pv.Spec.CSI.Driver
		case pv == nil && class != nil:
			volume.Driver = class.Provisioner
		}
		if volume.Driver != "" || volume.Exclusive {
			out = append(out, volume)
		}
	}
	return out
}

func (v *volumes) classOf(claim *corev1.PersistentVolumeClaim) *storagev1.StorageClass {
	if claim.Spec.StorageClassName == nil {
		return nil
	}
	return v.classes[*claim.Spec.StorageClassName]
}

// classTerms are where a class lets volumes be made; nil for anywhere.
func classTerms(class *storagev1.StorageClass) []corev1.NodeSelectorTerm {
	if class == nil {
		return nil
	}
	var out []corev1.NodeSelectorTerm
	for _, topology := range class.AllowedTopologies {
		var term corev1.NodeSelectorTerm
		for _, e := range topology.MatchLabelExpressions {
			term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{
				Key: packing.VolumeTopologyKey(e.Key), Operator: corev1.NodeSelectorOpIn, Values: e.Values,
			})
		}
		if len(term.MatchExpressions) == 0 {
			return nil
		}
		out = append(out, term)
	}
	return out
}

// terms returns what the pod's volumes demand of a node, nil for nothing. tied is set where that is one certain node.
func (v *volumes) terms(p *pod) (terms []corev1.NodeSelectorTerm, tied bool) {
	guess := false
	for i := range p.Spec.Volumes {
		claim, ok := v.claimOf(p.Pod, i)
		if !ok {
			continue
		}
		if claim == nil {
			guess = true
			continue
		}
		pv := v.volumes[claim.Spec.VolumeName]
		switch {
		case claim.Spec.VolumeName == "": // made where the pod goes
			terms = both(terms, classTerms(v.classOf(claim)))
		case pv == nil:
			// A volume that several nodes write to is a file share, which is seldom bound to a zone.
			guess = guess || !slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteMany)
		default:
			of := volumeTerms(pv)
			for j := range of {
				tied = tied || namesHost(&of[j])
			}
			terms = both(terms, of)
		}
	}
	if guess && p.node != nil {
		v.guessed++
		if zone := zoneOf(p.node.Node); zone != "" {
			terms = both(terms, []corev1.NodeSelectorTerm{requires(corev1.LabelTopologyZone, zone)})
		}
	}
	return terms, tied
}

// volumeTerms are the node affinity of a volume, or the zone by which older provisioners labelled it.
func volumeTerms(pv *corev1.PersistentVolume) []corev1.NodeSelectorTerm {
	if pv.Spec.NodeAffinity != nil && pv.Spec.NodeAffinity.Required != nil {
		terms := make([]corev1.NodeSelectorTerm, len(pv.Spec.NodeAffinity.Required.NodeSelectorTerms))
		for i, term := range pv.Spec.NodeAffinity.Required.NodeSelectorTerms {
			terms[i].MatchFields = term.MatchFields
			for _, e := range term.MatchExpressions {
				e.Key = packing.VolumeTopologyKey(e.Key)
				terms[i].MatchExpressions = append(terms[i].MatchExpressions, e)
			}
		}
		return terms
	}
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelFailureDomainBetaZone} {
		if zones := pv.Labels[key]; zones != "" {
			return []corev1.NodeSelectorTerm{requires(corev1.LabelTopologyZone, strings.Split(zones, "__")...)}
		}
	}
	return nil
}

// namesHost says whether a term holds for certain nodes by name only.
func namesHost(term *corev1.NodeSelectorTerm) bool {
	for i := range term.MatchExpressions {
		if e := &term.MatchExpressions[i]; e.Key == corev1.LabelHostname && e.Operator == corev1.NodeSelectorOpIn {
			return true
		}
	}
	return slices.ContainsFunc(term.MatchFields, func(e corev1.NodeSelectorRequirement) bool {
		return e.Key == "metadata.name" && e.Operator == corev1.NodeSelectorOpIn
	})
}

func requires(key string, values ...string) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
		{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values},
	}}
}

// both are the terms that hold where one of a and one of b do. Nil holds everywhere.
func both(a, b []corev1.NodeSelectorTerm) []corev1.NodeSelectorTerm {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	out := make([]corev1.NodeSelectorTerm, 0, len(a)*len(b))
	for i := range a {
		for j := range b {
			out = append(out, corev1.NodeSelectorTerm{
				MatchExpressions: slices.Concat(a[i].MatchExpressions, b[j].MatchExpressions),
				MatchFields:      slices.Concat(a[i].MatchFields, b[j].MatchFields),
			})
		}
	}
	return out
}
