package policy

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

// Verdict is a gate's answer.
type Verdict struct {
	// Reason in CamelCase, for conditions and events.
	Reason  string
	Message string
	// Stop is true where the gate does not let the change pass.
	Stop bool
}

// Situation is everything that a gate may ask about one pod of one workload.
type Situation struct {
	Now    time.Time
	Target Target
	// WorkloadReady is true where all replicas of the workload are updated and available.
	WorkloadReady bool
	// Paused by the cluster-wide switch.
	Paused bool
	Active Active
	// Recommendation in status; nil where there is none.
	Recommendation *v1alpha1.Recommendation
	// PolicyHash of the RecommendationPolicy's present spec.
	PolicyHash string
	// UsageAge is how old the newest sample of the workload is.
	UsageAge time.Duration
	// ByHand is true where a person turned the workload on.
	ByHand bool
	// ReviewOnly is why the workload is never changed unattended (GPU); empty: it may be.
	ReviewOnly string
	// PodLevel is true where the pods have requests or limits of their own beside those of their containers.
	PodLevel bool
	// Pod to change; nil to ask about the workload as a whole.
	Pod *corev1.Pod
	// Deviations of the pod from what it is to have.
	Deviations []Deviation
	// AdmissionProven is true where the webhook was seen to work just now; without it no pod is replaced.
	AdmissionProven bool
	// Deferred is why the workload is never restarted (DaemonSet, host network, anti-affinity by host); empty: it may be.
	Deferred string
}

// Gate is one question that a change must pass.
type Gate func(Situation) Verdict

// Chain is a list of gates; the first that stops decides.
type Chain []Gate

// ReasonPassed is the reason of a verdict that lets a change pass.
const ReasonPassed = "Passed"

// Check asks each gate in turn and returns the first verdict that stops, or a passing one.
func (c Chain) Check(s Situation) Verdict {
	for _, gate := range c {
		if v := gate(s); v.Stop {
			return v
		}
	}
	return Verdict{Reason: ReasonPassed}
}

// WorkloadGates are asked before any running pod of a workload is looked at.
func WorkloadGates() Chain {
	return Chain{notPaused, notDisabled, notReviewOnly, notPodLevel, changesRunningPods, recommended, policyUnchanged, usageFresh, workloadReady}
}

// PodGates are asked before a running pod is changed, in place or by a new one.
func PodGates() Chain { return Chain{podStays, podRuns, drifted} }

// RecreateGates are asked in addition before a pod is replaced.
func RecreateGates() Chain { return Chain{notDeferred, admissionProven} }

// AdmissionGates are asked before a new pod is given its recommendation.
func AdmissionGates() Chain {
	return Chain{notPaused, notDisabled, notReviewOnly, notPodLevel, changesNewPods, recommended, policyUnchanged}
}

// BoostGates are asked before a new pod without a recommendation is boosted.
func BoostGates() Chain {
	return Chain{notPaused, notDisabled, notReviewOnly, notPodLevel, changesNewPods}
}

func pass() Verdict { return Verdict{Reason: ReasonPassed} }

func stop(reason, format string, args ...any) Verdict {
	return Verdict{Reason: reason, Message: fmt.Sprintf(format, args...), Stop: true}
}

func notPaused(s Situation) Verdict {
	if s.Paused {
		return stop("Paused", "changes are paused in the whole cluster")
	}
	return pass()
}

func notDisabled(s Situation) Verdict {
	if s.Target.Disabled() {
		return stop("Disabled", `annotation %s is "true" on the workload`, v1alpha1.DisabledAnnotation)
	}
	return pass()
}

func notReviewOnly(s Situation) Verdict {
	if s.ReviewOnly != "" && !s.ByHand {
		return stop("ReviewOnly", "%s: turn it on by its own WorkloadScaler", s.ReviewOnly)
	}
	return pass()
}

func notPodLevel(s Situation) Verdict {
	if s.PodLevel {
		return stop("PodLevelResources", "the pods have requests or limits of their own: take them away, or set them by hand")
	}
	return pass()
}

func changesRunningPods(s Situation) Verdict {
	switch s.Active.Mode {
	case v1alpha1.UpdateModeReCreate, v1alpha1.UpdateModeInPlace, v1alpha1.UpdateModeAuto:
		return pass()
	case v1alpha1.UpdateModeOnCreate:
		return stop("ModeOnCreate", "only new pods are changed%s", until(s))
	default:
		return stop("ModeOff", "nothing is changed%s", until(s))
	}
}

func changesNewPods(s Situation) Verdict {
	switch s.Active.Mode {
	case v1alpha1.UpdateModeOnCreate, v1alpha1.UpdateModeReCreate, v1alpha1.UpdateModeInPlace, v1alpha1.UpdateModeAuto:
		return pass()
	default:
		return stop("ModeOff", "nothing is changed%s", until(s))
	}
}

func until(s Situation) string {
	if s.Active.Until.IsZero() {
		return ""
	}
	return ", at least until " + s.Active.Until.UTC().Format(time.RFC3339)
}

func recommended(s Situation) Verdict {
	if s.Recommendation == nil || len(s.Recommendation.Containers) == 0 {
		return stop("NotRecommended", "there is no recommendation yet")
	}
	return pass()
}

func policyUnchanged(s Situation) Verdict {
	if s.Recommendation.PolicyHash != s.PolicyHash {
		return stop("PolicyChanged", "the recommendation policy changed and the recommendation was not computed anew yet")
	}
	return pass()
}

// staleUsage is when changes wait for usage: the effect of a change could not be seen.
const staleUsage = time.Hour

func usageFresh(s Situation) Verdict {
	if s.UsageAge > staleUsage {
		return stop("UsageStale", "the newest usage is %s old", s.UsageAge.Round(time.Minute))
	}
	return pass()
}

func workloadReady(s Situation) Verdict {
	if !s.WorkloadReady {
		return stop("NotReady", "the workload is not ready")
	}
	return pass()
}

func podStays(s Situation) Verdict {
	if s.Pod == nil {
		return pass()
	}
	if !s.Pod.DeletionTimestamp.IsZero() || finished(s.Pod) {
		return stop("PodGoing", "pod %s is going", s.Pod.Name)
	}
	if preempted(s.Pod) {
		return stop("PodPreempted", "pod %s is about to be disrupted", s.Pod.Name)
	}
	if s.Pod.Annotations[v1alpha1.DisabledAnnotation] == "true" {
		return stop("Disabled", `annotation %s is "true" on pod %s`, v1alpha1.DisabledAnnotation, s.Pod.Name)
	}
	if _, mirror := s.Pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return stop("StaticPod", "pod %s is a static pod, which the API server cannot change", s.Pod.Name)
	}
	return pass()
}

func podRuns(s Situation) Verdict {
	if s.Pod != nil && s.Pod.Spec.NodeName == "" {
		return stop("PodUnscheduled", "pod %s is not scheduled", s.Pod.Name)
	}
	return pass()
}

func drifted(s Situation) Verdict {
	if s.Pod != nil && len(s.Deviations) == 0 {
		return stop("WithinThresholds", "pod %s is within the drift thresholds", s.Pod.Name)
	}
	return pass()
}

func notDeferred(s Situation) Verdict {
	if s.Deferred != "" {
		return stop("Deferred", "%s: pods take the recommendation up when they restart by themselves", s.Deferred)
	}
	return pass()
}

func admissionProven(s Situation) Verdict {
	if !s.AdmissionProven {
		return stop("AdmissionNotProven", "the admission webhook was not seen to work: a new pod would come up unchanged")
	}
	return pass()
}
