package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// UpdateMode says how a recommendation reaches pods.
// +kubebuilder:validation:Enum=Preview;Off;OnCreate;ReCreate;InPlace;Auto
type UpdateMode string

const (
	// UpdateModePreview evaluates and shows, and never applies.
	UpdateModePreview UpdateMode = "Preview"
	// UpdateModeOff is Preview by the word that AutoscalingPolicy schedules use.
	UpdateModeOff UpdateMode = "Off"
	// UpdateModeOnCreate sets requests and limits of new pods only.
	UpdateModeOnCreate UpdateMode = "OnCreate"
	// UpdateModeReCreate also replaces running pods that have drifted, one by one, within their disruption budgets.
	UpdateModeReCreate UpdateMode = "ReCreate"
	// UpdateModeInPlace also resizes running pods that have drifted through the resize subresource.
	UpdateModeInPlace UpdateMode = "InPlace"
	// UpdateModeAuto resizes in place and falls back to ReCreate where a resize is refused.
	UpdateModeAuto UpdateMode = "Auto"
)

// TargetRef names a workload. It is any kind whose pods are found by owner references or by a selector.
type TargetRef struct {
	// APIVersion of the workload, for example apps/v1.
	// +kubebuilder:validation:MinLength=1
	APIVersion string `json:"apiVersion"`
	// Kind of the workload, for example Deployment, StatefulSet, DaemonSet, Job or CronJob.
	// +kubebuilder:validation:MinLength=1
	Kind string `json:"kind"`
	// Name of the workload.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Namespace of the workload. It may be left out; another namespace than the scaler's own is refused with the condition TargetFound=False.
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// UpdatePolicy says how the recommendation of a scaler is applied where no AutoscalingPolicy matches.
type UpdatePolicy struct {
	// UpdateMode defaults to Preview: nothing is applied until someone asks for it.
	// +kubebuilder:default=Preview
	// +optional
	UpdateMode UpdateMode `json:"updateMode,omitempty"`
}

// WorkloadResources holds what a scaler does with cpu and memory.
type WorkloadResources struct {
	// UpdatePolicy says how the recommendation is applied.
	// +kubebuilder:default={}
	// +optional
	UpdatePolicy UpdatePolicy `json:"updatePolicy,omitempty"`
	// InjectedContainers says whether containers that are in the pods and not in the workload's template, such as a mesh's sidecar, are
	// recommended and changed too. A sidecar that is injected after our webhook was called is changed in place only.
	// +kubebuilder:default=Ignore
	// +optional
	InjectedContainers InjectedContainers `json:"injectedContainers,omitempty"`
	// ContainerGroups join containers whose names differ from pod to pod: usage of a group is counted together, and each of its
	// containers is given what the group is recommended. The first group that matches holds. A pod has one container of a group.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +optional
	ContainerGroups []ContainerGroup `json:"containerGroups,omitempty"`
}

// InjectedContainers says what becomes of containers that are only in the pods.
// +kubebuilder:validation:Enum=Ignore;Optimize
type InjectedContainers string

const (
	// InjectedIgnore leaves them alone, and out of recommendations.
	InjectedIgnore InjectedContainers = "Ignore"
	// InjectedOptimize treats them as the workload's own.
	InjectedOptimize InjectedContainers = "Optimize"
)

// ContainerGroup joins containers by name.
type ContainerGroup struct {
	// Name of the group, under which the recommendation stands.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Pattern of the names of its containers: a glob of *, ?, [a-z] and [^0-9] that matches the whole name, for example "step-*".
	// +kubebuilder:validation:MinLength=1
	Pattern string `json:"pattern"`
}

// OptimizeScope is one thing that a scaler optimizes.
// +kubebuilder:validation:Enum=resource;replicas
type OptimizeScope string

const (
	// OptimizeResource optimizes requests and limits.
	OptimizeResource OptimizeScope = "resource"
	// OptimizeReplicas has a HorizontalPodAutoscaler made for the workload, as horizontal says.
	OptimizeReplicas OptimizeScope = "replicas"
)

// HorizontalScaling is the HorizontalPodAutoscaler that is made for a workload: on CPU and, where given, on the length of a queue. It
// grows by at most 100% in 60 s after 60 s of demand, and shrinks by at most 50% in 60 s after 300 s without.
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",message="minReplicas must not exceed maxReplicas"
type HorizontalScaling struct {
	// MinReplicas is the least number of replicas.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +optional
	MinReplicas int32 `json:"minReplicas,omitempty"`
	// MaxReplicas is the largest number of replicas.
	// +kubebuilder:validation:Minimum=1
	MaxReplicas int32 `json:"maxReplicas"`
	// CPUUtilizationPercent is the mean share of requested CPU to be used. CPU requests are then left alone: they are its scale point.
	// +kubebuilder:default=70
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	CPUUtilizationPercent int32 `json:"cpuUtilizationPercent,omitempty"`
	// Queue is the metric of a queue, served by an external metrics API such as that of prometheus-adapter.
	// +optional
	Queue *QueueMetric `json:"queue,omitempty"`
}

// QueueMetric is the length of a queue.
type QueueMetric struct {
	// Metric is its name in the external metrics API.
	// +kubebuilder:validation:MinLength=1
	Metric string `json:"metric"`
	// Selector of the metric's labels.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// AverageValue is how many items each replica is to have, for example "30".
	AverageValue resource.Quantity `json:"averageValue"`
}

// WorkloadScalerSpec binds a workload to the recommender.
// +kubebuilder:validation:XValidation:rule="has(self.horizontal) == (has(self.optimize) && 'replicas' in self.optimize)",message="horizontal and optimize: [replicas] belong together; set both or neither"
// +kubebuilder:validation:XValidation:rule="!has(self.podSelector) || !has(self.podNamePattern)",message="podSelector and podNamePattern both say which pods belong to the workload; keep one of them"
// +kubebuilder:validation:XValidation:rule="self.targetRef == oldSelf.targetRef",message="targetRef is immutable; create another WorkloadScaler for another workload"
type WorkloadScalerSpec struct {
	// TargetRef names the workload.
	TargetRef TargetRef `json:"targetRef"`
	// PodSelector finds the pods of a custom kind that does not own its pods. Where it is empty, owner references are followed, and where
	// they lead to no pod, the selector of the kind's scale subresource.
	// +optional
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`
	// PodNamePattern finds the pods of a custom kind by their names instead: a glob of *, ?, [a-z] and [^0-9] that matches the whole
	// name, in which {name} stands for the name of the target, for example "{name}-worker-*".
	// +optional
	PodNamePattern string `json:"podNamePattern,omitempty"`
	// Optimize lists what is optimized: resource, replicas or both. Without resource, requests and limits are recommended and never
	// applied.
	// +kubebuilder:default={resource}
	// +kubebuilder:validation:MinItems=1
	// +optional
	Optimize []OptimizeScope `json:"optimize,omitempty"`
	// Horizontal is the HorizontalPodAutoscaler to make where optimize lists replicas. It is made once the mode is none of Preview and
	// Off, under the name of the scaler, and goes with it. An autoscaler of that name that somebody else made is not touched.
	// +optional
	Horizontal *HorizontalScaling `json:"horizontal,omitempty"`
	// Interval is how often the recommendation is computed anew when nothing else asks for it, for example 30m or 1d.
	// +kubebuilder:default="30m"
	// +kubebuilder:validation:Pattern=`^([0-9]+(s|m|h|d|w))+$`
	// +optional
	Interval string `json:"interval,omitempty"`
	// Resources holds what is done with cpu and memory.
	// +kubebuilder:default={}
	// +optional
	Resources WorkloadResources `json:"resources,omitempty"`
}

// ConfidenceLevel says whether a recommendation rests on enough data to be applied unattended.
// +kubebuilder:validation:Enum=Full;Low
type ConfidenceLevel string

const (
	// ConfidenceFull means that the workload was watched long enough and enough of the lookback is covered.
	ConfidenceFull ConfidenceLevel = "Full"
	// ConfidenceLow means that it was not: changes are held back or made gradually.
	ConfidenceLow ConfidenceLevel = "Low"
)

// Confidence is how much data a recommendation rests on.
type Confidence struct {
	// Level is Full or Low.
	Level ConfidenceLevel `json:"level"`
	// Watched is the time from the first sample to the last.
	Watched metav1.Duration `json:"watched"`
	// CoveragePercent is the share of the lookback for which there are samples, 0 to 100.
	CoveragePercent int32 `json:"coveragePercent"`
}

// ExplanationStep is one step of the arithmetic that led to a recommended value.
type ExplanationStep struct {
	// Resource is cpu or memory.
	Resource corev1.ResourceName `json:"resource"`
	// Step names the rule, for example Percentile, Overhead, OOM, Bounds or LimitRange.
	Step string `json:"step"`
	// Value after the step, as a quantity.
	Value string `json:"value"`
	// Message says what the step took in and why it changed the value.
	// +optional
	Message string `json:"message,omitempty"`
}

// ContainerRecommendation is what one container needs.
type ContainerRecommendation struct {
	// Name of the container.
	Name string `json:"name"`
	// Requests recommended.
	Requests corev1.ResourceList `json:"requests,omitempty"`
	// Limits recommended by the limit policy; a resource that is missing here has no limit.
	// +optional
	Limits corev1.ResourceList `json:"limits,omitempty"`
	// Current is what the workload's template states.
	// +optional
	Current corev1.ResourceRequirements `json:"current,omitempty"`
	// Explanation lists the steps from usage to the recommended value.
	// +optional
	Explanation []ExplanationStep `json:"explanation,omitempty"`
}

// Recommendation is what the pods of a workload need.
type Recommendation struct {
	// ComputedAt is when it was computed.
	ComputedAt metav1.Time `json:"computedAt"`
	// Hash identifies requests and limits; a pod that carries it was given this recommendation.
	Hash string `json:"hash"`
	// PolicyHash identifies the spec of the RecommendationPolicy that it was computed with.
	// +optional
	PolicyHash string `json:"policyHash,omitempty"`
	// Confidence says how much data it rests on.
	Confidence Confidence `json:"confidence"`
	// Containers holds one entry for each container of the workload's template.
	// +listType=map
	// +listMapKey=name
	Containers []ContainerRecommendation `json:"containers"`
}

// MatchedPolicy says which policies govern a workload now.
type MatchedPolicy struct {
	// AutoscalingPolicy that matched, by priority and then age; empty where the scaler's own update policy holds.
	// +optional
	AutoscalingPolicy string `json:"autoscalingPolicy,omitempty"`
	// RecommendationPolicy that the numbers were computed with; empty for the built-in defaults.
	// +optional
	RecommendationPolicy string `json:"recommendationPolicy,omitempty"`
	// Schedule is the name of the schedule item in force.
	// +optional
	Schedule string `json:"schedule,omitempty"`
	// Mode in force at this moment.
	Mode UpdateMode `json:"mode"`
	// Resources that are changed: cpu, memory or both. Empty means both.
	// +optional
	Resources []corev1.ResourceName `json:"resources,omitempty"`
	// OnRemoval is what becomes of the pods when AutoscalingPolicy is deleted or turned off. It stands here because the policy may be
	// gone by then; as long as pods are being restored, the policy that went is still named and the mode is Off.
	// +optional
	OnRemoval *RemovalPlan `json:"onRemoval,omitempty"`
}

// RemovalPlan is how the pods of a workload get back what they asked for.
type RemovalPlan struct {
	// Policy is ReCreate or InPlace.
	Policy RemovalPolicy `json:"policy"`
	// InPlaceFallback says what follows a resize that was refused.
	// +optional
	InPlaceFallback InPlaceFallback `json:"inPlaceFallback,omitempty"`
}

// ResourceScore is the score of one resource.
type ResourceScore struct {
	// Resource is cpu or memory.
	Resource corev1.ResourceName `json:"resource"`
	// Score from 0 to 100; lower means more room for improvement.
	Score int32 `json:"score"`
	// EfficiencyPercent is mean usage over request; it may exceed 100.
	EfficiencyPercent int32 `json:"efficiencyPercent"`
}

// CostImpact is money per month of 730 hours, in USD with two decimals.
type CostImpact struct {
	// Savings from requests that the recommendation lowers.
	Savings string `json:"savings"`
	// Reinvestment in requests that the recommendation raises.
	Reinvestment string `json:"reinvestment"`
	// Net is savings less reinvestment. It becomes real only when nodes change.
	Net string `json:"net"`
	// OnNodePools is the part of net that falls on pods on nodes of NodePools, or waiting for one. The rest runs on nodes that supercargo
	// does not buy, and whether it becomes money is not known here. The provisioner computes it.
	// +optional
	OnNodePools string `json:"onNodePools,omitempty"`
	// Realisable is the part of onNodePools that a packing of the whole cluster turns into fewer or cheaper nodes: what all pods cost
	// packed at their requests less what they cost packed at the recommendations, shared out by net. The provisioner computes it.
	// +optional
	Realisable string `json:"realisable,omitempty"`
}

// AppliedStatus counts the pods that run with the recommendation.
type AppliedStatus struct {
	// Pods of the workload that are neither finished nor going.
	Pods int32 `json:"pods"`
	// Boosted pods run with their startup boost.
	// +optional
	Boosted int32 `json:"boosted,omitempty"`
	// UpToDate pods run within the drift thresholds of the recommendation; a boost does not count.
	UpToDate int32 `json:"upToDate"`
	// Resized counts in-place resizes since the scaler was created.
	Resized int64 `json:"resized"`
	// Recreated counts evictions for the sake of the recommendation since the scaler was created.
	Recreated int64 `json:"recreated"`
	// LastAppliedAt is when a pod was last changed.
	// +optional
	LastAppliedAt *metav1.Time `json:"lastAppliedAt,omitempty"`
}

const (
	// ConditionTargetFound is True where the workload exists.
	ConditionTargetFound = "TargetFound"
	// ConditionRecommended is True where there is a recommendation.
	ConditionRecommended = "Recommended"
	// ConditionApplied is True where every pod that may be changed runs with the recommendation.
	ConditionApplied = "Applied"
	// ConditionStartupBoost is False where a startup boost could not be ended in place. New pods are then not boosted for a day.
	ConditionStartupBoost = "StartupBoost"
	// ConditionRestored is False while pods get back what they asked for, because their policy went.
	ConditionRestored = "Restored"
	// ConditionHorizontal is True where the HorizontalPodAutoscaler that the scaler asks for is there.
	ConditionHorizontal = "Horizontal"
	// ConditionUsageFresh is False where no usage arrived for a while; the recommendation then stays as it is.
	ConditionUsageFresh = "UsageFresh"
)

// WorkloadScalerStatus is what the recommender found.
type WorkloadScalerStatus struct {
	// ObservedGeneration is the generation of the spec that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: TargetFound, Recommended, Applied, UsageFresh; StartupBoost once a boost has ended or failed to;
	// Horizontal where optimize lists replicas; Restored once a policy with onPolicyRemoval went.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Labels of the workload, by which inventories are filtered.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// PodSelector is the selector of the target's scale subresource, where its pods are found by that.
	// +optional
	PodSelector string `json:"podSelector,omitempty"`
	// Policy in force.
	// +optional
	Policy *MatchedPolicy `json:"policy,omitempty"`
	// ReviewOnly says why the workload is never changed unattended; empty where it may be.
	// +optional
	ReviewOnly string `json:"reviewOnly,omitempty"`
	// Recommendation, once there is data.
	// +optional
	Recommendation *Recommendation `json:"recommendation,omitempty"`
	// Score from 0 to 100; lower means more room for improvement.
	// +optional
	Score *int32 `json:"score,omitempty"`
	// EfficiencyPercent is the priced share of the requests that is used, 0 to 100.
	// +optional
	EfficiencyPercent *int32 `json:"efficiencyPercent,omitempty"`
	// ResourceScores shows whether cpu or memory drives the score.
	// +listType=map
	// +listMapKey=resource
	// +optional
	ResourceScores []ResourceScore `json:"resourceScores,omitempty"`
	// CostImpact of applying the recommendation.
	// +optional
	CostImpact *CostImpact `json:"costImpact,omitempty"`
	// Priority orders workloads by what is worth doing first: the net cost impact in USD per month, weighed by confidence, by how steady
	// the usage is and by the risk of the change. Higher comes first.
	// +optional
	Priority string `json:"priority,omitempty"`
	// Applied counts the pods that run with it.
	// +optional
	Applied AppliedStatus `json:"applied,omitempty"`
}

// WorkloadScaler binds a workload to the recommender and shows what it needs, what that would save and what was applied.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=supercargo,shortName=ws
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.targetRef.kind`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.targetRef.name`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.status.policy.mode`
// +kubebuilder:printcolumn:name="Score",type=integer,JSONPath=`.status.score`
// +kubebuilder:printcolumn:name="Efficiency",type=integer,JSONPath=`.status.efficiencyPercent`
// +kubebuilder:printcolumn:name="Net/Month",type=string,JSONPath=`.status.costImpact.net`
// +kubebuilder:printcolumn:name="Confidence",type=string,JSONPath=`.status.recommendation.confidence.level`
// +kubebuilder:printcolumn:name="Policy",type=string,priority=1,JSONPath=`.status.policy.autoscalingPolicy`
// +kubebuilder:printcolumn:name="UpToDate",type=integer,priority=1,JSONPath=`.status.applied.upToDate`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type WorkloadScaler struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec WorkloadScalerSpec `json:"spec"`
	// +optional
	Status WorkloadScalerStatus `json:"status,omitempty"`
}

// WorkloadScalerList is a list of WorkloadScalers.
// +kubebuilder:object:root=true
type WorkloadScalerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []WorkloadScaler `json:"items"`
}

func init() { register(&WorkloadScaler{}, &WorkloadScalerList{}) }
