package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VPA is the part of a VerticalPodAutoscaler that says what it does. The fields are those of autoscaling.k8s.io/v1.
type VPA struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
	Spec       VPASpec           `json:"spec"`
	Status     json.RawMessage   `json:"status,omitempty"`
}

// VPASpec is the spec of a VerticalPodAutoscaler.
type VPASpec struct {
	TargetRef *struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Name       string `json:"name"`
	} `json:"targetRef"`
	UpdatePolicy *struct {
		UpdateMode           *string         `json:"updateMode"`
		MinReplicas          *int32          `json:"minReplicas"`
		EvictionRequirements json.RawMessage `json:"evictionRequirements"`
		EvictAfterOOMSeconds *int32          `json:"evictAfterOOMSeconds"`
	} `json:"updatePolicy"`
	ResourcePolicy *struct {
		ContainerPolicies []VPAContainerPolicy `json:"containerPolicies"`
	} `json:"resourcePolicy"`
	Recommenders []struct {
		Name string `json:"name"`
	} `json:"recommenders"`
	StartupBoost *VPAStartupBoost `json:"startupBoost"`
}

// VPAContainerPolicy is what a VerticalPodAutoscaler says of one container, or of all by the name *.
type VPAContainerPolicy struct {
	ContainerName                    string                `json:"containerName"`
	Mode                             *string               `json:"mode"`
	MinAllowed                       corev1.ResourceList   `json:"minAllowed"`
	MaxAllowed                       corev1.ResourceList   `json:"maxAllowed"`
	ControlledResources              []corev1.ResourceName `json:"controlledResources"`
	ControlledValues                 *string               `json:"controlledValues"`
	OOMBumpUpRatio                   *resource.Quantity    `json:"oomBumpUpRatio"`
	OOMMinBumpUp                     *resource.Quantity    `json:"oomMinBumpUp"`
	MemoryAggregationIntervalSeconds *int32                `json:"memoryAggregationIntervalSeconds"`
	MemoryAggregationIntervalCount   *int64                `json:"memoryAggregationIntervalCount"`
	StartupBoost                     *VPAStartupBoost      `json:"startupBoost"`
}

// VPAStartupBoost raises cpu while pods start.
type VPAStartupBoost struct {
	CPU *struct {
		Type            string             `json:"type"`
		Factor          *int32             `json:"factor"`
		Quantity        *resource.Quantity `json:"quantity"`
		DurationSeconds *int32             `json:"durationSeconds"`
	} `json:"cpu"`
}

// ReadVPAs reads what kubectl get verticalpodautoscalers -o json prints, one List or single objects, one after the other. Items of other
// kinds are left out. The error names the item.
func ReadVPAs(r io.Reader) ([]VPA, error) {
	decoder := json.NewDecoder(r)
	var out []VPA
	for document := 1; ; document++ {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("document %d is no JSON (kubectl get verticalpodautoscalers -A -o json prints it), %w", document, err)
		}
		var list struct {
			Items *[]json.RawMessage `json:"items"`
		}
		items := []json.RawMessage{raw}
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("document %d, %w", document, err)
		}
		if list.Items != nil {
			items = *list.Items
		}
		for i, item := range items {
			v, ok, err := readVPA(item)
			if err != nil {
				return nil, fmt.Errorf("document %d, item %d (%s), %w", document, i+1, v.key(), err)
			}
			if ok {
				out = append(out, v)
			}
		}
	}
}

func (v *VPA) key() string {
	return strings.TrimPrefix(v.Metadata.Namespace+"/"+v.Metadata.Name, "/")
}

func readVPA(data []byte) (v VPA, ok bool, err error) {
	var head struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return v, false, err
	}
	v.Metadata = head.Metadata
	if head.Kind != "VerticalPodAutoscaler" || !strings.HasPrefix(head.APIVersion, "autoscaling.k8s.io/") {
		return v, false, nil
	}
	// Strictly: a setting that is not known here must not be lost in silence.
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return v, false, fmt.Errorf("it has a setting that this version does not know, %w", err)
	}
	if v.Metadata.Name == "" {
		return v, false, errors.New("metadata.name is missing")
	}
	if v.Spec.TargetRef == nil || v.Spec.TargetRef.Kind == "" || v.Spec.TargetRef.Name == "" {
		return v, false, errors.New("spec.targetRef is missing")
	}
	return v, true, nil
}

// quantityFactor writes a quantity such as 1200m as the decimal 1.2.
func quantityFactor(q resource.Quantity) string {
	return strconv.FormatFloat(q.AsApproximateFloat64(), 'f', -1, 64)
}

func sortedNames(l corev1.ResourceList) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(l))
	for name := range l {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
