package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ResourceSelector selects workloads. Empty fields match everything.
// +kubebuilder:validation:XValidation:rule="!has(self.podNamePattern) || size(self.podNamePattern) == 0 || !(self.kind in ['Deployment','StatefulSet','DaemonSet','ReplicaSet','Job','CronJob'])",message="pods of built-in kinds are found by their owners; leave podNamePattern out"
type ResourceSelector struct {
	// APIVersion of the kind. It may be left out for the built-in kinds.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind: Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or CronJob; or a custom kind together with podNamePattern.
	// +kubebuilder:validation:MinLength=1
	Kind string `json:"kind"`
	// Namespace as a glob: *, ?, [a-z], [^0-9]; it matches the whole value.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name as a glob.
	// +optional
	Name string `json:"name,omitempty"`
	// LabelSelector on the workload's own labels.
	// +optional
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`
	// PodNamePattern finds the pods of a custom kind that does not own them by their names: a glob of *, ?, [a-z] and [^0-9] that
	// matches the whole name, in which {name} stands for the name of the workload, for example "{name}-worker-*". It becomes the
	// podNamePattern of the scalers created.
	// +optional
	PodNamePattern string `json:"podNamePattern,omitempty"`
}

// WorkloadScalerRuleSpec says which workloads get a WorkloadScaler, and of what shape.
type WorkloadScalerRuleSpec struct {
	// ResourceSelectors are ORed. A workload that any of them selects gets a scaler.
	// +kubebuilder:validation:MinItems=1
	ResourceSelectors []ResourceSelector `json:"resourceSelectors"`
	// Interval of the scalers created.
	// +kubebuilder:default="30m"
	// +kubebuilder:validation:Pattern=`^([0-9]+(s|m|h|d|w))+$`
	// +optional
	Interval string `json:"interval,omitempty"`
	// Resources of the scalers created. The default is Preview.
	// +kubebuilder:default={}
	// +optional
	Resources WorkloadResources `json:"resources,omitempty"`
}

// WorkloadScalerRuleStatus is what discovery found.
type WorkloadScalerRuleStatus struct {
	// ObservedGeneration is the generation of the spec that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Matched workloads.
	// +optional
	Matched int32 `json:"matched,omitempty"`
	// Created scalers that exist and carry this rule's label.
	// +optional
	Created int32 `json:"created,omitempty"`
	// Conditions: Ready.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// WorkloadScalerRule discovers workloads and creates their WorkloadScalers. It never touches a scaler that it did not create.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=supercargo,shortName=wsr
// +kubebuilder:printcolumn:name="Matched",type=integer,JSONPath=`.status.matched`
// +kubebuilder:printcolumn:name="Created",type=integer,JSONPath=`.status.created`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.resources.updatePolicy.updateMode`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type WorkloadScalerRule struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec WorkloadScalerRuleSpec `json:"spec"`
	// +optional
	Status WorkloadScalerRuleStatus `json:"status,omitempty"`
}

// WorkloadScalerRuleList is a list of WorkloadScalerRules.
// +kubebuilder:object:root=true
type WorkloadScalerRuleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []WorkloadScalerRule `json:"items"`
}

func init() { register(&WorkloadScalerRule{}, &WorkloadScalerRuleList{}) }
