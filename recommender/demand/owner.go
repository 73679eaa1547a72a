package demand

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// rolloutHashLabel is what Argo Rollouts labels the pods of its ReplicaSets with, in place of pod-template-hash.
const rolloutHashLabel = "rollouts-pod-template-hash"

// Owner identifies a workload. The version of its API does not matter to what it owns.
type Owner struct {
	Namespace, Group, Kind, Name string
}

// OwnerLookup returns the controller of a namespaced object, usually from an informer's cache. It answers for objects whose
// controller cannot be read off their name, and returns false for an object that is unknown or has no controller.
type OwnerLookup func(object Owner) (controller metav1.OwnerReference, ok bool)

// OwnerOf returns the workload that a pod belongs to, as far as the pod itself tells: Deployments behind ReplicaSets and
// CronJobs behind Jobs are recognised by the names that their controllers give. It returns false for a pod without a controller.
func OwnerOf(pod *corev1.Pod) (Owner, bool) {
	direct, ok := directOwner(pod)
	if !ok {
		return Owner{}, false
	}
	if above, ok := ownerByName(direct, pod.Labels); ok {
		return above, true
	}
	return direct, true
}

func directOwner(pod *corev1.Pod) (Owner, bool) {
	controller := metav1.GetControllerOfNoCopy(pod)
	if controller == nil {
		return Owner{}, false
	}
	return ownerOfReference(pod.Namespace, controller), true
}

func ownerOfReference(namespace string, reference *metav1.OwnerReference) Owner {
	return Owner{Namespace: namespace, Group: groupOf(reference.APIVersion), Kind: reference.Kind, Name: reference.Name}
}

func groupOf(apiVersion string) string {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return apiVersion
	}
	return gv.Group
}

// ownerByName returns the workload above a ReplicaSet or Job where its name gives it away.
func ownerByName(direct Owner, podLabels map[string]string) (Owner, bool) {
	switch {
	case direct.Kind == "ReplicaSet" && direct.Group == appsv1.GroupName:
		if name, ok := trimHash(direct.Name, podLabels[appsv1.DefaultDeploymentUniqueLabelKey]); ok {
			return Owner{Namespace: direct.Namespace, Group: appsv1.GroupName, Kind: "Deployment", Name: name}, true
		}
		if name, ok := trimHash(direct.Name, podLabels[rolloutHashLabel]); ok {
			return Owner{Namespace: direct.Namespace, Group: "argoproj.io", Kind: "Rollout", Name: name}, true
		}
	case direct.Kind == "Job" && direct.Group == batchv1.GroupName:
		if name, ok := trimScheduledMinute(direct.Name); ok {
			return Owner{Namespace: direct.Namespace, Group: batchv1.GroupName, Kind: "CronJob", Name: name}, true
		}
	}
	return Owner{}, false
}

func trimHash(name, hash string) (string, bool) {
	if hash == "" {
		return "", false
	}
	trimmed, ok := strings.CutSuffix(name, "-"+hash)
	return trimmed, ok && trimmed != ""
}

// The CronJob controller names a Job after the minute it was due: <cronjob>-<unix seconds / 60>
// (k8s.io/kubernetes/pkg/controller/cronjob, getJobName). Minutes outside of 2001 to 2100 are part of somebody's own name.
const (
	earliestScheduledMinute = 16_304_000
	latestScheduledMinute   = 68_374_000
)

func trimScheduledMinute(name string) (string, bool) {
	dash := strings.LastIndexByte(name, '-')
	if dash <= 0 {
		return "", false
	}
	digits := name[dash+1:]
	if len(digits) != 8 || digits[0] == '+' || digits[0] == '-' {
		return "", false
	}
	minute, err := strconv.Atoi(digits)
	if err != nil || minute < earliestScheduledMinute || minute > latestScheduledMinute {
		return "", false
	}
	return name[:dash], true
}
