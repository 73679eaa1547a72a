package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-helpers/nodedeclaredfeatures"
)

// statusPeriod is between node statuses when nothing changes (nodeStatusReportFrequency's default).
const statusPeriod = 5 * time.Minute

// nodeObject is the Node as the machine registers it.
func (m *machine) nodeObject(port int32, now time.Time) (*corev1.Node, error) {
	capacity := maps.Clone(m.spec.Capacity)
	if capacity == nil {
		capacity = corev1.ResourceList{}
	}
	for name, amount := range map[corev1.ResourceName]string{corev1.ResourcePods: "110", corev1.ResourceEphemeralStorage: "20Gi"} {
		if _, ok := capacity[name]; !ok {
			capacity[name] = resource.MustParse(amount)
		}
	}
	allocatable := maps.Clone(capacity)
	maps.Copy(allocatable, m.spec.Allocatable)
	version := m.version()
	features, err := declaredFeatures(version)
	if err != nil {
		return nil, fmt.Errorf("kubelet version %q, %w", version, err)
	}
	labels := map[string]string{corev1.LabelHostname: m.spec.Name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"}
	maps.Copy(labels, m.spec.Labels)
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: m.spec.Name, Labels: labels},
		Spec:       corev1.NodeSpec{ProviderID: m.spec.ProviderID, Taints: m.spec.Taints},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: allocatable, DeclaredFeatures: features,
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: m.host}, {Type: corev1.NodeHostName, Address: m.spec.Name}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion: version, OperatingSystem: "linux", Architecture: labels[corev1.LabelArchStable],
				MachineID: m.spec.Name, SystemUUID: m.spec.Name, BootID: m.spec.Name, KernelVersion: "6.12.0",
				OSImage: "Supercargo sandbox", ContainerRuntimeVersion: "containerd://2.1.0",
			},
			Conditions: m.conditions(now),
		},
	}, nil
}

func (m *machine) version() string {
	if m.spec.KubeletVersion != "" {
		return m.spec.KubeletVersion
	}
	return Version
}

// gates reads the process's feature gates, which the API server in it reads, too.
type gates struct{ featuregate.FeatureGate }

// Enabled implements FeatureGate of k8s.io/component-helpers/nodedeclaredfeatures.
func (g gates) Enabled(key string) bool { return g.FeatureGate.Enabled(featuregate.Feature(key)) }

// declaredFeatures are what a kubelet of the version says it can do; API server and scheduler keep pods and resizes that need
// more away from it. Kubelets before v1.36 declare nothing by default.
func declaredFeatures(version string) ([]string, error) {
	v, err := utilversion.ParseSemantic(version)
	if err != nil {
		return nil, err
	}
	if v.LessThan(utilversion.MajorMinor(1, 36)) {
		return nil, nil
	}
	return nodedeclaredfeatures.DefaultFramework.DiscoverNodeFeatures(&nodedeclaredfeatures.NodeConfiguration{
		FeatureGates: gates{utilfeature.DefaultFeatureGate}, Version: v,
	}), nil
}

// conditions are the kubelet's conditions of the node. Ready is the last, as always.
func (m *machine) conditions(now time.Time) []corev1.NodeCondition {
	m.mu.Lock()
	pressure, since, readyAt := m.pressure, m.pressureChanged, m.readyAt
	m.mu.Unlock()
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, at time.Time, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{
			Type: kind, Status: status, Reason: reason, Message: message,
			LastHeartbeatTime: apiTime(now), LastTransitionTime: apiTime(at),
		}
	}
	memory := condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, m.booted, "KubeletHasSufficientMemory", "kubelet has sufficient memory available")
	if pressure {
		memory = condition(corev1.NodeMemoryPressure, corev1.ConditionTrue, since, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
	} else if !since.IsZero() {
		memory.LastTransitionTime = apiTime(since)
	}
	readiness := condition(corev1.NodeReady, corev1.ConditionFalse, m.booted, "KubeletNotReady",
		"container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized")
	if !readyAt.IsZero() && !now.Before(readyAt) {
		readiness = condition(corev1.NodeReady, corev1.ConditionTrue, readyAt, "KubeletReady", "kubelet is posting ready status")
	}
	return []corev1.NodeCondition{
		memory,
		condition(corev1.NodeDiskPressure, corev1.ConditionFalse, m.booted, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
		condition(corev1.NodePIDPressure, corev1.ConditionFalse, m.booted, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
		readiness,
	}
}

// register opens the machine's endpoint and creates its Node.
func (r *run) register(ctx context.Context, n *node) error {
	port, err := r.open(ctx, n)
	if err != nil {
		return err
	}
	now := r.options.Clock.Now()
	object, err := n.nodeObject(port, now)
	if err != nil {
		return fmt.Errorf("registering node %s, %w", n.spec.Name, err)
	}
	created, err := r.client.CoreV1().Nodes().Create(ctx, object, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		created, err = r.takeOver(ctx, object)
	}
	if err != nil {
		return fmt.Errorf("registering node %s, %w", n.spec.Name, err)
	}
	n.setNode(created)
	n.becomeReady(now.Add(n.spec.StartDelay))
	n.mu.Lock()
	n.uid, n.reported = created.UID, now
	n.mu.Unlock()

	phase := n.jitter("phase", min(r.options.LeaseRenewal, r.options.Housekeeping))
	r.queue.AddAfter(task{kind: readyNode, node: n.spec.Name}, n.spec.StartDelay)
	r.queue.Add(task{kind: renewLease, node: n.spec.Name})
	r.queue.AddAfter(task{kind: housekeepNode, node: n.spec.Name}, phase)
	bound, err := r.pods.GetIndexer().ByIndex(byNode, n.spec.Name)
	if err != nil {
		return fmt.Errorf("finding the pods of node %s, %w", n.spec.Name, err)
	}
	for _, object := range bound {
		if pod, ok := object.(*corev1.Pod); ok {
			r.queue.Add(podTask(pod))
		}
	}
	return nil
}

// takeOver makes a Node that was there before the machine's own, as a kubelet does after a restart.
func (r *run) takeOver(ctx context.Context, object *corev1.Node) (*corev1.Node, error) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": object.Labels}})
	if err != nil {
		return nil, err
	}
	if _, err := r.client.CoreV1().Nodes().Patch(ctx, object.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return nil, err
	}
	if patch, err = json.Marshal(corev1.Node{Status: object.Status}); err != nil {
		return nil, err
	}
	return r.client.CoreV1().Nodes().Patch(ctx, object.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
}

// open starts the machine's endpoint, once, and returns its port.
func (r *run) open(ctx context.Context, n *node) (int32, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return 0, fmt.Errorf("node %s was shut down", n.spec.Name)
	}
	if n.endpoint != nil {
		return n.endpoint.port()
	}
	e, err := n.listen(ctx, r.tls, r.options.Clock.Now)
	if err != nil {
		return 0, err
	}
	n.endpoint = e
	r.serving.Go(func() { r.logIf(e.server.Serve(e.listener)) })
	return e.port()
}

func (n *node) registered() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.uid != ""
}

// reportStatus writes the kubelet's node conditions.
func (r *run) reportStatus(ctx context.Context, n *node) error {
	n.mu.Lock()
	silent := n.stopped || n.gone
	n.mu.Unlock()
	if silent {
		return nil
	}
	now := r.options.Clock.Now()
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": n.conditions(now)}})
	if err != nil {
		return fmt.Errorf("encoding the status of node %s, %w", n.spec.Name, err)
	}
	_, err = r.client.CoreV1().Nodes().Patch(ctx, n.spec.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("reporting the status of node %s, %w", n.spec.Name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reported = now
	return nil
}

// housekeep looks at the machine's memory, and reports when MemoryPressure changed.
func (r *run) housekeep(ctx context.Context, n *node) error {
	if !n.alive() {
		return nil
	}
	r.queue.AddAfter(task{kind: housekeepNode, node: n.spec.Name}, r.options.Housekeeping)
	out, pressureChanged := n.housekeep(r.options.Clock.Now())
	r.follow(n, out)
	if pressureChanged {
		return r.reportStatus(ctx, n)
	}
	return nil
}

func (r *run) nodeChanged(object any) {
	if changed, ok := object.(*corev1.Node); ok {
		if n := r.lookup(changed.Name); n != nil {
			n.setNode(changed)
		}
	}
}

// nodeDeleted ends the heartbeats of a machine whose Node somebody deleted: a kubelet registers again only when it starts.
func (r *run) nodeDeleted(object any) {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	deleted, ok := object.(*corev1.Node)
	if !ok {
		return
	}
	if n := r.lookup(deleted.Name); n != nil {
		n.mu.Lock()
		n.gone = n.gone || n.uid == deleted.UID
		n.mu.Unlock()
	}
}
