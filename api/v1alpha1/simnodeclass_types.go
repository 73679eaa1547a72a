package v1alpha1

import (
	"encoding/json"
	"fmt"
	"hash/fnv"

	"github.com/awslabs/operatorpkg/status"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// SimNodeClassHashAnnotation on a SimNodeClass is the hash of its spec, and on a NodeClaim the hash of the spec
	// it was launched from: where they differ, the node has drifted.
	SimNodeClassHashAnnotation = GroupName + "/simnodeclass-hash"
	// SimNodeClassHashVersionAnnotation is the version of the hash function. Hashes of different versions are not
	// compared: an upgrade that changes the function must not replace every node.
	SimNodeClassHashVersionAnnotation = GroupName + "/simnodeclass-hash-version"
	// SimNodeClassHashVersion is the version of SimNodeClass.Hash.
	SimNodeClassHashVersion = "v1"
)

// SimNodeClassSpec says how the simulated cloud makes a node.
type SimNodeClassSpec struct {
	// Region must be the region the simulated cloud runs in. Empty is that region.
	// +optional
	Region string `json:"region,omitempty"`
	// Zones limits the zones nodes are launched in. Empty allows all zones of the region.
	// +kubebuilder:validation:MaxItems=26
	// +listType=set
	// +optional
	Zones []string `json:"zones,omitempty"`
	// InstanceFamilies limits the families of instance types, e.g. m5. Empty allows all.
	// +kubebuilder:validation:MaxItems=200
	// +listType=set
	// +optional
	InstanceFamilies []string `json:"instanceFamilies,omitempty"`
	// Image names what the machines boot. The simulation boots nothing, but another image is drift.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Image string `json:"image,omitempty"`
	// MaxPods overrides how many pods a node takes. Empty is what the type's network interfaces allow.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxPods *int32 `json:"maxPods,omitempty"`
	// EphemeralStorage is the size of the root volume. Empty is 20Gi.
	// +optional
	EphemeralStorage *resource.Quantity `json:"ephemeralStorage,omitempty"`
	// Tags are put on every instance.
	// +kubebuilder:validation:MaxProperties=40
	// +optional
	Tags map[string]string `json:"tags,omitempty"`
}

// SimNodeClassStatus is what the simulated cloud says about the spec.
type SimNodeClassStatus struct {
	// Conditions: Ready, which is false with a message naming the field where the cloud does not know what it names.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []status.Condition `json:"conditions,omitempty"`
}

// SimNodeClass is the node class of the simulated cloud: what Karpenter's NodePools refer to.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories={supercargo,karpenter},shortName={simnc,simncs}
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SimNodeClass struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec SimNodeClassSpec `json:"spec,omitempty"`
	// +optional
	Status SimNodeClassStatus `json:"status,omitempty"`
}

// SimNodeClassList is a list of SimNodeClasses.
// +kubebuilder:object:root=true
type SimNodeClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []SimNodeClass `json:"items"`
}

func init() { register(&SimNodeClass{}, &SimNodeClassList{}) }

// Hash is a digest of the spec. Fields that are not set do not enter it, so that a new optional field changes no hash.
// Zones and InstanceFamilies are left out: they limit what may be bought, and Karpenter itself sees when a node is no
// longer among it.
func (in *SimNodeClass) Hash() string {
	spec := in.Spec.DeepCopy()
	spec.Zones, spec.InstanceFamilies = nil, nil
	h := fnv.New64a()
	// A spec of strings, numbers and quantities always marshals, with its maps in key order; a hash never fails.
	if err := json.NewEncoder(h).Encode(spec); err != nil {
		return ""
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// StatusConditions returns the conditions to read and set.
func (in *SimNodeClass) StatusConditions(opts ...status.ForOption) status.ConditionSet {
	return status.NewReadyConditions().For(in, opts...)
}

// GetConditions returns the conditions as they are stored.
func (in *SimNodeClass) GetConditions() []status.Condition { return in.Status.Conditions }

// SetConditions stores the conditions.
func (in *SimNodeClass) SetConditions(conditions []status.Condition) {
	in.Status.Conditions = conditions
}
