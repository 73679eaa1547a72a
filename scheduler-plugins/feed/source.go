package feed

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"supercargo.dev/scheduler-plugins/metrics"
)

// state of a kind of object: absent is an answer, unknown is none.
type state int

const (
	unknown state = iota
	absent
	synced
)

// source is one kind of custom object that is followed.
type source struct {
	resource string
	metrics  *metrics.Metrics

	mu     sync.Mutex
	state  state
	logged metav1.StatusReason
}

func newSource(m *metrics.Metrics, resource string) *source {
	return &source{resource: resource, metrics: m}
}

func (s *source) known() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state != unknown
}

// set returns whether the state changed.
func (s *source) set(to state) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == to {
		return false
	}
	s.state = to
	value := 0.0
	if to == synced {
		value = 1
	}
	s.metrics.SourceSynced.WithLabelValues(s.resource).Set(value)
	return true
}

// failed notes an error of list or watch. Reflectors retry with backoff for ever, so that each reason is logged once.
func (s *source) failed(ctx context.Context, err error) (nowAbsent bool) {
	reason := apierrors.ReasonForError(err)
	s.mu.Lock()
	fresh := s.logged != reason || reason == metav1.StatusReasonUnknown
	s.logged = reason
	before := s.state
	s.mu.Unlock()

	logger := klog.FromContext(ctx).WithValues("resource", s.resource)
	switch {
	case apierrors.IsNotFound(err):
		if fresh {
			logger.Info("Resource is not installed; going on without it until it appears")
		}
		return before == unknown && s.set(absent)
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err), apierrors.IsTimeout(err):
	case fresh:
		logger.Error(err, "Following a resource failed; trying again")
	}
	return false
}

// follow runs an informer until ctx ends. changed is called whenever the source becomes known.
func (f *Feed) follow(ctx context.Context, s *source, informer cache.SharedInformer, handler cache.ResourceEventHandler, changed func()) error {
	if err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		if s.failed(ctx, err) {
			changed()
		}
	}); err != nil {
		return fmt.Errorf("following %s, %w", s.resource, err)
	}
	registration, err := informer.AddEventHandler(handler)
	if err != nil {
		return fmt.Errorf("following %s, %w", s.resource, err)
	}
	s.metrics.SourceSynced.WithLabelValues(s.resource).Set(0)
	f.running.Go(func() { informer.RunWithContext(ctx) })
	f.running.Go(func() {
		if cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) && s.set(synced) {
			klog.FromContext(ctx).Info("Resource is being followed", "resource", s.resource)
			changed()
		}
	})
	return nil
}
