package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

// Fleet runs the kubelets of many machines against one API server.
type Fleet struct {
	options Options
	config  *rest.Config
	queue   workqueue.TypedRateLimitingInterface[task]

	mu    sync.Mutex
	nodes map[string]*node

	lastHost, lastPod atomic.Uint32 // addresses given
}

// node is a machine with its place in the API and on the network.
type node struct {
	*machine
	mu       sync.Mutex
	endpoint *endpoint
	stopped  bool // shut down: no more API writes, no endpoint
	uid      types.UID
	gone     bool      // somebody deleted the Node object
	reported time.Time // last full status
	lease    *coordinationv1.Lease
	recorder record.EventRecorder
}

// task is an item of the work queue.
type task struct {
	kind taskKind
	node string
	pod  types.NamespacedName
}

type taskKind int

const (
	syncPod taskKind = iota
	registerNode
	readyNode
	renewLease
	housekeepNode
)

// NewFleet returns a Fleet that uses a copy of the configuration with its own rate limits. Machines may be booted at any
// time; they come to life while Run runs.
func NewFleet(config *rest.Config, o Options) *Fleet {
	o = o.withDefaults()
	own := rest.CopyConfig(config)
	own.QPS, own.Burst = o.QPS, int(2*o.QPS)
	own.UserAgent = "kubelet/" + Version
	own.ContentType, own.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	return &Fleet{
		options: o, config: own, nodes: map[string]*node{},
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[task](50*time.Millisecond, 10*time.Second),
			workqueue.TypedRateLimitingQueueConfig[task]{Clock: o.Clock}),
	}
}

// Boot starts a machine: its Node registers after spec.RegistrationDelay and is Ready spec.StartDelay later. It fails when a
// machine of that name runs or the spec is wrong.
func (f *Fleet) Boot(spec NodeSpec) error {
	m, err := newMachine(spec, f.options, f.hostIP(), f.podIP)
	if err != nil {
		return fmt.Errorf("booting node %s, %w", spec.Name, err)
	}
	m.booted = f.options.Clock.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.nodes[spec.Name]; ok {
		return fmt.Errorf("booting node %s, a machine of that name runs", spec.Name)
	}
	f.nodes[spec.Name] = &node{machine: m}
	f.queue.AddAfter(task{kind: registerNode, node: spec.Name}, spec.RegistrationDelay)
	return nil
}

// Shutdown ends a machine as if its power were cut: heartbeats stop, its endpoint closes, its containers are gone. Its
// Node object and its pods stay in the API as they are, until somebody removes them. Shutting down a machine that does
// not run does nothing.
func (f *Fleet) Shutdown(name string) {
	f.mu.Lock()
	n, ok := f.nodes[name]
	delete(f.nodes, name)
	f.mu.Unlock()
	if ok {
		f.logIf(n.stop())
	}
}

func (n *node) stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	if n.endpoint == nil {
		return nil
	}
	err := n.endpoint.server.Close()
	n.endpoint = nil
	if err != nil {
		return fmt.Errorf("closing the endpoint of node %s, %w", n.spec.Name, err)
	}
	return nil
}

func (n *node) alive() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.stopped
}

func (f *Fleet) lookup(name string) *node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[name]
}

// hostIP gives machines addresses out of 172.16.0.0/12. The API server refuses to proxy to a node on loopback: it must take
// the node's port on 127.0.0.1 in place of this address, as package cluster makes it.
func (f *Fleet) hostIP() string {
	n := f.lastHost.Add(1)
	return fmt.Sprintf("172.%d.%d.%d", 16+(n>>16&15), byte(n>>8), byte(n))
}

// podIP gives pods addresses out of 10.0.0.0/8, which nothing listens on.
func (f *Fleet) podIP() string {
	n := f.lastPod.Add(1)
	return fmt.Sprintf("10.%d.%d.%d", byte(n>>16), byte(n>>8), byte(n))
}

// run is what exists while the Fleet runs.
type run struct {
	*Fleet
	client  kubernetes.Interface
	pods    cache.SharedIndexInformer
	nodeSet cache.SharedIndexInformer
	events  record.EventBroadcaster
	tls     *tls.Config
	serving sync.WaitGroup
}

const byNode = "node"

// Run runs the machines until the context ends, and then shuts every one down. It may be called once.
func (f *Fleet) Run(ctx context.Context) error {
	defer f.queue.ShutDown()
	client, err := kubernetes.NewForConfig(f.config)
	if err != nil {
		return fmt.Errorf("making the kubelets' client, %w", err)
	}
	config, err := selfSigned(f.options.Clock.Now())
	if err != nil {
		return err
	}
	r := &run{Fleet: f, client: client, tls: config, events: record.NewBroadcaster(record.WithContext(ctx))}
	if err := r.watch(); err != nil {
		return err
	}
	r.events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	defer r.events.Shutdown()

	var owned sync.WaitGroup
	for _, informer := range []cache.SharedIndexInformer{r.pods, r.nodeSet} {
		owned.Go(func() { informer.RunWithContext(ctx) })
	}
	if !cache.WaitForCacheSync(ctx.Done(), r.pods.HasSynced, r.nodeSet.HasSynced) {
		owned.Wait()
		return fmt.Errorf("listing pods and nodes, %w", context.Cause(ctx))
	}
	for range f.options.Workers {
		owned.Go(func() {
			for r.work(ctx) {
			}
		})
	}
	<-ctx.Done()
	f.queue.ShutDown()
	owned.Wait()
	f.mu.Lock()
	for _, n := range f.nodes {
		f.logIf(n.stop())
	}
	f.mu.Unlock()
	r.serving.Wait()
	return nil
}

// watch sets up the one watch of all bound pods and the one of nodes.
func (r *run) watch() error {
	bound := informers.NewSharedInformerFactoryWithOptions(r.client, 0, informers.WithTransform(slim),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
		}))
	r.pods = bound.Core().V1().Pods().Informer()
	r.nodeSet = informers.NewSharedInformerFactoryWithOptions(r.client, 0, informers.WithTransform(slim)).Core().V1().Nodes().Informer()
	err := r.pods.AddIndexers(cache.Indexers{byNode: func(object any) ([]string, error) {
		pod, ok := object.(*corev1.Pod)
		if !ok {
			return nil, fmt.Errorf("indexing %T as a pod", object)
		}
		return []string{pod.Spec.NodeName}, nil
	}})
	if err != nil {
		return fmt.Errorf("indexing pods, %w", err)
	}
	enqueue := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if pod, ok := object.(*corev1.Pod); ok {
			r.queue.Add(podTask(pod))
		}
	}
	_, err = r.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) }, DeleteFunc: enqueue,
	})
	if err != nil {
		return fmt.Errorf("watching pods, %w", err)
	}
	_, err = r.nodeSet.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: r.nodeChanged, UpdateFunc: func(_, object any) { r.nodeChanged(object) }, DeleteFunc: r.nodeDeleted,
	})
	if err != nil {
		return fmt.Errorf("watching nodes, %w", err)
	}
	return nil
}

func podTask(pod *corev1.Pod) task {
	return task{kind: syncPod, node: pod.Spec.NodeName, pod: types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}}
}

// slim drops what no kubelet reads and what is a good part of an object's memory.
func slim(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}

// work does one task of the queue, and reports whether there may be more.
func (r *run) work(ctx context.Context) bool {
	t, shutdown := r.queue.Get()
	if shutdown {
		return false
	}
	defer r.queue.Done(t)
	n := r.lookup(t.node)
	if n == nil {
		r.queue.Forget(t)
		return true
	}
	var err error
	switch t.kind {
	case syncPod:
		err = r.syncPod(ctx, n, t)
	case registerNode:
		err = r.register(ctx, n)
	case readyNode:
		err = r.reportStatus(ctx, n)
	case renewLease:
		err = r.heartbeat(ctx, n)
	case housekeepNode:
		err = r.housekeep(ctx, n)
	}
	if err != nil && ctx.Err() == nil {
		r.logIf(err)
		r.queue.AddRateLimited(t)
		return true
	}
	r.queue.Forget(t)
	return true
}

func (f *Fleet) logIf(err error) {
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		// A log that cannot be written has nowhere to complain.
		_, _ = fmt.Fprintf(f.options.Log, "%s kubelet: %v\n", f.options.Clock.Now().UTC().Format(time.RFC3339), err)
	}
}

func (r *run) recorder(n *node) record.EventRecorder {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.recorder == nil {
		n.recorder = r.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: n.spec.Name})
	}
	return n.recorder
}
