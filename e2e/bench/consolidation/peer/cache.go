package peer

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
)

// store is controller-runtime's informer cache with nothing to watch: objects are put into it and taken out.
type store struct {
	client.Client

	mu     sync.Mutex
	stores map[reflect.Type]toolscache.Indexer
	owner  sync.WaitGroup
	stop   context.CancelFunc
}

// nowhere is an address at which nothing listens: whatever reads past the cache, or writes, fails and says so.
const nowhere = "http://127.0.0.1:1"

// clusterScoped are the kinds read here that have no namespace.
var clusterScoped = map[string]bool{
	"Node": true, "NodeClaim": true, "NodePool": true, "Namespace": true, "CSINode": true, "PersistentVolume": true, "StorageClass": true,
	"VolumeAttachment": true, "NodeOverlay": true,
}

func newStore(ctx context.Context) (*store, error) {
	// Karpenter asks client-go's own scheme for the kind of a node class.
	if err := v1alpha1.AddToScheme(scheme.Scheme); err != nil {
		return nil, fmt.Errorf("registering node classes, %w", err)
	}
	config := &rest.Config{Host: nowhere}
	mapper := meta.NewDefaultRESTMapper(nil)
	for gvk := range scheme.Scheme.AllKnownTypes() {
		scope := meta.RESTScopeNamespace
		if clusterScoped[gvk.Kind] {
			scope = meta.RESTScopeRoot
		}
		mapper.Add(gvk, scope)
	}
	s := &store{stores: map[reflect.Type]toolscache.Indexer{}}
	informers, err := cache.New(config, cache.Options{
		HTTPClient: http.DefaultClient, Scheme: scheme.Scheme, Mapper: mapper,
		NewInformer: func(lw toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
			i := still{toolscache.NewSharedIndexInformer(lw, example, resync, indexers)}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.stores[reflect.TypeOf(example)] = i.GetIndexer()
			return i
		},
	})
	if err != nil {
		return nil, fmt.Errorf("building the informer cache, %w", err)
	}
	if err := informers.IndexField(ctx, &corev1.Pod{}, "spec.nodeName", func(o client.Object) []string {
		return []string{o.(*corev1.Pod).Spec.NodeName}
	}); err != nil {
		return nil, fmt.Errorf("indexing pods by node, %w", err)
	}
	if err := informers.IndexField(ctx, &karpv1.NodeClaim{}, "status.providerID", func(o client.Object) []string {
		return []string{o.(*karpv1.NodeClaim).Status.ProviderID}
	}); err != nil {
		return nil, fmt.Errorf("indexing node claims by provider id, %w", err)
	}
	s.Client, err = client.New(config, client.Options{
		HTTPClient: http.DefaultClient, Scheme: scheme.Scheme, Mapper: mapper, Cache: &client.CacheOptions{Reader: informers},
	})
	if err != nil {
		return nil, fmt.Errorf("building the client, %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.owner.Go(func() { _ = informers.Start(running) }) // it fails only when started twice
	if !informers.WaitForCacheSync(ctx) {
		s.close()
		return nil, fmt.Errorf("starting the informer cache, %w", context.Cause(ctx))
	}
	return s, nil
}

func (s *store) close() {
	s.stop()
	s.owner.Wait()
}

// of is the store of an object's kind; it is made when the kind is first asked for.
func (s *store) of(ctx context.Context, o client.Object) (toolscache.Indexer, error) {
	t := reflect.TypeOf(o)
	s.mu.Lock()
	found := s.stores[t]
	s.mu.Unlock()
	if found != nil {
		return found, nil
	}
	// Any read makes it.
	if err := s.Get(ctx, client.ObjectKey{Name: "none"}, o.DeepCopyObject().(client.Object)); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("making the cache of %T, %w", o, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found = s.stores[t]; found == nil {
		return nil, fmt.Errorf("no cache of %T was made", o)
	}
	return found, nil
}

// put adds or replaces an object. The cache keeps it: it must not be changed afterwards.
func (s *store) put(ctx context.Context, o client.Object) error {
	to, err := s.of(ctx, o)
	if err != nil {
		return err
	}
	if err := to.Update(o); err != nil {
		return fmt.Errorf("caching %T %q, %w", o, o.GetName(), err)
	}
	return nil
}

func (s *store) remove(ctx context.Context, o client.Object) error {
	from, err := s.of(ctx, o)
	if err != nil {
		return err
	}
	if err := from.Delete(o); err != nil {
		return fmt.Errorf("removing %T %q from the cache, %w", o, o.GetName(), err)
	}
	return nil
}

// still is an informer that watches nothing and is always in step with it.
type still struct{ toolscache.SharedIndexInformer }

// Run implements toolscache.SharedIndexInformer.
func (still) Run(stop <-chan struct{}) { <-stop }

// RunWithContext implements toolscache.SharedIndexInformer.
func (still) RunWithContext(ctx context.Context) { <-ctx.Done() }

// HasSynced implements toolscache.SharedIndexInformer.
func (still) HasSynced() bool { return true }

// HasSyncedChecker implements toolscache.SharedIndexInformer.
func (still) HasSyncedChecker() toolscache.DoneChecker { return done{} }

// IsStopped implements toolscache.SharedIndexInformer.
func (still) IsStopped() bool { return false }

// done implements toolscache.DoneChecker.
type done struct{}

// Name implements toolscache.DoneChecker.
func (done) Name() string { return "nothing to wait for" }

// Done implements toolscache.DoneChecker.
func (done) Done() <-chan struct{} {
	closed := make(chan struct{})
	close(closed)
	return closed
}
