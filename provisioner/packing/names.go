package packing

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
)

// Names that node labels had before, which kubelets and cloud controllers still give to
// nodes beside the stable ones.
const (
	oldArch = "beta.kubernetes.io/arch"
	oldOS   = "beta.kubernetes.io/os"
)

// stableName is the name of a node label by the one that it had before.
func stableName(key string) string {
	switch key {
	case oldArch:
		return corev1.LabelArchStable
	case oldOS:
		return corev1.LabelOSStable
	case corev1.LabelInstanceType:
		return corev1.LabelInstanceTypeStable
	case corev1.LabelFailureDomainBetaZone:
		return corev1.LabelTopologyZone
	case corev1.LabelFailureDomainBetaRegion:
		return corev1.LabelTopologyRegion
	}
	return key
}

// WithOldNames returns the labels that a node will have once its kubelet and the cloud's
// controller have seen it: those of arch, operating system, instance type, zone and region by their
// former names too.
func WithOldNames(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	for _, old := range [...]string{
		oldArch, oldOS, corev1.LabelInstanceType, corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion,
	} {
		if v, ok := labels[stableName(old)]; ok {
			if _, set := out[old]; !set {
				out[old] = v
			}
		}
	}
	return out
}
