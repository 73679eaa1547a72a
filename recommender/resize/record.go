package resize

import (
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// RecordAnnotation on a pod holds the Record of its latest resize, as JSON.
const RecordAnnotation = v1alpha1.GroupName + "/resize"

// Outcome of a resize, as far as it is over.
const (
	// outcomeRestored: the node could not give it; the spec was put back.
	outcomeRestored = "Restored"
	// outcomeReverted: the container ran out of memory after it was shrunk; the former resources were put back.
	outcomeReverted = "Reverted"
	// outcomeRefused: the API server refused it.
	outcomeRefused = "Refused"
)

// Record is what is remembered of the latest resize of a pod, so that it can be taken back, and is not tried over and over.
type Record struct {
	// At is when it was asked for, or when the outcome became known.
	At time.Time `json:"at"`
	// Hash of the resources asked for.
	Hash string `json:"hash"`
	// Before, as policy.Originals writes it.
	Before string `json:"before,omitempty"`
	// Outcome is empty while the resize stands.
	Outcome string `json:"outcome,omitempty"`
	// Boost is true where the resize ended a startup boost.
	Boost bool `json:"boost,omitempty"`
	// Reason of an outcome.
	Reason v1alpha1.FallbackReason `json:"reason,omitempty"`
}

// recordOf reads the record of a pod; false where there is none that can be read.
func recordOf(pod *corev1.Pod) (Record, bool) {
	var r Record
	text, ok := pod.Annotations[RecordAnnotation]
	if !ok || json.Unmarshal([]byte(text), &r) != nil {
		return Record{}, false
	}
	return r, true
}

func (r Record) encode() (string, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("writing the record of a resize, %w", err)
	}
	return string(b), nil
}

func (r Record) before() (map[string]corev1.ResourceRequirements, error) {
	if r.Before == "" {
		return nil, nil
	}
	return policy.ParseOriginals(r.Before)
}
