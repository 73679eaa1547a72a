package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// WorkloadSelector selects workloads for a policy. Empty fields match everything.
type WorkloadSelector struct {
	// Kind of the workload, for example Deployment. Empty matches every kind.
	// +optional
	Kind string `json:"kind,omitempty"`
	// Name as a glob: *, ?, [a-z], [^0-9]; it matches the whole value.
	// +optional
	Name string `json:"name,omitempty"`
	// Namespace as a glob.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// LabelSelector on the workload's own labels.
	// +optional
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`
}

// ScheduleItem is a mode and the time it is in force.
// +kubebuilder:validation:XValidation:rule="has(self.schedule) == has(self.duration)",message="schedule and duration belong together: set both for a time window, or neither for a rule that always holds"
type ScheduleItem struct {
	// Name shown in status.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Schedule is a cron expression of five fields (minute hour day-of-month month day-of-week) for the start of the window.
	// +kubebuilder:validation:MinLength=1
	// +optional
	Schedule string `json:"schedule,omitempty"`
	// Duration of the window, for example 4h; above 0 and at most 744h.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`
	// Timezone by its IANA name in which the schedule is read.
	// +kubebuilder:default=UTC
	// +optional
	Timezone string `json:"timezone,omitempty"`
	// Mode in force while the item applies. ReCreate and InPlace imply OnCreate.
	// +kubebuilder:validation:Enum=Off;OnCreate;ReCreate;InPlace
	Mode UpdateMode `json:"mode"`
}

// LimitPolicyType says what becomes of limits.
// +kubebuilder:validation:Enum=Remove;Keep;Multiplier;Auto
type LimitPolicyType string

const (
	// LimitRemove takes the limit away. A running pod cannot lose a limit in place: it needs a recreate.
	LimitRemove LimitPolicyType = "Remove"
	// LimitKeep leaves the limit and clamps the request to it.
	LimitKeep LimitPolicyType = "Keep"
	// LimitMultiplier sets the limit to the recommended request times the multiplier.
	LimitMultiplier LimitPolicyType = "Multiplier"
	// LimitAuto is Multiplier, upward only; a resource without a limit stays without.
	LimitAuto LimitPolicyType = "Auto"
)

// LimitPolicy is what becomes of the limit of one resource.
// +kubebuilder:validation:XValidation:rule="self.policy in ['Multiplier','Auto'] == has(self.multiplier)",message="multiplier is required with policy Multiplier or Auto and not allowed with Remove or Keep"
type LimitPolicy struct {
	// Policy is Remove, Keep, Multiplier or Auto.
	Policy LimitPolicyType `json:"policy"`
	// Multiplier of the recommended request, a decimal of at least 1, for example "1.5".
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]*(\.[0-9]+)?$`
	// +optional
	Multiplier string `json:"multiplier,omitempty"`
}

// FallbackPolicy says what follows a resize that was refused.
// +kubebuilder:validation:Enum=recreate;hold
type FallbackPolicy string

const (
	// FallbackRecreate replaces the pod, within its disruption budget.
	FallbackRecreate FallbackPolicy = "recreate"
	// FallbackHold leaves the pod as it is.
	FallbackHold FallbackPolicy = "hold"
)

// FallbackReason is why a resize was refused or cannot work.
// +kubebuilder:validation:Enum=PodResizePending;QoSChangeForbidden;MemoryLimitsAddForbidden;ResourceLimitsRemoveForbidden;ResourceRequestsRemoveForbidden;ResourceMemoryLimitCannotBeDecreased;JVMHeapDrift
type FallbackReason string

// Reasons for which a resize is refused. The words are those of the API server and of other autoscalers.
const (
	ReasonPodResizePending              FallbackReason = "PodResizePending"
	ReasonQoSChangeForbidden            FallbackReason = "QoSChangeForbidden"
	ReasonMemoryLimitsAddForbidden      FallbackReason = "MemoryLimitsAddForbidden"
	ReasonResourceLimitsRemoveForbidden FallbackReason = "ResourceLimitsRemoveForbidden"
	ReasonRequestsRemoveForbidden       FallbackReason = "ResourceRequestsRemoveForbidden"
	ReasonMemoryLimitCannotBeDecreased  FallbackReason = "ResourceMemoryLimitCannotBeDecreased"
	ReasonJVMHeapDrift                  FallbackReason = "JVMHeapDrift"
)

// InPlaceFallback says what follows a resize that was refused, by reason.
type InPlaceFallback struct {
	// DefaultPolicy for reasons that reasonPolicies does not name.
	// +kubebuilder:default=recreate
	// +optional
	DefaultPolicy FallbackPolicy `json:"defaultPolicy,omitempty"`
	// ReasonPolicies by reason.
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['PodResizePending','QoSChangeForbidden','MemoryLimitsAddForbidden','ResourceLimitsRemoveForbidden','ResourceRequestsRemoveForbidden','ResourceMemoryLimitCannotBeDecreased','JVMHeapDrift'])",message="keys are PodResizePending, QoSChangeForbidden, MemoryLimitsAddForbidden, ResourceLimitsRemoveForbidden, ResourceRequestsRemoveForbidden, ResourceMemoryLimitCannotBeDecreased or JVMHeapDrift"
	// +kubebuilder:validation:MaxProperties=7
	// +optional
	ReasonPolicies map[string]FallbackPolicy `json:"reasonPolicies,omitempty"`
}

// StartupBoost raises resources of new pods while they start, where the mode in force changes new pods. It ends in place, by the
// resize subresource, when minBoost and minReady are both over, whatever the mode is by then. It needs Kubernetes 1.33.
// +kubebuilder:validation:XValidation:rule="!self.enabled || has(self.cpuMultiplier) || has(self.memoryMultiplier)",message="an enabled startupBoost raises something: set cpuMultiplier, memoryMultiplier or both, for example cpuMultiplier: \"2\""
type StartupBoost struct {
	// Enabled turns the boost on.
	Enabled bool `json:"enabled"`
	// MinBoost is the least time that the boost lasts, from the start of the pod, for example 2m; at most 24h. Default 0s.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
	// +optional
	MinBoost *metav1.Duration `json:"minBoost,omitempty"`
	// MinReady is the least time that the pod is Ready before the boost ends, for example 30s; at most 24h. Default 0s: the boost may
	// end as soon as the pod is Ready.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
	// +optional
	MinReady *metav1.Duration `json:"minReady,omitempty"`
	// CPUMultiplier of cpu requests and limits, a decimal from 1 to 5, for example "3". Default: cpu is not raised.
	// +kubebuilder:validation:Pattern=`^([1-4](\.[0-9]+)?|5(\.0+)?)$`
	// +optional
	CPUMultiplier string `json:"cpuMultiplier,omitempty"`
	// MemoryMultiplier of memory requests, a decimal from 1 to 5. Limits stay, and no request is raised above its limit. Default:
	// memory is not raised.
	// +kubebuilder:validation:Pattern=`^([1-4](\.[0-9]+)?|5(\.0+)?)$`
	// +optional
	MemoryMultiplier string `json:"memoryMultiplier,omitempty"`
}

// DriftBase says what a drift in percent is relative to.
// +kubebuilder:validation:Enum=Current;Directional
type DriftBase string

const (
	// DriftCurrent is relative to the current value.
	DriftCurrent DriftBase = "Current"
	// DriftDirectional is relative to the current value upward and to the new value downward.
	DriftDirectional DriftBase = "Directional"
)

// RemovalPolicy says what becomes of pods when a policy is removed or turned off.
// +kubebuilder:validation:Enum=Off;ReCreate;InPlace
type RemovalPolicy string

const (
	// RemovalOff leaves pods as they are.
	RemovalOff RemovalPolicy = "Off"
	// RemovalReCreate restores the original requests by replacing pods.
	RemovalReCreate RemovalPolicy = "ReCreate"
	// RemovalInPlace restores the original requests in place.
	RemovalInPlace RemovalPolicy = "InPlace"
)

// QOSPolicy says which quality of service class pods are to have.
// +kubebuilder:validation:Enum=Preserve;Guaranteed;Burstable
type QOSPolicy string

const (
	// QOSPreserve keeps pods that are Guaranteed so: their limits follow their requests.
	QOSPreserve QOSPolicy = "Preserve"
	// QOSGuaranteed gives containers limits of cpu and memory that equal their requests.
	QOSGuaranteed QOSPolicy = "Guaranteed"
	// QOSBurstable takes the cpu limit off containers that would be Guaranteed.
	QOSBurstable QOSPolicy = "Burstable"
)

// AutoscalingPolicySpec says which workloads are changed, when and how.
type AutoscalingPolicySpec struct {
	// Enable turns the policy on. Turning it off runs onPolicyRemoval.
	// +kubebuilder:default=true
	// +optional
	Enable *bool `json:"enable,omitempty"`
	// Priority decides between policies that match the same workload: the higher wins, and of equals the older.
	// +optional
	Priority int32 `json:"priority,omitempty"`
	// RecommendationPolicyName names the RecommendationPolicy that computes the numbers. Empty uses the built-in defaults.
	// +optional
	RecommendationPolicyName string `json:"recommendationPolicyName,omitempty"`
	// TargetRefs are ORed. Empty matches every workload that has a WorkloadScaler.
	// +optional
	TargetRefs []WorkloadSelector `json:"targetRefs,omitempty"`
	// UpdateSchedule lists modes; later items win, and where none applies the mode is Off.
	// +kubebuilder:validation:MinItems=1
	UpdateSchedule []ScheduleItem `json:"updateSchedule"`
	// UpdateResources lists what is changed: cpu, memory or both. Recommendations are computed for both in any case.
	// +kubebuilder:default={cpu,memory}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:items:Enum=cpu;memory
	// +listType=set
	// +optional
	UpdateResources []corev1.ResourceName `json:"updateResources,omitempty"`
	// DriftThresholds by resource, as a percentage ("20%") or a quantity ("500Mi"). A pod is changed when request or limit is
	// off by at least as much. Default 10%.
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu','memory'])",message="keys are cpu and memory"
	// +kubebuilder:validation:MaxProperties=2
	// +optional
	DriftThresholds map[corev1.ResourceName]intstr.IntOrString `json:"driftThresholds,omitempty"`
	// DriftBase says what a percentage is relative to.
	// +kubebuilder:default=Current
	// +optional
	DriftBase DriftBase `json:"driftBase,omitempty"`
	// LimitPolicies by resource. Default Keep.
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu','memory'])",message="keys are cpu and memory"
	// +kubebuilder:validation:MaxProperties=2
	// +optional
	LimitPolicies map[corev1.ResourceName]LimitPolicy `json:"limitPolicies,omitempty"`
	// QOSClass manages the quality of service class of pods, and goes before limitPolicies. A running pod cannot change its class: the
	// fallback for QoSChangeForbidden follows. Default: none, the class is what requests and limitPolicies lead to.
	// +optional
	QOSClass QOSPolicy `json:"qosClass,omitempty"`
	// InPlaceFallback says what follows a resize that was refused.
	// +kubebuilder:default={}
	// +optional
	InPlaceFallback InPlaceFallback `json:"inPlaceFallback,omitempty"`
	// StartupBoost raises resources while a pod starts.
	// +optional
	StartupBoost *StartupBoost `json:"startupBoost,omitempty"`
	// RestartRollouts has the pods of Argo Rollouts replaced for a recommendation too, one by one by eviction. Default false: a Rollout
	// has its own update mechanism, so its pods take a recommendation up when they restart by themselves, or in place.
	// +optional
	RestartRollouts bool `json:"restartRollouts,omitempty"`
	// OnPolicyRemoval says what becomes of pods when the policy is deleted or turned off and nothing else governs their workload: they
	// stay as they are (Off), or get back what they asked for, in place or by new pods. What is blocked for 10 minutes is let go.
	// +kubebuilder:default=Off
	// +optional
	OnPolicyRemoval RemovalPolicy `json:"onPolicyRemoval,omitempty"`
}

// AutoscalingPolicyStatus is what the policy governs.
type AutoscalingPolicyStatus struct {
	// ObservedGeneration is the generation of the spec that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Workloads governed by the policy.
	// +optional
	Workloads int32 `json:"workloads,omitempty"`
	// Conditions: Ready. Its message says what is wrong with the spec, or which policy of the same priority shadows this one.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ConditionReady is True where the object is in force.
const ConditionReady = "Ready"

// AutoscalingPolicy says which workloads have their requests and limits changed, when and how.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=supercargo,shortName=asp
// +kubebuilder:printcolumn:name="Priority",type=integer,JSONPath=`.spec.priority`
// +kubebuilder:printcolumn:name="Recommendation",type=string,JSONPath=`.spec.recommendationPolicyName`
// +kubebuilder:printcolumn:name="Workloads",type=integer,JSONPath=`.status.workloads`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AutoscalingPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AutoscalingPolicySpec `json:"spec"`
	// +optional
	Status AutoscalingPolicyStatus `json:"status,omitempty"`
}

// AutoscalingPolicyList is a list of AutoscalingPolicies.
// +kubebuilder:object:root=true
type AutoscalingPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AutoscalingPolicy `json:"items"`
}

func init() { register(&AutoscalingPolicy{}, &AutoscalingPolicyList{}) }
