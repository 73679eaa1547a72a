package inprocess

import (
	"maps"
	"time"

	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/cluster/kubelet"
)

// machines boots the cloud's instances as machines of the fleet. A node has the name of its instance.
type machines struct {
	fleet      *kubelet.Fleet
	startDelay time.Duration
}

// Boot implements sim.Machines.
func (m machines) Boot(i sim.Instance) error {
	return m.fleet.Boot(kubelet.NodeSpec{
		Name:              i.ID,
		ProviderID:        i.ProviderID,
		Labels:            maps.Clone(i.Labels),
		Taints:            i.Taints,
		Capacity:          i.Capacity,
		Allocatable:       i.Allocatable,
		RegistrationDelay: i.RegistrationDelay.Duration,
		StartDelay:        m.startDelay,
	})
}

// Shutdown implements sim.Machines.
func (m machines) Shutdown(id string) { m.fleet.Shutdown(id) }
