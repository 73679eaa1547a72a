package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody of a request in bytes.
const maxBody = 1 << 20

// call serves one operation: it returns a status and a body, or an error.
type call func(r *http.Request) (int, any, error)

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	s.mux.Handle("GET /v1/types", s.faulty(OpDescribeTypes, s.describeTypes))
	s.mux.Handle("GET /v1/prices", s.faulty(OpDescribePrices, s.describePrices))
	s.mux.Handle("POST /v1/instances", s.faulty(OpCreateInstance, s.createInstance))
	s.mux.Handle("GET /v1/instances", s.faulty(OpDescribeInstances, s.describeInstances))
	s.mux.Handle("GET /v1/instances/{id}", s.faulty(OpDescribeInstance, s.describeInstance))
	s.mux.Handle("DELETE /v1/instances/{id}", s.faulty(OpTerminateInstance, s.terminateInstance))
	s.mux.Handle("GET /v1/notices", s.faulty(OpWatchNotices, s.watchNotices))
	s.mux.Handle("GET /v1/billing", plain(s.describeBilling))
	s.mux.Handle("POST /v1/faults", plain(s.addFault))
	s.mux.Handle("GET /v1/faults", plain(s.listFaults))
	s.mux.Handle("DELETE /v1/faults", plain(s.deleteFaults))
	s.mux.Handle("DELETE /v1/faults/{id}", plain(s.deleteFaults))
	s.mux.Handle("PUT /v1/quotas", plain(s.putQuotas))
}

// ServeHTTP serves the API that the package documents.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// plain serves a call without faults.
func plain(c call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { respond(w, r, c) })
}

// faulty serves a call with the latency, throttling and faults of a cloud.
func (s *Server) faulty(op Operation, c call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		trouble := s.trouble(op)
		if !s.wait(r.Context(), trouble.latency) {
			return
		}
		if trouble.silent {
			panic(http.ErrAbortHandler) // the client saw nothing but a broken connection, or has gone before it
		}
		if trouble.err != nil {
			respond(w, r, func(*http.Request) (int, any, error) { return 0, nil, trouble.err })
			return
		}
		if trouble.lost {
			_, _, _ = c(r) // what it says is lost: that is the fault
			panic(http.ErrAbortHandler)
		}
		respond(w, r, c)
	})
}

// trouble is what happens to a call beside what it asks for.
type trouble struct {
	latency      time.Duration
	err          error
	silent, lost bool
}

func (s *Server) trouble(op Operation) trouble {
	var t trouble
	s.locked(func(now time.Time) {
		if s.o.Latency > 0 {
			t.latency = time.Duration(float64(s.o.Latency) * (0.5 + s.rand.Float64()))
		}
		if f := s.faults.call(FaultLatency, op, now); f != nil {
			t.latency += f.Delay.Duration
		}
		if f := s.faults.call(FaultTimeout, op, now); f != nil {
			t.silent = true
			t.latency += orDefault(f.Delay.Duration, time.Minute)
			return
		}
		if s.limit != nil && !s.limit.AllowN(now, 1) {
			t.err = throttled(time.Second)
			return
		}
		if f := s.faults.call(FaultThrottle, op, now); f != nil {
			t.err = throttled(orDefault(f.Delay.Duration, time.Second))
			return
		}
		if s.faults.call(FaultError, op, now) != nil {
			t.err = &apiError{Status: http.StatusInternalServerError, Code: CodeInternal, Message: "the cloud failed (fault)"}
			return
		}
		t.lost = s.faults.call(FaultLostResponse, op, now) != nil
	})
	return t
}

func throttled(after time.Duration) error {
	return &apiError{Status: http.StatusTooManyRequests, Code: CodeThrottled, Message: "request rate exceeded", retryAfter: after}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// wait waits on the cloud's clock, and says whether the client is still there.
func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := s.o.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

func respond(w http.ResponseWriter, r *http.Request, c call) {
	status, body, err := c(r)
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = &apiError{Status: http.StatusInternalServerError, Code: CodeInternal, Message: err.Error()}
		}
		if e.retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((e.retryAfter+time.Second-1)/time.Second)))
		}
		status, body = e.Status, e
	}
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client has gone; there is nobody to tell
}

func decode(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &apiError{Status: http.StatusBadRequest, Code: CodeInvalid, Message: "reading the request, " + err.Error()}
	}
	return nil
}

func (s *Server) createInstance(r *http.Request) (int, any, error) {
	var request CreateRequest
	if err := decode(r, &request); err != nil {
		return 0, nil, err
	}
	var created *Created
	var fresh bool
	var err error
	s.locked(func(now time.Time) { created, fresh, err = s.create(&request, now) })
	if err != nil {
		return 0, nil, err
	}
	if fresh {
		return http.StatusCreated, created, nil
	}
	return http.StatusOK, created, nil
}

func (s *Server) describeInstances(r *http.Request) (int, any, error) {
	filters := r.URL.Query()["tag"]
	found := []Instance{}
	s.locked(func(now time.Time) {
		for _, i := range s.order {
			if s.visible(i, now) && tagged(i.Tags, filters) {
				found = append(found, i.Instance)
			}
		}
	})
	return http.StatusOK, found, nil
}

// tagged says whether tags satisfy all filters "key" or "key=value".
func tagged(tags map[string]string, filters []string) bool {
	return !slices.ContainsFunc(filters, func(filter string) bool {
		key, want, exact := strings.Cut(filter, "=")
		value, ok := tags[key]
		return !ok || exact && value != want
	})
}

func (s *Server) describeInstance(r *http.Request) (int, any, error) {
	var found *Instance
	s.locked(func(now time.Time) {
		if i, ok := s.instances[r.PathValue("id")]; ok && s.visible(i, now) {
			seen := i.Instance
			found = &seen
		}
	})
	if found == nil {
		return 0, nil, notFound(r.PathValue("id"))
	}
	return http.StatusOK, found, nil
}

func (s *Server) terminateInstance(r *http.Request) (int, any, error) {
	var found *Instance
	s.locked(func(now time.Time) {
		if i, ok := s.instances[r.PathValue("id")]; ok {
			s.terminate(i, "UserRequest", now)
			seen := i.Instance
			found = &seen
		}
	})
	if found == nil {
		return 0, nil, notFound(r.PathValue("id"))
	}
	return http.StatusOK, found, nil
}

func notFound(id string) error {
	return &apiError{Status: http.StatusNotFound, Code: CodeNotFound, Message: fmt.Sprintf("no instance %q", id)}
}
