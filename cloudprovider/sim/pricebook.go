package sim

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/cloudprovider"
	"supercargo.dev/cloudprovider/catalog"
)

const (
	// pricesTTL is how old prices may get before they are asked for again.
	pricesTTL = 30 * time.Second
	// refreshPause is the time between attempts while the cloud does not answer.
	refreshPause = 5 * time.Second
	// refreshTimeout bounds an attempt when older prices are at hand.
	refreshTimeout = 3 * time.Second
	// typesTTL is how old the description of the region may get.
	typesTTL = 10 * time.Minute

	// sourceLive names prices that the cloud stated, sourceCatalog those of the embedded list.
	sourceLive, sourceCatalog = "sim", "catalog"
)

// cached holds the last answer of the cloud. When it is too old, one caller asks again while the others go on with what
// there is; only the first callers of all wait.
type cached[T any] struct {
	clock clock.Clock
	ttl   time.Duration
	fetch func(context.Context) (*T, error)

	fetching sync.Mutex
	mu       sync.Mutex
	value    *T
	due      time.Time
}

// get returns the answer, which may be old; an error only when there never was one.
func (c *cached[T]) get(ctx context.Context) (*T, error) {
	value, fresh := c.peek()
	if fresh {
		return value, nil
	}
	if value == nil {
		c.fetching.Lock()
	} else if !c.fetching.TryLock() {
		return value, nil
	}
	defer c.fetching.Unlock()
	if value, fresh = c.peek(); fresh {
		return value, nil
	}
	if value != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, refreshTimeout)
		defer cancel()
	}
	fetched, err := c.fetch(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.due = c.clock.Now().Add(refreshPause)
		if c.value == nil {
			return nil, err
		}
		log.FromContext(ctx).Error(err, "the cloud does not answer, going on with older data")
		return c.value, nil
	}
	c.value, c.due = fetched, c.clock.Now().Add(c.ttl)
	return fetched, nil
}

func (c *cached[T]) peek() (*T, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value, c.value != nil && c.clock.Now().Before(c.due)
}

// lastPrices returns what is at hand without asking.
func (c *CloudProvider) lastPrices() *Prices {
	p, _ := c.prices.peek()
	return p
}

// Price implements cloudprovider.Market: the cloud's last statement, or for on-demand capacity, whose price is a list
// price, the embedded catalog's, which says so in its source and age. An unknown spot price stays unknown.
func (c *CloudProvider) Price(ctx context.Context, o cloudprovider.Offering) (cloudprovider.Price, bool) {
	prices, err := c.prices.get(ctx)
	if err != nil {
		log.FromContext(ctx).V(1).Info("no prices from the cloud", "error", err.Error())
		prices = &Prices{}
	}
	return priceOf(prices, c.list(ctx), o)
}

// Risk implements cloudprovider.Market.
func (c *CloudProvider) Risk(ctx context.Context, o cloudprovider.Offering) (float64, bool) {
	if o.CapacityType != Spot {
		return 0, true
	}
	prices, err := c.prices.get(ctx)
	if err != nil {
		return 0, false
	}
	perHour, ok := prices.Risk[o.InstanceType]
	return perHour, ok
}

func priceOf(p *Prices, list *catalog.Region, o cloudprovider.Offering) (cloudprovider.Price, bool) {
	price := 0.0
	switch o.CapacityType {
	case Spot:
		price = p.Spot[o.InstanceType][o.Zone]
	case OnDemand:
		price = p.OnDemand[o.InstanceType]
	}
	if price > 0 {
		return cloudprovider.Price{USDPerHour: price, At: p.At, Source: sourceLive}, true
	}
	if o.CapacityType == OnDemand && list != nil {
		if t, ok := list.Type(o.InstanceType); ok && t.OnDemand > 0 {
			return cloudprovider.Price{USDPerHour: t.OnDemand, At: list.OnDemandAt, Source: sourceCatalog}, true
		}
	}
	return cloudprovider.Price{}, false
}

// list is the catalog's region; nil while the cloud has not said which one it is.
func (c *CloudProvider) list(ctx context.Context) *catalog.Region {
	region, err := c.region.get(ctx)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.catalog != nil {
		return c.catalog
	}
	list, err := catalog.Load(region.Name)
	if err != nil {
		log.FromContext(ctx).Error(err, "no list prices")
		list = &catalog.Region{Name: region.Name}
	}
	c.catalog = list
	return list
}
