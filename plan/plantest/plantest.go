// Package plantest makes dumps of clusters that do not exist, as kubectl prints those that do. Tests and benchmarks read them.
package plantest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Options of a cluster.
type Options struct {
	// Nodes and Pods are their numbers, daemonset pods included.
	Nodes, Pods int
	// Seed of sizes and places.
	Seed uint64
	// Lean leaves out what a plan does not read, which is most of a real dump.
	Lean bool
}

// Write writes the cluster as kubectl get nodes,pods -A -o json does.
func Write(w io.Writer, o Options) error {
	g := &generator{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, 0xd0d0)), w: bufio.NewWriterSize(w, 1<<20),
		born: metav1.NewTime(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)),
	}
	g.text("{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n")
	for i := range o.Nodes {
		g.item(g.node(i))
	}
	for i := range o.Nodes {
		g.item(g.daemonPod("cni", i))
		g.item(g.daemonPod("logs", i))
	}
	g.workloads(o.Pods - 2*o.Nodes)
	g.text("\n    ],\n    \"kind\": \"List\",\n    \"metadata\": {\n        \"resourceVersion\": \"\"\n    }\n}\n")
	if g.err != nil {
		return g.err
	}
	return g.w.Flush()
}

type generator struct {
	o    Options
	rng  *rand.Rand
	w    *bufio.Writer
	born metav1.Time
	n    int
	err  error
}

func (g *generator) text(s string) {
	if g.err == nil {
		_, g.err = g.w.WriteString(s)
	}
}

func (g *generator) item(object any) {
	data, err := json.MarshalIndent(object, "        ", "    ")
	if err != nil && g.err == nil {
		g.err = fmt.Errorf("writing an item, %w", err)
	}
	if g.n > 0 {
		g.text(",\n")
	}
	g.n++
	g.text("        " + string(data))
}

// zones of the clusters.
var zones = [...]string{"us-east-1a", "us-east-1b", "us-east-1c"}

func nodeName(i int) string {
	return fmt.Sprintf("ip-10-%d-%d-%d.ec2.internal", i>>16&255, i>>8&255, i&255)
}

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

func (g *generator) node(i int) *corev1.Node {
	shapes := []struct{ name, cpu, memory, allocatableCPU, allocatable, pods string }{
		{"m5.2xlarge", "8", "31784Mi", "7910m", "30900Mi", "58"},
		{"m6i.4xlarge", "16", "63500Mi", "15890m", "60500Mi", "234"},
		{"r5.2xlarge", "8", "63600Mi", "7910m", "62600Mi", "58"},
		{"c5.4xlarge", "16", "30900Mi", "15890m", "28000Mi", "234"},
	}
	shape := shapes[i%len(shapes)]
	zone := zones[i%len(zones)]
	capacityType := "on-demand"
	if i%10 == 9 {
		capacityType = "spot"
	}
	name := nodeName(i)
	list := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{
			corev1.ResourceCPU: quantity(cpu), corev1.ResourceMemory: quantity(memory), corev1.ResourcePods: quantity(shape.pods),
			corev1.ResourceEphemeralStorage: quantity("80Gi"), "hugepages-2Mi": quantity("0"),
		}
	}
	n := &corev1.Node{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name), CreationTimestamp: g.born, Labels: map[string]string{
			corev1.LabelInstanceTypeStable: shape.name, corev1.LabelTopologyZone: zone, corev1.LabelTopologyRegion: "us-east-1",
			corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux", corev1.LabelHostname: name,
			"karpenter.sh/capacity-type": capacityType, "karpenter.sh/nodepool": "default",
		}},
		Spec:   corev1.NodeSpec{ProviderID: "aws:///" + zone + "/i-0" + fmt.Sprintf("%016x", i)},
		Status: corev1.NodeStatus{Capacity: list(shape.cpu, shape.memory), Allocatable: list(shape.allocatableCPU, shape.allocatable)},
	}
	if g.o.Lean {
		return n
	}
	for _, kind := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeReady} {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
			Type: kind, Status: corev1.ConditionFalse, Reason: "KubeletHas" + string(kind), Message: "kubelet has sufficient resources available",
			LastHeartbeatTime: g.born, LastTransitionTime: g.born,
		})
	}
	for j := range 30 {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{
			Names:     []string{fmt.Sprintf("registry.example.com/team/app-%d@sha256:%064x", j, j), fmt.Sprintf("registry.example.com/team/app-%d:v1.%d", j, i)},
			SizeBytes: int64(1000000 * (j + 1)),
		})
	}
	return n
}

// pod is a pod of a workload, with all that kubectl shows of one unless the dump is lean.
func (g *generator) pod(namespace, name, nodeName, cpu, memory string, owner metav1.OwnerReference, podLabels map[string]string) *corev1.Pod {
	controller := true
	owner.Controller, owner.UID = &controller, types.UID("owner-"+owner.Name)
	p := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace, UID: types.UID("pod-" + namespace + "-" + name), Labels: podLabels, CreationTimestamp: g.born,
			OwnerReferences: []metav1.OwnerReference{owner}, ResourceVersion: "123456",
		},
		Spec: corev1.PodSpec{
			NodeName: nodeName, SchedulerName: "default-scheduler", ServiceAccountName: "default", RestartPolicy: corev1.RestartPolicyAlways,
			Containers: []corev1.Container{{
				Name: "main", Image: "registry.example.com/team/" + owner.Name + ":v1.42.0",
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: quantity(cpu), corev1.ResourceMemory: quantity(memory)},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: quantity(memory)},
				},
			}},
			Tolerations: []corev1.Toleration{
				{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
				{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
			},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if !g.o.Lean {
		g.clothe(p)
	}
	return p
}

// clothe adds what a plan does not read.
func (g *generator) clothe(p *corev1.Pod) {
	c := &p.Spec.Containers[0]
	for i := range 20 {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", i), Value: fmt.Sprintf("https://service-%d.example.com/v1", i)})
	}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/bin/ready", "--verbose"}}}, PeriodSeconds: 10}
	c.LivenessProbe, c.ReadinessProbe = probe, probe
	c.Args = []string{"--log-level=info", "--listen=:8080", "--config=/etc/app/config.yaml"}
	c.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}
	c.VolumeMounts = []corev1.VolumeMount{{Name: "config", MountPath: "/etc/app"}, {Name: "token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}}
	expiry := int64(3607)
	p.Spec.Volumes = []corev1.Volume{
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}}}},
		{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &expiry, Path: "token"}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
		}}}},
	}
	p.Annotations = map[string]string{
		"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "checksum/config": fmt.Sprintf("%064x", g.n),
		"kubectl.kubernetes.io/restartedAt": "2026-03-01T09:00:00Z",
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: g.born})
	}
	started := true
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "main", Ready: true, Started: &started, Image: c.Image, ImageID: c.Image + fmt.Sprintf("@sha256:%064x", g.n),
		ContainerID: fmt.Sprintf("containerd://%064x", g.n), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: g.born}},
		AllocatedResources: c.Resources.Requests, Resources: &c.Resources,
	}}
	p.Status.HostIP, p.Status.PodIP, p.Status.QOSClass = "10.0.0.1", "10.1.2.3", corev1.PodQOSBurstable
	p.Status.PodIPs = []corev1.PodIP{{IP: "10.1.2.3"}}
}

func (g *generator) daemonPod(name string, node int) *corev1.Pod {
	p := g.pod("kube-system", fmt.Sprintf("%s-%05d", name, node), nodeName(node), "50m", "96Mi",
		metav1.OwnerReference{APIVersion: "apps/v1", Kind: "DaemonSet", Name: name}, map[string]string{"app": name})
	p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	return p
}

// workloads writes n pods of Deployments of a realistic mix, on nodes in turn: a third spread over zones, a tenth refusing
// their own kind.
func (g *generator) workloads(n int) {
	cpus := []string{"50m", "100m", "150m", "250m", "300m", "500m", "750m", "1"}
	memories := []string{"64Mi", "128Mi", "256Mi", "384Mi", "512Mi", "768Mi", "1Gi", "2Gi"}
	for d, written := 0, 0; written < n; d++ {
		app := fmt.Sprintf("app-%d", d)
		cpu, memory := cpus[g.rng.IntN(len(cpus))], memories[g.rng.IntN(len(memories))]
		replicas := min(n-written, 1+g.rng.IntN(60))
		kind := g.rng.IntN(10)
		hash := fmt.Sprintf("%08x", g.rng.Uint32())
		for r := range replicas {
			match := map[string]string{"app": app}
			p := g.pod(fmt.Sprintf("team-%d", d%20), fmt.Sprintf("%s-%s-%05d", app, hash, r), nodeName(written%max(1, g.o.Nodes)), cpu, memory,
				metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app + "-" + hash},
				map[string]string{"app": app, "pod-template-hash": hash})
			switch {
			case kind < 3:
				p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
					MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
					LabelSelector: &metav1.LabelSelector{MatchLabels: match},
				}}
			case kind == 3 && r < 20:
				p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
					RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
						TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: match},
					}},
				}}
			}
			g.item(p)
			written++
		}
	}
}
