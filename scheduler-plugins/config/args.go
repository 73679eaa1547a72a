// Package config holds the arguments of the scheduler plugins, their defaults and their validation, and the scheduler
// configuration that Supercargo ships.
package config

import (
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"supercargo.dev/api/v1alpha1"
)

// DemandKind says which figure of a pod's demand is scored.
type DemandKind string

const (
	// DemandExpected scores what pods will ask for once recommendations are applied.
	DemandExpected DemandKind = "Expected"
	// DemandEnforced scores what pods ask for now.
	DemandEnforced DemandKind = "Enforced"
)

// ResourceWeight is how much one resource counts when a node's free room is measured.
type ResourceWeight struct {
	// Name of a resource that nodes offer.
	Name corev1.ResourceName `json:"name"`
	// Weight relative to the other resources, 1 to 100.
	Weight int64 `json:"weight"`
}

// RightsizedPackingArgs configures RightsizedPacking.
type RightsizedPackingArgs struct {
	metav1.TypeMeta `json:",inline"`

	// Resources that are packed. Default cpu and memory, equally.
	Resources []ResourceWeight `json:"resources,omitempty"`
	// Demand to score with, Expected (default) or Enforced. Enforced is for comparison: it ignores recommendations.
	Demand DemandKind `json:"demand,omitempty"`
	// StayPercent is how much of the score goes to nodes that are hard to remove, the rest to full ones. 0 to 100, default 30.
	StayPercent *int32 `json:"stayPercent,omitempty"`
	// ExpiresWithin marks a node as about to go when its NodeClaim expires within it. Default 1h.
	ExpiresWithin *metav1.Duration `json:"expiresWithin,omitempty"`
}

// SpotPreferenceArgs configures SpotPreference.
type SpotPreferenceArgs struct {
	metav1.TypeMeta `json:",inline"`

	// DefaultTolerance holds for pods that no annotation and no PlacementPolicy speaks of. Default tolerate.
	DefaultTolerance v1alpha1.SpotTolerance `json:"defaultTolerance,omitempty"`
	// InterruptionLoss is how much work of a pod an interruption costs, as time on the node. Default 30m.
	InterruptionLoss *metav1.Duration `json:"interruptionLoss,omitempty"`
	// PoolSpreadPercent is by how much the cost of a spot pool (instance type and zone) is raised for a workload whose spot
	// replicas are all in that pool already. 0 to 1000, default 25.
	PoolSpreadPercent *int32 `json:"poolSpreadPercent,omitempty"`
}

// PlannedNodeArgs configures PlannedNode.
type PlannedNodeArgs struct {
	metav1.TypeMeta `json:",inline"`

	// MaxWait is how long after a node was bought for a pod the pod may be kept waiting for it. Default 5m. 0 holds no pod, and keeps
	// no place for pods that a consolidation moves either.
	MaxWait *metav1.Duration `json:"maxWait,omitempty"`
}

// SetDefaults fills in what is left out.
func (a *PlannedNodeArgs) SetDefaults() {
	if a.MaxWait == nil {
		a.MaxWait = &metav1.Duration{Duration: 5 * time.Minute}
	}
}

// Validate returns every mistake in the arguments.
func (a *PlannedNodeArgs) Validate() error {
	if a.MaxWait.Duration < 0 || a.MaxWait.Duration > time.Hour {
		return field.Invalid(field.NewPath("maxWait"), a.MaxWait.Duration.String(), "must be from 0 to 1h")
	}
	return nil
}

// Decode reads the arguments that a scheduler configuration gives to a plugin into T and fills in defaults. A field that T
// does not have is an error: a misspelt safety setting must not be silently ignored.
func Decode[T any, P interface {
	*T
	SetDefaults()
	Validate() error
}](object runtime.Object) (*T, error) {
	args := P(new(T))
	switch o := object.(type) {
	case nil:
	case *runtime.Unknown:
		switch o.ContentType {
		case "", runtime.ContentTypeJSON, runtime.ContentTypeYAML:
		default:
			return nil, fmt.Errorf("decoding plugin arguments, content type %q is not supported", o.ContentType)
		}
		if err := yaml.UnmarshalStrict(o.Raw, args); err != nil {
			return nil, fmt.Errorf("decoding plugin arguments, %w", err)
		}
	default:
		return nil, fmt.Errorf("decoding plugin arguments, got %T, want *runtime.Unknown", object)
	}
	args.SetDefaults()
	if err := args.Validate(); err != nil {
		return nil, fmt.Errorf("validating plugin arguments, %w", err)
	}
	return args, nil
}

// SetDefaults fills in what is left out.
func (a *RightsizedPackingArgs) SetDefaults() {
	if len(a.Resources) == 0 {
		a.Resources = []ResourceWeight{{Name: corev1.ResourceCPU, Weight: 1}, {Name: corev1.ResourceMemory, Weight: 1}}
	}
	if a.Demand == "" {
		a.Demand = DemandExpected
	}
	if a.StayPercent == nil {
		a.StayPercent = ptr.To[int32](30)
	}
	if a.ExpiresWithin == nil {
		a.ExpiresWithin = &metav1.Duration{Duration: time.Hour}
	}
}

// Validate returns every mistake in the arguments.
func (a *RightsizedPackingArgs) Validate() error {
	var errs field.ErrorList
	seen := sets.New[corev1.ResourceName]()
	for i, r := range a.Resources {
		path := field.NewPath("resources").Index(i)
		switch {
		case r.Name == "":
			errs = append(errs, field.Required(path.Child("name"), "a resource that nodes offer"))
		case r.Name == corev1.ResourcePods:
			errs = append(errs, field.NotSupported(path.Child("name"), r.Name, []string{"any resource but pods"}))
		case seen.Has(r.Name):
			errs = append(errs, field.Duplicate(path.Child("name"), r.Name))
		}
		seen.Insert(r.Name)
		if r.Weight < 1 || r.Weight > 100 {
			errs = append(errs, field.Invalid(path.Child("weight"), r.Weight, "must be from 1 to 100"))
		}
	}
	if a.Demand != DemandExpected && a.Demand != DemandEnforced {
		errs = append(errs, field.NotSupported(field.NewPath("demand"), a.Demand, []DemandKind{DemandExpected, DemandEnforced}))
	}
	if *a.StayPercent < 0 || *a.StayPercent > 100 {
		errs = append(errs, field.Invalid(field.NewPath("stayPercent"), *a.StayPercent, "must be from 0 to 100"))
	}
	if a.ExpiresWithin.Duration < 0 {
		errs = append(errs, field.Invalid(field.NewPath("expiresWithin"), a.ExpiresWithin.Duration.String(), "must not be negative"))
	}
	return errs.ToAggregate()
}

// SetDefaults fills in what is left out.
func (a *SpotPreferenceArgs) SetDefaults() {
	if a.DefaultTolerance == "" {
		a.DefaultTolerance = v1alpha1.SpotTolerate
	}
	if a.InterruptionLoss == nil {
		a.InterruptionLoss = &metav1.Duration{Duration: 30 * time.Minute}
	}
	if a.PoolSpreadPercent == nil {
		a.PoolSpreadPercent = ptr.To[int32](25)
	}
}

// Validate returns every mistake in the arguments.
func (a *SpotPreferenceArgs) Validate() error {
	var errs field.ErrorList
	tolerances := []v1alpha1.SpotTolerance{v1alpha1.SpotNever, v1alpha1.SpotTolerate, v1alpha1.SpotPrefer, v1alpha1.SpotRequire}
	if !sets.New(tolerances...).Has(a.DefaultTolerance) {
		errs = append(errs, field.NotSupported(field.NewPath("defaultTolerance"), a.DefaultTolerance, tolerances))
	}
	if loss := a.InterruptionLoss.Hours(); loss < 0 || loss > 24*7 || math.IsNaN(loss) {
		errs = append(errs, field.Invalid(field.NewPath("interruptionLoss"), a.InterruptionLoss.Duration.String(), "must be from 0 to 168h"))
	}
	if *a.PoolSpreadPercent < 0 || *a.PoolSpreadPercent > 1000 {
		errs = append(errs, field.Invalid(field.NewPath("poolSpreadPercent"), *a.PoolSpreadPercent, "must be from 0 to 1000"))
	}
	return errs.ToAggregate()
}
