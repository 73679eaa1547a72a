package sim

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"supercargo.dev/cloudprovider"
)

// walk is a cloud that anything happens to, and what an honest observer knows of it.
type walk struct {
	t        *rapid.T
	server   *Server
	clock    *clocktesting.FakeClock
	machines *machines
	tokens   map[string]string // client token → instance id, as answered
	stopped  map[string]time.Time
	spent    float64
}

// call makes a request and decodes the answer; a broken connection has status 0.
func (w *walk) call(method, target, body string, into any) (status int) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // recovered values are compared as net/http does
				panic(p)
			}
			status = 0
		}
	}()
	r := httptest.NewRecorder()
	w.server.ServeHTTP(r, httptest.NewRequest(method, target, strings.NewReader(body)))
	if r.Code < 300 && into != nil {
		if err := json.Unmarshal(r.Body.Bytes(), into); err != nil {
			w.t.Fatalf("%s %s: %v", method, target, err)
		}
	}
	return r.Code
}

func (w *walk) send(method, target string, body, into any) int {
	data, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.call(method, target, string(data), into)
}

func (w *walk) create(t *rapid.T) {
	token := fmt.Sprint("t", rapid.IntRange(0, 30).Draw(t, "token"))
	alternatives := rapid.SliceOfN(rapid.SampledFrom([]Alternative{spotA, spotB, onDemandA}), 1, 3).Draw(t, "alternatives")
	var created Created
	if status := w.send(http.MethodPost, "/v1/instances", CreateRequest{ClientToken: token, Alternatives: alternatives}, &created); status >= 300 || status == 0 {
		return
	}
	if id, known := w.tokens[token]; known && id != created.Instance.ID && w.clock.Since(w.stopped[id]) < terminatedRetention {
		t.Fatalf("token %s made %s and then %s", token, id, created.Instance.ID)
	}
	w.tokens[token] = created.Instance.ID
}

func (w *walk) terminate(t *rapid.T) {
	for _, id := range w.tokens {
		w.call(http.MethodDelete, "/v1/instances/"+id, "", nil)
		return
	}
}

func (w *walk) fault(t *rapid.T) {
	kinds := []FaultKind{FaultInsufficientCapacity, FaultThrottle, FaultError, FaultLostResponse, FaultNeverRegister, FaultPriceUnknown, FaultPreempt, FaultListDelay}
	f := Fault{
		Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Rate: rapid.Float64Range(0, 1).Draw(t, "rate"),
		Delay: metav1.Duration{Duration: time.Second}, For: metav1.Duration{Duration: 10 * time.Minute},
		Notice: rapid.SampledFrom([]cloudprovider.NoticeKind{"", cloudprovider.Rebalance, cloudprovider.Maintenance}).Draw(t, "notice"),
	}
	if status := w.send(http.MethodPost, "/v1/faults", f, nil); status != http.StatusOK {
		t.Fatalf("fault %+v: %d", f, status)
	}
}

// nonsense sends any bytes anywhere.
func (w *walk) nonsense(t *rapid.T) {
	method := rapid.SampledFrom([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}).Draw(t, "method")
	path := rapid.SampledFrom([]string{"/v1/instances", "/v1/faults/x", "/v1/quotas", "/v1/instances/x", "/v1/notices?after=x", "/v1/notices?wait=x", "/v1/types"}).Draw(t, "path")
	w.call(method, path, rapid.String().Draw(t, "body"), nil)
}

// check compares the cloud with itself.
func (w *walk) check(t *rapid.T) {
	var bill Billing
	if status := w.call(http.MethodGet, "/v1/billing", "", &bill); status != http.StatusOK {
		t.Fatalf("billing: %d", status)
	}
	sum, perHour, running := 0.0, 0.0, 0
	for _, b := range bill.Instances {
		sum += b.SpentUSD
		perHour += b.USDPerHour
		if b.End == nil {
			running++
			if !(b.USDPerHour > 0) {
				t.Fatalf("%s runs for %v", b.InstanceID, b.USDPerHour)
			}
		}
	}
	if math.Abs(sum-bill.TotalUSD) > 1e-9 || math.Abs(perHour-bill.USDPerHour) > 1e-9 || bill.TotalUSD < w.spent-1e-9 {
		t.Fatalf("billed %v and %v/h, the bills say %v and %v/h; before %v", bill.TotalUSD, bill.USDPerHour, sum, perHour, w.spent)
	}
	w.spent = bill.TotalUSD

	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	alive := 0
	for _, i := range w.server.order {
		if i.State == Running {
			alive++
		} else if w.stopped[i.ID].IsZero() {
			w.stopped[i.ID] = *i.TerminatedAt
		}
		if !i.deadline.IsZero() && i.State == Running && !w.clock.Now().Before(i.deadline) {
			t.Fatalf("%s runs beyond its deadline", i.ID)
		}
	}
	if alive != running || len(w.server.effects) != 0 {
		t.Fatalf("%d run, %d are billed, %d effects pending", alive, running, len(w.server.effects))
	}
	last := map[string]int{}
	for k, id := range w.machines.stopped {
		if last[id]++; last[id] > 1 {
			t.Fatalf("stop %d: %s was shut down twice", k, id)
		}
	}
}

func TestAnyWalkKeepsTheCloudConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &walk{t: t, clock: clocktesting.NewFakeClock(epoch), machines: &machines{}, tokens: map[string]string{}, stopped: map[string]time.Time{}}
		var err error
		w.server, err = NewServer(Options{
			Seed: rapid.Uint64().Draw(t, "seed"), Clock: w.clock, Machines: w.machines, InterruptionScale: 1000,
			TerminationDelay: rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "termination"), Quotas: map[string]int{OnDemand: 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": w.create, "terminate": w.terminate, "fault": w.fault, "nonsense": w.nonsense, "": w.check,
			"pass": func(t *rapid.T) {
				w.clock.Step(time.Duration(rapid.IntRange(1, 3600).Draw(t, "seconds")) * time.Second)
			},
		})
	})
}
