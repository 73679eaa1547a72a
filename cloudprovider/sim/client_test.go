package sim

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
)

func TestThrottledCallsAreRepeatedAndCounted(t *testing.T) {
	c := newCloud(t, nil)
	c.fault(Fault{Kind: FaultThrottle, Count: 3})
	c.create("a", spotA)
	if n := testutil.ToFloat64(c.metrics.throttled.WithLabelValues(string(OpCreateInstance))); n != 3 {
		t.Errorf("%v throttled attempts counted", n)
	}
}

func TestFailuresOfTheCloudAreRepeatedWithinBounds(t *testing.T) {
	c := newCloud(t, nil)
	c.fault(Fault{Kind: FaultError, Operations: []Operation{OpDescribeInstances}})
	_, err := c.List(context.Background())
	if !IsCode(err, CodeInternal) {
		t.Errorf("error %v", err)
	}
	if n := testutil.ToFloat64(c.metrics.attempts.WithLabelValues(string(OpDescribeInstances), "500")); n != maxAttempts {
		t.Errorf("%v attempts", n)
	}
	if _, err := c.Types(context.Background()); err != nil {
		t.Errorf("another operation fails too: %v", err)
	}
}

func TestWrongCallsAreNotRepeated(t *testing.T) {
	c := newCloud(t, nil)
	if _, err := c.Get(context.Background(), "i-none"); !IsCode(err, CodeNotFound) {
		t.Errorf("error %v", err)
	}
	if n := testutil.ToFloat64(c.metrics.attempts.WithLabelValues(string(OpDescribeInstance), "404")); n != 1 {
		t.Errorf("%v attempts", n)
	}
}

func TestAnUnansweredCallIsGivenUp(t *testing.T) {
	c := newCloud(t, nil)
	c.fault(Fault{Kind: FaultTimeout, Count: 1})
	impatient := NewClient(c.url, WithHTTPClient(&http.Client{Timeout: 50 * time.Millisecond}), WithClientClock(hurried{clock.RealClock{}}))
	if _, err := impatient.Types(context.Background()); err != nil {
		t.Errorf("the second attempt: %v", err)
	}
	c.fault(Fault{Kind: FaultTimeout})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Types(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestLatencyPassesOnTheCloudsClock(t *testing.T) {
	c := newCloud(t, nil)
	c.fault(Fault{Kind: FaultLatency, Delay: metav1.Duration{Duration: time.Second}, Operations: []Operation{OpDescribeTypes}})
	done := make(chan error)
	go func() { _, err := c.Types(context.Background()); done <- err }()
	for !c.clock.HasWaiters() {
		time.Sleep(time.Millisecond) // the request is on its way
	}
	select {
	case err := <-done:
		t.Errorf("answered before its time: %v", err)
	default:
	}
	c.clock.Step(time.Second)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheRateLimitThrottles(t *testing.T) {
	c := newCloud(t, func(o *Options) { o.RequestsPerSecond, o.Burst = 1, 2 })
	once := func() int {
		r := httptest.NewRecorder()
		c.server.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/v1/instances", nil))
		return r.Code
	}
	if a, b, third := once(), once(), once(); a != 200 || b != 200 || third != 429 {
		t.Errorf("statuses %d %d %d", a, b, third)
	}
	c.clock.Step(time.Second)
	if code := once(); code != 200 {
		t.Errorf("after a second: %d", code)
	}
}
