package spot

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/events"

	"supercargo.dev/cloudprovider"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const providerID = "sim:///us-east-1a/i-1"

type notices chan cloudprovider.Notice

func (n notices) Notices(context.Context) (<-chan cloudprovider.Notice, error) { return n, nil }

// house is the machinery as the controller sees it.
type house struct {
	replaced bool
	left     int
}

func (h *house) Leave(context.Context, string) error            { h.left++; return nil }
func (h *house) Replaced(context.Context, string) (bool, error) { return h.replaced, nil }

type silent struct{}

func (silent) Publish(...events.Event) {}

type fixture struct {
	*Controller
	*house
	clock   *clocktesting.FakeClock
	notices notices
	plans   int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	nc := &karpv1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "default-1", Finalizers: []string{karpv1.TerminationFinalizer}}}
	nc.Status.ProviderID = providerID
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(nc).
		WithIndex(&karpv1.NodeClaim{}, "status.providerID", func(o client.Object) []string { return []string{o.(*karpv1.NodeClaim).Status.ProviderID} }).
		Build()
	f := &fixture{house: &house{}, clock: clocktesting.NewFakeClock(t0), notices: make(notices, 10)}
	f.Controller = New(Config{
		Client: c, Source: f.notices, Nodes: f.house, Recorder: silent{}, Clock: f.clock,
		Plan: func() { f.plans++ }, Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	return f
}

// give delivers notices and waits until they are recorded.
func (f *fixture) give(t *testing.T, given ...cloudprovider.Notice) {
	t.Helper()
	for _, n := range given {
		f.notices <- n
	}
	close(f.notices)
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) claim(t *testing.T) *karpv1.NodeClaim {
	t.Helper()
	nc := &karpv1.NodeClaim{}
	if err := f.Client.Get(t.Context(), client.ObjectKey{Name: "default-1"}, nc); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		t.Fatal(err)
	}
	return nc
}

func (f *fixture) reconcile(t *testing.T) {
	t.Helper()
	if _, err := f.Reconcile(t.Context(), f.claim(t)); err != nil {
		t.Fatal(err)
	}
}

func interruption() cloudprovider.Notice {
	return cloudprovider.Notice{ProviderID: providerID, Kind: cloudprovider.SpotInterruption, At: t0, Deadline: t0.Add(2 * time.Minute)}
}

func TestAnInterruptedNodeIsClosedAndKeptUntilItsReplacementIsReady(t *testing.T) {
	f := newFixture(t)
	f.give(t, interruption())
	f.reconcile(t)
	if f.left == 0 || f.plans == 0 {
		t.Errorf("the node was closed %d times and planned for %d times", f.left, f.plans)
	}
	if nc := f.claim(t); !nc.DeletionTimestamp.IsZero() {
		t.Fatal("the node is drained before its replacement is ready")
	}
	f.replaced = true
	f.reconcile(t)
	if nc := f.claim(t); nc.DeletionTimestamp.IsZero() {
		t.Error("the node is not drained although its replacement is ready")
	}
}

func TestHalfOfTheNoticeIsKeptForDraining(t *testing.T) {
	f := newFixture(t)
	f.give(t, interruption())
	f.clock.SetTime(t0.Add(59 * time.Second))
	f.reconcile(t)
	if nc := f.claim(t); !nc.DeletionTimestamp.IsZero() {
		t.Fatal("the node is drained in the first half of the notice without a replacement")
	}
	f.clock.SetTime(t0.Add(time.Minute))
	f.reconcile(t)
	if nc := f.claim(t); nc.DeletionTimestamp.IsZero() {
		t.Error("the node is not drained in the second half of the notice")
	}
}

func TestANoticeThatComesTwiceKeepsTheFirstDeadline(t *testing.T) {
	f := newFixture(t)
	later := interruption()
	later.At, later.Deadline = t0.Add(time.Minute), t0.Add(time.Hour)
	f.give(t, interruption(), later)
	if got, want := f.claim(t).Annotations[DeadlineAnnotation], "2026-11-21T12:02:00Z"; got != want {
		t.Errorf("the deadline is %s, want %s", got, want)
	}
	if got, want := f.claim(t).Annotations[karpv1.NodeClaimTerminationTimestampAnnotationKey], "2026-11-21T12:02:00Z"; got != want {
		t.Errorf("Karpenter terminates at %s, want %s", got, want)
	}
}

func TestATerminatedInstanceIsGivenUpAtOnce(t *testing.T) {
	f := newFixture(t)
	f.give(t, cloudprovider.Notice{ProviderID: providerID, Kind: cloudprovider.Terminated, At: t0})
	f.reconcile(t)
	if nc := f.claim(t); nc.DeletionTimestamp.IsZero() {
		t.Error("the claim of a terminated instance is kept")
	}
}

func TestTheEndOfAnInstanceThatWasGivenUpIsNoInterruption(t *testing.T) {
	f := newFixture(t)
	told := &recorded{}
	f.Recorder = told
	if err := f.Client.Delete(t.Context(), f.claim(t)); err != nil {
		t.Fatal(err)
	}
	f.give(t, cloudprovider.Notice{ProviderID: providerID, Kind: cloudprovider.Terminated, At: t0})
	if len(told.events) > 0 {
		t.Errorf("events %+v about an instance that was given up", told.events)
	}
}

// recorded keeps events.
type recorded struct{ events []events.Event }

func (r *recorded) Publish(all ...events.Event) { r.events = append(r.events, all...) }

func TestWhatIsNotOursOrNotADeadlineChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.give(t,
		cloudprovider.Notice{ProviderID: "sim:///us-east-1a/i-other", Kind: cloudprovider.SpotInterruption, At: t0, Deadline: t0},
		cloudprovider.Notice{ProviderID: providerID, Kind: cloudprovider.Rebalance, At: t0})
	f.reconcile(t)
	if nc := f.claim(t); len(nc.Annotations) > 0 || !nc.DeletionTimestamp.IsZero() || f.left > 0 {
		t.Errorf("the claim became %v, closed %d times", nc.ObjectMeta, f.left)
	}
}
