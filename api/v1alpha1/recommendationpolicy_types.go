package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EstimateFunction turns usage into one number.
// +kubebuilder:validation:Enum=Percentile;Max;Pattern
type EstimateFunction string

const (
	// FunctionPercentile takes a percentile of the usage in the lookback.
	FunctionPercentile EstimateFunction = "Percentile"
	// FunctionMax takes the highest usage in the lookback.
	FunctionMax EstimateFunction = "Max"
	// FunctionPattern takes the percentile of the usage in this hour of the week and the next, the highest of the last four
	// weeks; until two weeks of both are known, it is FunctionPercentile. It is for cpu.
	FunctionPattern EstimateFunction = "Pattern"
)

// Aggregation joins the pods of a workload.
// +kubebuilder:validation:Enum=PodAverage;Pooled
type Aggregation string

const (
	// AggregationPodAverage averages the percentiles of the pods; 100 is the maximum over all.
	AggregationPodAverage Aggregation = "PodAverage"
	// AggregationPooled takes the percentile of the samples of all pods together.
	AggregationPooled Aggregation = "Pooled"
)

// ResourceEstimate is how the need of one resource is computed.
// +kubebuilder:validation:XValidation:rule="!has(self.__function__) || self.__function__ != 'Max' || !has(self.percentile)",message="percentile has no meaning with function Max"
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || quantity(string(self.min)).compareTo(quantity(string(self.max))) <= 0",message="min must not exceed max"
type ResourceEstimate struct {
	// Function is Percentile, Max or, for cpu, Pattern. The default is Percentile for cpu and Max for memory.
	// +optional
	Function EstimateFunction `json:"function,omitempty"`
	// Percentile of the usage, 1 to 100. Default 90 for cpu; memory is by its maximum unless this is stated.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	Percentile *int32 `json:"percentile,omitempty"`
	// Aggregation joins the pods of a workload.
	// +kubebuilder:default=PodAverage
	// +optional
	Aggregation Aggregation `json:"aggregation,omitempty"`
	// Lookback is how far back usage counts, for example 24h or 7d; at most 30d.
	// +kubebuilder:default="7d"
	// +kubebuilder:validation:Pattern=`^([0-9]+(m|h|d|w))+$`
	// +optional
	Lookback string `json:"lookback,omitempty"`
	// Overhead is added on top, as a percentage.
	// +kubebuilder:default="10%"
	// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?%$`
	// +optional
	Overhead string `json:"overhead,omitempty"`
	// Burst is what covering one more percent of the samples may cost: beyond percentile and overhead the request is
	// raised as long as each further percent costs no more. Small workloads so get room for their bursts, which costs
	// little, and large ones do not. Default 6m for cpu and 0 for memory; 0 turns it off.
	// +optional
	Burst *resource.Quantity `json:"burst,omitempty"`
	// Min is the least that is recommended.
	// +optional
	Min *resource.Quantity `json:"min,omitempty"`
	// Max is the most that is recommended.
	// +optional
	Max *resource.Quantity `json:"max,omitempty"`
}

// ConfidencePolicy says when a recommendation rests on enough data.
type ConfidencePolicy struct {
	// MinWatched is how long a workload must have been watched.
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
	// +optional
	MinWatched metav1.Duration `json:"minWatched,omitempty"`
	// Coverage is the share of the lookback that must hold samples, as a percentage.
	// +kubebuilder:default="40%"
	// +kubebuilder:validation:Pattern=`^(100|[0-9]{1,2})%$`
	// +optional
	Coverage string `json:"coverage,omitempty"`
}

// OOMPolicy says how memory answers an OOM kill.
type OOMPolicy struct {
	// Step is what each kill adds to the memory overhead, as a percentage.
	// +kubebuilder:default="20%"
	// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?%$`
	// +optional
	Step string `json:"step,omitempty"`
	// Max is the highest factor that kills lead to, a decimal of at least 1.
	// +kubebuilder:default="2.5"
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]*(\.[0-9]+)?$`
	// +optional
	Max string `json:"max,omitempty"`
}

// NewcomerPolicy says what a workload gets on top while little is known of it. Requests that a workload has already are
// not raised for it, unless a person turned the workload on by hand.
type NewcomerPolicy struct {
	// For is how long a workload is a newcomer since it was first seen; 0s turns this off. Default 8h.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
	// +optional
	For *metav1.Duration `json:"for,omitempty"`
	// CPU is added to the cpu request. Default 2m.
	// +optional
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// Memory is the least distance of the memory request from the peak, up to six times the peak; one and a half times
	// the overhead where that is more. Default 72Mi.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`
	// MinMemory is the least memory of a newcomer, up to six times its peak. Default 128Mi.
	// +optional
	MinMemory *resource.Quantity `json:"minMemory,omitempty"`
}

// SurgePolicy says how a sudden rise of usage is answered: where the pods' mean usage is above the recommendation by 100m
// and by 100% of cpu, or by 100Mi and by 20% of memory, the lookback halves every 15 minutes, to 15 minutes at least, and the
// percentile rises every 5 minutes by a fifth of what is missing to 100, until the surge expires: after 12 h at the 50th
// percentile, 1 h at the 99th. Where the function is Max, there is nothing to do.
type SurgePolicy struct {
	// Enabled turns surge handling on.
	Enabled bool `json:"enabled"`
}

// NodeFit shapes requests a little under fractions of a node: where a pod is just too large for one more to fit, its requests are
// lowered until it does.
type NodeFit struct {
	// CPU that a typical node has for pods: allocatable less what DaemonSets ask for.
	CPU resource.Quantity `json:"cpu"`
	// Memory that a typical node has for pods: allocatable less what DaemonSets ask for.
	Memory resource.Quantity `json:"memory"`
	// Tolerance is by how much a request may be lowered, as a percentage of at most 20%. Memory is never lowered by more than its
	// overhead, so that it stays above what was used.
	// +kubebuilder:default="5%"
	// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?%$`
	// +optional
	Tolerance string `json:"tolerance,omitempty"`
}

// RecommendationPolicySpec says how recommendations are computed.
// +kubebuilder:validation:XValidation:rule="!has(self.memory) || !has(self.memory.__function__) || self.memory.__function__ != 'Pattern'",message="function Pattern is for cpu; use Max or Percentile for memory"
type RecommendationPolicySpec struct {
	// CPU estimate. Default: 90th percentile of 7 d, averaged over pods, 10% overhead, room for bursts that cost little, at least 2m.
	// +kubebuilder:default={}
	// +optional
	CPU ResourceEstimate `json:"cpu,omitempty"`
	// Memory estimate. Default: maximum of 7 d, 10% overhead, at least 32Mi.
	// +kubebuilder:default={}
	// +optional
	Memory ResourceEstimate `json:"memory,omitempty"`
	// Confidence says when a recommendation rests on enough data.
	// +kubebuilder:default={}
	// +optional
	Confidence ConfidencePolicy `json:"confidence,omitempty"`
	// OOM says how memory answers an OOM kill.
	// +kubebuilder:default={}
	// +optional
	OOM OOMPolicy `json:"oom,omitempty"`
	// NodeFit shapes requests so that pods fill a typical node. Default: they are not shaped.
	// +optional
	NodeFit *NodeFit `json:"nodeFit,omitempty"`
	// Newcomer says what a workload gets on top while little is known of it.
	// +optional
	Newcomer *NewcomerPolicy `json:"newcomer,omitempty"`
	// Surge says how a sudden rise of usage is answered.
	// +optional
	Surge *SurgePolicy `json:"surge,omitempty"`
}

// RecommendationPolicyStatus says whether the policy is usable.
type RecommendationPolicyStatus struct {
	// ObservedGeneration is the generation of the spec that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RecommendationPolicy says how recommendations are computed.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=supercargo,shortName=rp
// +kubebuilder:printcolumn:name="CPU",type=string,JSONPath=`.spec.cpu.function`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.spec.memory.function`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RecommendationPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RecommendationPolicySpec `json:"spec"`
	// +optional
	Status RecommendationPolicyStatus `json:"status,omitempty"`
}

// RecommendationPolicyList is a list of RecommendationPolicies.
// +kubebuilder:object:root=true
type RecommendationPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RecommendationPolicy `json:"items"`
}

func init() { register(&RecommendationPolicy{}, &RecommendationPolicyList{}) }
