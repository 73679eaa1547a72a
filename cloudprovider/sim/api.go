package sim

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/cloudprovider"
	"supercargo.dev/cloudprovider/catalog"
)

const (
	// Spot capacity is cheaper and may be taken back.
	Spot = "spot"
	// OnDemand capacity has a fixed price and stays.
	OnDemand = "on-demand"
)

// Region is what the cloud offers: GET /v1/types.
type Region struct {
	Name  string         `json:"name"`
	Zones []string       `json:"zones"`
	Types []InstanceType `json:"types"`
}

// InstanceType is the hardware of a type and where it is offered.
type InstanceType struct {
	Name           string       `json:"name"`
	Arch           string       `json:"arch"`
	VCPU           int          `json:"vcpu"`
	MemoryMiB      int          `json:"memoryMiB"`
	GPUs           catalog.GPUs `json:"gpus,omitzero"`
	ENIs           int          `json:"enis"`
	IPsPerENI      int          `json:"ipsPerENI"`
	LocalStorageGB int          `json:"localStorageGB,omitempty"`
	NetworkMbps    int          `json:"networkMbps,omitempty"`
	Hypervisor     string       `json:"hypervisor,omitempty"`
	BareMetal      bool         `json:"bareMetal,omitempty"`
	// Zones and CapacityTypes it can be had in, when there is capacity.
	Zones         []string `json:"zones"`
	CapacityTypes []string `json:"capacityTypes"`
}

// Prices is the market now: GET /v1/prices. What is unknown is absent.
type Prices struct {
	// At is when these prices were stated.
	At time.Time `json:"at"`
	// OnDemand is USD per hour by instance type.
	OnDemand map[string]float64 `json:"onDemand"`
	// Spot is USD per hour by instance type and zone.
	Spot map[string]map[string]float64 `json:"spot"`
	// Risk is interruptions per hour of spot instances by type.
	Risk map[string]float64 `json:"risk"`
}

// Alternative is an offering that would do.
type Alternative struct {
	InstanceType string `json:"instanceType"`
	Zone         string `json:"zone"`
	CapacityType string `json:"capacityType"`
	// MaxPrice refuses spot capacity that costs more, in USD per hour. 0 accepts any price.
	MaxPrice float64 `json:"maxPrice,omitempty"`
}

// CreateRequest asks for one instance.
type CreateRequest struct {
	// ClientToken identifies the request; a repetition returns the same instance.
	ClientToken string `json:"clientToken"`
	// Alternatives are tried in order.
	Alternatives []Alternative `json:"alternatives"`
	// Labels and Taints are those the node registers with, beside what the cloud adds.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
	// Tags belong to the instance.
	Tags map[string]string `json:"tags,omitempty"`
	// Image is what the machine boots.
	Image string `json:"image,omitempty"`
	// MaxPods overrides the number of pods; 0 is what the network interfaces allow.
	MaxPods int `json:"maxPods,omitempty"`
	// EphemeralStorage is the size of the root volume in bytes; 0 is 20 GiB.
	EphemeralStorage int64 `json:"ephemeralStorage,omitempty"`
}

// Created is the answer to a CreateRequest.
type Created struct {
	Instance Instance `json:"instance"`
	// Skipped are the alternatives before the one that was had.
	Skipped []Skipped `json:"skipped,omitempty"`
}

// Skipped is an alternative that could not be had.
type Skipped struct {
	Alternative
	// Code says why: one of the Code constants.
	Code string `json:"code"`
}

// State is where an instance is in its life.
type State string

const (
	// Running instances are billed.
	Running State = "running"
	// ShuttingDown instances are no longer billed and not yet gone.
	ShuttingDown State = "shutting-down"
	// Terminated instances are gone.
	Terminated State = "terminated"
)

// Instance is one machine.
type Instance struct {
	ID           string `json:"id"`
	ProviderID   string `json:"providerID"`
	InstanceType string `json:"instanceType"`
	Region       string `json:"region"`
	Zone         string `json:"zone"`
	CapacityType string `json:"capacityType"`
	Arch         string `json:"arch"`
	State        State  `json:"state"`
	// Reason says why the instance is no longer running.
	Reason       string     `json:"reason,omitempty"`
	LaunchedAt   time.Time  `json:"launchedAt"`
	TerminatedAt *time.Time `json:"terminatedAt,omitempty"`

	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
	Image  string            `json:"image,omitempty"`

	Capacity    corev1.ResourceList `json:"capacity"`
	Allocatable corev1.ResourceList `json:"allocatable"`
	// RegistrationDelay is how long the machine takes from launch until its node registers.
	RegistrationDelay metav1.Duration `json:"registrationDelay,omitzero"`
}

// Notice is a numbered cloudprovider.Notice.
type Notice struct {
	// Seq grows by one with every notice.
	Seq        int64                    `json:"seq"`
	InstanceID string                   `json:"instanceID"`
	ProviderID string                   `json:"providerID"`
	Kind       cloudprovider.NoticeKind `json:"kind"`
	At         time.Time                `json:"at"`
	Deadline   time.Time                `json:"deadline,omitzero"`
}

// NoticePage is GET /v1/notices.
type NoticePage struct {
	Notices []Notice `json:"notices"`
	// Next is what to send as after to get the following page.
	Next int64 `json:"next"`
}

// Billing is GET /v1/billing: what the instances cost, by the second.
type Billing struct {
	At time.Time `json:"at"`
	// TotalUSD is what was spent so far on all instances, terminated ones included.
	TotalUSD float64 `json:"totalUSD"`
	// USDPerHour is what the running instances cost now.
	USDPerHour float64 `json:"usdPerHour"`
	Instances  []Bill  `json:"instances"`
}

// Bill is the billing of one instance.
type Bill struct {
	InstanceID   string     `json:"instanceID"`
	ProviderID   string     `json:"providerID"`
	InstanceType string     `json:"instanceType"`
	Zone         string     `json:"zone"`
	CapacityType string     `json:"capacityType"`
	Start        time.Time  `json:"start"`
	End          *time.Time `json:"end,omitempty"`
	SpentUSD     float64    `json:"spentUSD"`
	// USDPerHour is the price now, 0 once the instance has ended.
	USDPerHour float64      `json:"usdPerHour"`
	History    []PricePoint `json:"history,omitempty"`
}

// PricePoint is a price and since when it applied.
type PricePoint struct {
	At         time.Time `json:"at"`
	USDPerHour float64   `json:"usdPerHour"`
}

// Codes of errors and of skipped alternatives.
const (
	// CodeInsufficientCapacity says that the pool is empty; it may be full again later.
	CodeInsufficientCapacity = "InsufficientCapacity"
	// CodeQuotaExceeded says that the account may not run more vCPUs of the capacity type.
	CodeQuotaExceeded = "QuotaExceeded"
	// CodeUnsupported says that the zone does not offer the type at this capacity type.
	CodeUnsupported = "Unsupported"
	// CodeMaxPrice says that spot capacity costs more than the request allows.
	CodeMaxPrice = "SpotMaxPriceTooLow"
	// CodeInvalid says that the request itself is wrong; repeating it does not help.
	CodeInvalid = "InvalidParameter"
	// CodeNotFound says that there is no such instance, or none to be seen yet.
	CodeNotFound = "NotFound"
	// CodeThrottled asks to come back later.
	CodeThrottled = "RequestLimitExceeded"
	// CodeInternal says that the cloud failed.
	CodeInternal = "InternalError"
)

// apiError is the body of every error response.
type apiError struct {
	Status  int       `json:"-"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Skipped []Skipped `json:"skipped,omitempty"`

	retryAfter time.Duration
}

// Error makes apiError an error.
func (e *apiError) Error() string { return e.Code + ": " + e.Message }
