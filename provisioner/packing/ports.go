package packing

import corev1 "k8s.io/api/core/v1"

// hostPort is a port of the node that a pod takes.
type hostPort struct {
	ip       string // empty means every address
	protocol corev1.Protocol
	port     int32
}

func (p hostPort) conflicts(o hostPort) bool {
	return p.port == o.port && p.protocol == o.protocol && (p.ip == o.ip || p.ip == "" || o.ip == "")
}

func portsConflict(a, b []hostPort) bool {
	for _, x := range a {
		for _, y := range b {
			if x.conflicts(y) {
				return true
			}
		}
	}
	return false
}

// hostPorts are the ports kube-scheduler's NodePorts plugin counts: those of
// containers and of restartable init containers.
func hostPorts(p *corev1.Pod) []hostPort {
	var out []hostPort
	take := func(c *corev1.Container) {
		for i := range c.Ports {
			if c.Ports[i].HostPort <= 0 {
				continue
			}
			hp := hostPort{ip: c.Ports[i].HostIP, protocol: c.Ports[i].Protocol, port: c.Ports[i].HostPort}
			if hp.ip == "0.0.0.0" {
				hp.ip = ""
			}
			if hp.protocol == "" {
				hp.protocol = corev1.ProtocolTCP
			}
			out = append(out, hp)
		}
	}
	for i := range p.Spec.Containers {
		take(&p.Spec.Containers[i])
	}
	for i := range p.Spec.InitContainers {
		if r := p.Spec.InitContainers[i].RestartPolicy; r != nil && *r == corev1.ContainerRestartPolicyAlways {
			take(&p.Spec.InitContainers[i])
		}
	}
	return out
}
