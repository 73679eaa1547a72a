package policystatus

import "strings"

// reasonOf is a stable reason for an error, by the path of the field that it is about.
func reasonOf(path string) string {
	for _, known := range []struct{ part, reason string }{
		{"updateSchedule", "InvalidSchedule"},
		{"percentile", "InvalidPercentile"},
		{"driftThresholds", "InvalidDriftThreshold"},
		{"limitPolicies", "InvalidLimitPolicy"},
		{"labelSelector", "InvalidLabelSelector"},
		{"targetRefs", "InvalidTargetRef"},
		{"nodeFit", "InvalidNodeFit"},
		{"qosClass", "InvalidQOSClass"},
		{"onPolicyRemoval", "InvalidRemoval"},
		{"startupBoost", "InvalidStartupBoost"},
		{"inPlaceFallback", "InvalidFallback"},
		{"updateResources", "InvalidResources"},
		{"lookback", "InvalidLookback"},
		{"overhead", "InvalidOverhead"},
		{"coverage", "InvalidConfidence"},
		{"minWatched", "InvalidConfidence"},
		{"oom", "InvalidOOM"},
		{"min", "InvalidBounds"},
		{"max", "InvalidBounds"},
	} {
		if strings.Contains(path, known.part) {
			return known.reason
		}
	}
	return "Invalid"
}
