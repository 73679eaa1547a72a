package packing

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// attachPrefix begins the names under which an Allocatable list limits the volumes
// of one driver.
const attachPrefix = "attachable-volumes-csi-"

// AttachableVolumes is the key under which the Allocatable of a Node or an
// InstanceType says how many volumes of a CSI driver may be attached, as CSINode does
// by spec.drivers[].allocatable.count. A list without the key sets no limit.
func AttachableVolumes(driver string) corev1.ResourceName {
	return corev1.ResourceName(attachPrefix + driver)
}

// attachedBy is the driver of an attach limit's key.
func attachedBy(name corev1.ResourceName) (driver string, ok bool) {
	return strings.CutPrefix(string(name), attachPrefix)
}

// VolumeTopologyKey is the node label to which the key of a volume's node affinity, or of
// a StorageClass's allowed topologies, refers: drivers know the zone by keys of their
// own, which a node gets only when the driver runs there.
func VolumeTopologyKey(key string) string {
	switch key {
	case "topology.ebs.csi.aws.com/zone", "topology.gke.io/zone", "topology.disk.csi.azure.com/zone", corev1.LabelFailureDomainBetaZone:
		return corev1.LabelTopologyZone
	}
	return key
}

// Volume is a volume that has to be attached to the node of a pod that uses it.
type Volume struct {
	// Driver is the CSI driver, such as ebs.csi.aws.com.
	Driver string
	// ID tells the volumes of a driver apart: a volume handle, or a claim's namespace
	// and name. A volume that several pods of a node use counts once there.
	ID string
	// Exclusive volumes (ReadWriteOncePod) are for one pod at a time, wherever it is.
	Exclusive bool
}

// volumeKey identifies a volume.
type volumeKey struct{ driver, id string }

func (v *Volume) key() volumeKey { return volumeKey{v.Driver, v.ID} }

// sharedVolume is a volume that pods of more than one class, or pods that run, may
// use: it takes of its dim only where it is not attached yet.
type sharedVolume struct {
	id  int32
	dim int
}

// volumeUse is what is known of the volumes of a problem's pods to place.
type volumeUse struct {
	// pods counts the pods to place that use a volume, and the nodes that have it.
	pods map[volumeKey]int
	// ids numbers the volumes with more than one user.
	ids map[volumeKey]int32
	// total counts the volumes of each driver, with each use counted.
	total map[string]int64
	// blocked pods want a volume that is another's alone.
	blocked map[*corev1.Pod]bool
}

// newVolumeUse reads the volumes of the pods to place; nil when there are none.
func newVolumeUse(p *Problem) *volumeUse {
	if !slices.ContainsFunc(p.Pods, func(p Pod) bool { return len(p.Volumes) > 0 }) {
		return nil
	}
	v := &volumeUse{pods: map[volumeKey]int{}, ids: map[volumeKey]int32{}, total: map[string]int64{}, blocked: map[*corev1.Pod]bool{}}
	for i := range p.Pods {
		for _, vol := range distinct(p.Pods[i].Volumes) {
			v.pods[vol.key()]++
			v.total[vol.Driver]++
		}
	}
	held := map[volumeKey]bool{}
	for i := range p.Nodes {
		for _, vol := range p.residents(i).volumes {
			if _, wanted := v.pods[vol.key()]; wanted {
				v.pods[vol.key()]++
			}
			held[vol.key()] = true
		}
	}
	v.exclude(p, held)
	for i := range p.Pods {
		for _, vol := range p.Pods[i].Volumes {
			if _, ok := v.ids[vol.key()]; !ok && v.pods[vol.key()] > 1 {
				v.ids[vol.key()] = int32(len(v.ids))
			}
		}
	}
	return v
}

// exclude finds the pods that must wait for a volume that another pod has, or that a
// pod of higher priority, or else an earlier one, will have.
func (v *volumeUse) exclude(p *Problem, held map[volumeKey]bool) {
	order := make([]int, 0, len(p.Pods))
	for i := range p.Pods {
		if slices.ContainsFunc(p.Pods[i].Volumes, func(vol Volume) bool { return vol.Exclusive }) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(priorityOf(p.Pods[b].Pod), priorityOf(p.Pods[a].Pod)) })
	for _, i := range order {
		free := !p.yielding[i]
		for _, vol := range p.Pods[i].Volumes {
			free = free && !(vol.Exclusive && held[vol.key()])
		}
		if !free {
			v.blocked[p.Pods[i].Pod] = true
			continue
		}
		for _, vol := range p.Pods[i].Volumes {
			held[vol.key()] = true
		}
	}
}

func priorityOf(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// yield finds pods without a place that keep others from volumes of which only one pod
// may have each.
func (p *Problem) yield(plan *Plan) map[int]bool {
	waits, out := false, map[int]bool{}
	for i := range plan.Unplaced {
		u := &plan.Unplaced[i]
		exclusive := slices.ContainsFunc(p.Pods[u.Pod].Volumes, func(v Volume) bool { return v.Exclusive })
		switch {
		case !exclusive || len(u.Reasons) == 0:
		case slices.ContainsFunc(u.Reasons, func(r Reason) bool { return r.Rule == RuleVolumeInUse }):
			waits = true
		default:
			out[u.Pod] = true
		}
	}
	if !waits {
		return nil
	}
	return out
}

// distinct drops repeated volumes, and orders what is left.
func distinct(list []Volume) []Volume {
	if len(list) < 2 {
		return list
	}
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b Volume) int { return cmp.Or(cmp.Compare(a.Driver, b.Driver), cmp.Compare(a.ID, b.ID)) })
	return slices.CompactFunc(out, func(a, b Volume) bool { return a.key() == b.key() })
}

// fingerprint appends what of a pod's volumes matters to its packing: their number per
// driver, and which they are where others use them too.
func (f *fingerprinter) volumes(p *Pod) {
	if f.vols == nil || len(p.Volumes) == 0 {
		return
	}
	if f.vols.blocked[p.Pod] {
		f.str("blocked")
	}
	for _, vol := range distinct(p.Volumes) {
		f.str(vol.Driver)
		if id, shared := f.vols.ids[vol.key()]; shared {
			f.num(int64(id))
		}
	}
	f.sep()
}

// volumes sets what a class asks for to be attached.
func (c *compiled) volumes(cl *class) {
	if c.vols == nil {
		return
	}
	cl.blocked = c.vols.blocked[cl.rep.Pod]
	for _, vol := range distinct(cl.rep.Volumes) {
		dim := c.d.index[AttachableVolumes(vol.Driver)]
		if id, shared := c.vols.ids[vol.key()]; shared {
			cl.shared = append(cl.shared, sharedVolume{id, dim})
		} else {
			cl.req[dim]++
		}
	}
}

// asks is what the first pod of a class takes of a slot, shared volumes that are not there
// yet included.
func (cl *class) asks(s *slot) vec {
	if len(cl.shared) == 0 {
		return cl.req
	}
	out := cl.req.clone()
	for _, v := range cl.shared {
		if !slices.Contains(s.volumes, v.id) {
			out[v.dim]++
		}
	}
	return out
}

// attached subtracts the volumes on an existing node from what it may still attach,
// and notes those that pods to place use too.
func (c *compiled) attached(s *slot) {
	if c.vols == nil {
		return
	}
	n := &c.p.Nodes[s.node]
	residents := distinct(c.p.residents(s.node).volumes)
	for _, vol := range residents {
		if id, shared := c.vols.ids[vol.key()]; shared {
			s.volumes = append(s.volumes, id)
		}
	}
	// What is attached without a pod counts beside what a pod brings, even if it is
	// the same volume: so does kube-scheduler.
	for _, vol := range distinct(slices.Concat(residents, n.Attached)) {
		name := AttachableVolumes(vol.Driver)
		if _, limited := n.Allocatable[name]; !limited {
			continue
		}
		if dim, ok := c.d.index[name]; ok {
			s.free[dim]--
		}
	}
}

// attach lowers the number of copies of a unit with shared volumes that a bin has room
// for, where their volumes have yet to be attached.
func (b *bin) attach(u *unit, n int) int {
	for i, v := range u.shared {
		if slices.Contains(b.volumes, v.id) {
			continue
		}
		need := int64(1) // of this dim, with those before
		for _, w := range u.shared[:i] {
			if w.dim == v.dim && !slices.Contains(b.volumes, w.id) {
				need++
			}
		}
		free := b.free[v.dim] - need
		if free < 0 {
			return 0
		}
		if x := u.req[v.dim]; x > 0 {
			n = min(n, int(free/x))
		}
	}
	return n
}
