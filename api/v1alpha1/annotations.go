package v1alpha1

const (
	// SpotAnnotation on a pod, or on a namespace for all its pods, states a SpotTolerance. The pod's own wins.
	SpotAnnotation = GroupName + "/spot"
	// DisabledAnnotation set to "true" on a workload turns off every change to it: resizes, evictions and mutation of new pods. On a pod, or
	// in a pod template, it does so for that pod.
	DisabledAnnotation = GroupName + "/disabled"
	// RecommendationAnnotation on a pod holds the hash of the recommendation that was applied to it.
	RecommendationAnnotation = GroupName + "/recommendation"
	// OriginalResourcesAnnotation on a pod holds, as JSON from container name to resources, what the pod asked for
	// before a recommendation was first applied. It is what removal of a policy restores.
	OriginalResourcesAnnotation = GroupName + "/original-resources"
	// StartupBoostAnnotation on a pod is BoostActive while the pod runs with its startup boost, and BoostReverted afterwards.
	StartupBoostAnnotation = GroupName + "/startup-boost"
	// UnboostedResourcesAnnotation on a pod holds, as JSON from container name to resources, what the end of its startup boost gives it.
	UnboostedResourcesAnnotation = GroupName + "/unboosted-resources"
	// BoostActive is the value of StartupBoostAnnotation on a pod that is boosted.
	BoostActive = "true"
	// BoostReverted is the value of StartupBoostAnnotation on a pod whose boost is over.
	BoostReverted = "reverted"
	// PriceAnnotation on a node holds what it costs in USD per hour, as a decimal. The provisioner keeps it current; a node
	// without it has an unknown price, which is never taken for zero.
	PriceAnnotation = GroupName + "/price-per-hour"
	// RiskAnnotation on a spot node holds how many interruptions per hour are to be expected, as a decimal.
	RiskAnnotation = GroupName + "/interruptions-per-hour"
	// PlannedPodsAnnotation on a NodeClaim holds the UIDs of the pods that it was made for, separated by commas.
	PlannedPodsAnnotation = GroupName + "/planned-pods"
	// PlannedSuccessorsAnnotation on a node, or on the NodeClaim that becomes it, says as JSON for how many pods of which owners a
	// consolidation planned room there (provisioner/succession). It means nothing any more once the nodes that it names are gone, or
	// after 10 minutes.
	PlannedSuccessorsAnnotation = GroupName + "/planned-successors"
	// RuleLabel on a WorkloadScaler names the WorkloadScalerRule that created it. Scalers without it belong to a person.
	RuleLabel = GroupName + "/rule"
	// UpdateModeAnnotation on a WorkloadScaler that a WorkloadScalerRule created holds the UpdateMode that a person set for this one
	// workload: it stands over the rule's until it is taken off.
	UpdateModeAnnotation = GroupName + "/update-mode"
	// RuntimeLabel on a WorkloadScaler names the language runtime that its workload was recognised by: RuntimeJava. Policies select by it
	// as if the workload itself had the label.
	RuntimeLabel = GroupName + "/runtime"
	// RuntimeJava is the value of RuntimeLabel for Java workloads.
	RuntimeJava = "java"
	// InstanceFamilyLabel on a node is the family of its instance type, for example m7g.
	InstanceFamilyLabel = GroupName + "/instance-family"
)

// SpotTolerance says how a pod relates to spot capacity.
// +kubebuilder:validation:Enum=never;tolerate;prefer;require
type SpotTolerance string

const (
	// SpotNever keeps the pod off spot nodes.
	SpotNever SpotTolerance = "never"
	// SpotTolerate lets price decide. It is the default for a pod that no policy names.
	SpotTolerate SpotTolerance = "tolerate"
	// SpotPrefer takes spot wherever it is to be had, even where on-demand capacity is free.
	SpotPrefer SpotTolerance = "prefer"
	// SpotRequire runs on spot or not at all.
	SpotRequire SpotTolerance = "require"
)
