package consolidation

import "supercargo.dev/provisioner/packing"

// risks lists the offerings that may be interrupted, in interruptions per hour.
func risks(pools []packing.Pool) map[offeringKey]float64 {
	out := map[offeringKey]float64{}
	for i := range pools {
		for k := range pools[i].Types {
			it := &pools[i].Types[k]
			for _, o := range it.Offerings {
				if o.Risk > 0 {
					out[offeringKey{it.Name, o.Zone, o.CapacityType}] = o.Risk
				}
			}
		}
	}
	return out
}

// riskTaken is how many more interruptions per hour are to be expected with the nodes launched in place of a set; negative
// when fewer. What is no longer sold counts as not interrupted.
func (f *fleet) riskTaken(set []*member, launched []packing.PlannedNode) float64 {
	taken := 0.0
	for i := range launched {
		n := &launched[i]
		taken += f.risks[offeringKey{n.InstanceType, n.Zone, n.CapacityType}]
	}
	for _, m := range set {
		taken -= f.risks[offeringKey{m.InstanceType, m.Zone, m.CapacityType}]
	}
	return taken
}
