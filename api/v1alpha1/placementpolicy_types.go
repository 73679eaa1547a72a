package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PlacementPolicySpec says how the pods of some workloads relate to spot capacity and to being moved.
// Scheduler and provisioner read it alike.
type PlacementPolicySpec struct {
	// Priority decides between policies that match the same pod: the higher wins, and of equals the older.
	// +optional
	Priority int32 `json:"priority,omitempty"`
	// NamespaceSelector selects namespaces by their labels. Empty matches all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// PodSelector selects pods by their labels. Empty matches all.
	// +optional
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`
	// Spot is what the pods tolerate. The annotation supercargo.dev/spot on a pod or its namespace wins over it.
	// +kubebuilder:default=tolerate
	// +optional
	Spot SpotTolerance `json:"spot,omitempty"`
	// MinOnDemandReplicas of each workload stay on on-demand nodes.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinOnDemandReplicas int32 `json:"minOnDemandReplicas,omitempty"`
	// MaxSpotSharePercent of the replicas of each workload may run on spot nodes.
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	MaxSpotSharePercent *int32 `json:"maxSpotSharePercent,omitempty"`
}

// PlacementPolicyStatus says whether the policy is usable.
type PlacementPolicyStatus struct {
	// ObservedGeneration is the generation of the spec that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PlacementPolicy says how the pods of some workloads relate to spot capacity.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=supercargo,shortName=pp
// +kubebuilder:printcolumn:name="Priority",type=integer,JSONPath=`.spec.priority`
// +kubebuilder:printcolumn:name="Spot",type=string,JSONPath=`.spec.spot`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PlacementPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec PlacementPolicySpec `json:"spec"`
	// +optional
	Status PlacementPolicyStatus `json:"status,omitempty"`
}

// PlacementPolicyList is a list of PlacementPolicies.
// +kubebuilder:object:root=true
type PlacementPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PlacementPolicy `json:"items"`
}

func init() { register(&PlacementPolicy{}, &PlacementPolicyList{}) }
