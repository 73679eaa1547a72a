// Package cloudprovider is what Supercargo needs of a cloud beyond Karpenter's CloudProvider: prices with their age
// and source, the risk of interruption, and the stream of interruption notices.
//
// A cloud implements Karpenter's cloudprovider.CloudProvider, Market and Interruptions, usually in one type:
// cloudprovider/sim, cloudprovider/aws and cloudprovider/gcp do. What is bought and when is decided elsewhere.
package cloudprovider

import (
	"context"
	"time"
)

// Offering is something that can be bought: a machine type in a zone at a capacity type.
type Offering struct {
	// InstanceType is the vendor's name of the machine type, e.g. m5.large.
	InstanceType string
	// Zone is the name of the zone, e.g. us-east-1a.
	Zone string
	// CapacityType is spot, on-demand or reserved.
	CapacityType string
}

// Price is what an offering costs, and how far that can be trusted.
type Price struct {
	// USDPerHour is greater than zero.
	USDPerHour float64
	// At is when the source stated the price.
	At time.Time
	// Source names who stated it, e.g. "sim" or "catalog"; shown to users beside the age.
	Source string
}

// Age is how long ago the price was stated.
func (p Price) Age(now time.Time) time.Duration { return now.Sub(p.At) }

// Market knows prices and risks. Both are answered from memory; the implementation refreshes in the background or
// when what it holds is too old.
type Market interface {
	// Price returns false when no price is known. An unknown price is unknown, never zero.
	Price(ctx context.Context, o Offering) (Price, bool)
	// Risk is the rate of interruptions per running hour of the offering. It returns false when it is unknown; for
	// capacity that is never interrupted it returns 0 and true.
	Risk(ctx context.Context, o Offering) (perHour float64, ok bool)
}

// NoticeKind says what a notice announces.
type NoticeKind string

const (
	// SpotInterruption announces that spot capacity is taken back at the deadline.
	SpotInterruption NoticeKind = "SpotInterruption"
	// Rebalance says that an interruption has become more likely. It has no deadline.
	Rebalance NoticeKind = "Rebalance"
	// Terminated says that the instance is gone.
	Terminated NoticeKind = "Terminated"
	// Maintenance announces that the vendor stops or restarts the machine at the deadline.
	Maintenance NoticeKind = "Maintenance"
)

// Notice is what the cloud says about one instance.
type Notice struct {
	// ProviderID is the instance, as in the spec of its Node.
	ProviderID string
	// Kind says what is announced.
	Kind NoticeKind
	// At is when the cloud said so.
	At time.Time
	// Deadline is when it happens; zero where it has happened already or may never.
	Deadline time.Time
}

// Interruptions is the stream of notices of a cloud.
type Interruptions interface {
	// Notices returns the stream, which ends, closed, with the context. A notice may come more than once, also
	// again after a restart: consumers act on each notice idempotently. The error says that the stream could not be
	// opened at all; transient failures are retried within.
	Notices(ctx context.Context) (<-chan Notice, error)
}
