// Package v1alpha1 holds the API of Supercargo: what a user writes and what the components answer in status.
//
// It holds types and their validation only. What a field causes is decided by the packages that read it:
// recommender/policy, recommender/estimate, scheduler-plugins and provisioner.
//
// +kubebuilder:object:generate=true
// +groupName=supercargo.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of every kind of this package.
const GroupName = "supercargo.dev"

// GroupVersion is the group and version of every kind of this package.
var GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

// SchemeBuilder collects the kinds; each file registers its own.
var SchemeBuilder = &runtime.SchemeBuilder{}

// AddToScheme registers every kind of this package with a scheme.
func AddToScheme(s *runtime.Scheme) error { return SchemeBuilder.AddToScheme(s) }

func register(objects ...runtime.Object) {
	SchemeBuilder.Register(func(s *runtime.Scheme) error {
		s.AddKnownTypes(GroupVersion, objects...)
		metav1.AddToGroupVersion(s, GroupVersion)
		return nil
	})
}
