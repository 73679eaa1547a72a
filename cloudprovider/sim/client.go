package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

const (
	// maxAttempts of one call.
	maxAttempts = 5
	// attemptTimeout is how long one attempt may take.
	attemptTimeout = 5 * time.Second
	// firstBackoff doubles with every attempt up to maxBackoff; half of each is drawn by chance.
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
	// maxRetryAfter is the longest the client lets the cloud keep it waiting within a call.
	maxRetryAfter = 10 * time.Second
	// maxResponse in bytes.
	maxResponse = 64 << 20
)

// Client calls the simulated cloud's API. Every call is bounded in time and attempts: throttling, failures of the
// cloud and broken connections are repeated with growing, jittered pauses; other errors are not. Creating is safe to
// repeat because of its client token. It is safe for concurrent use.
type Client struct {
	endpoint string
	http     *http.Client
	clock    clock.Clock
	metrics  clientMetrics

	mu   sync.Mutex
	rand *rand.Rand
}

// ClientOption changes a Client.
type ClientOption func(*Client)

// WithClientClock sets the clock that pauses are measured on.
func WithClientClock(c clock.Clock) ClientOption { return func(client *Client) { client.clock = c } }

// WithClientSeed makes the jitter reproducible.
func WithClientSeed(seed uint64) ClientOption {
	return func(client *Client) { client.rand = rand.New(rand.NewPCG(seed, 3)) }
}

// WithHTTPClient sets the HTTP client, e.g. one with a TLS configuration.
func WithHTTPClient(h *http.Client) ClientOption { return func(client *Client) { client.http = h } }

// NewClient returns a client of the cloud at an endpoint such as http://127.0.0.1:7070.
func NewClient(endpoint string, options ...ClientOption) *Client {
	c := &Client{
		endpoint: strings.TrimSuffix(endpoint, "/"), http: &http.Client{}, clock: clock.RealClock{},
		metrics: newClientMetrics(), rand: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3)),
	}
	for _, o := range options {
		o(c)
	}
	return c
}

// clientMetrics count attempts and what came of them.
type clientMetrics struct {
	attempts  *prometheus.CounterVec
	throttled *prometheus.CounterVec
}

func newClientMetrics() clientMetrics {
	return clientMetrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "supercargo_cloud_api_attempts_total",
			Help: "Attempts at calls of the cloud's API, by operation and HTTP status (0: no answer).",
		}, []string{"operation", "status"}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "supercargo_cloud_api_throttled_total",
			Help: "Attempts that the cloud refused because of too many requests, by operation.",
		}, []string{"operation"}),
	}
}

// Collectors are the client's metrics, for the caller to register.
func (c *Client) Collectors() []prometheus.Collector {
	return []prometheus.Collector{c.metrics.attempts, c.metrics.throttled}
}

// Types describes the region.
func (c *Client) Types(ctx context.Context) (*Region, error) {
	return get[Region](ctx, c, OpDescribeTypes, "/v1/types", nil)
}

// Prices describes the market now.
func (c *Client) Prices(ctx context.Context) (*Prices, error) {
	return get[Prices](ctx, c, OpDescribePrices, "/v1/prices", nil)
}

// Create launches an instance. See CreateRequest; IsCode tells CodeInsufficientCapacity.
func (c *Client) Create(ctx context.Context, r *CreateRequest) (*Created, error) {
	var created Created
	return &created, c.do(ctx, OpCreateInstance, http.MethodPost, "/v1/instances", nil, r, &created)
}

// List describes the instances that have all the tags, each "key" or "key=value".
func (c *Client) List(ctx context.Context, tags ...string) ([]Instance, error) {
	all, err := get[[]Instance](ctx, c, OpDescribeInstances, "/v1/instances", url.Values{"tag": tags})
	if err != nil {
		return nil, err
	}
	return *all, nil
}

// Get describes an instance.
func (c *Client) Get(ctx context.Context, id string) (*Instance, error) {
	return get[Instance](ctx, c, OpDescribeInstance, "/v1/instances/"+url.PathEscape(id), nil)
}

// Terminate ends an instance and returns what is left of it. It is idempotent.
func (c *Client) Terminate(ctx context.Context, id string) (*Instance, error) {
	var i Instance
	return &i, c.do(ctx, OpTerminateInstance, http.MethodDelete, "/v1/instances/"+url.PathEscape(id), nil, nil, &i)
}

// Notices returns the notices later than a number, waiting for one at most for the time given.
func (c *Client) Notices(ctx context.Context, after int64, wait time.Duration) (*NoticePage, error) {
	return get[NoticePage](ctx, c, OpWatchNotices, "/v1/notices", url.Values{"after": {strconv.FormatInt(after, 10)}, "wait": {wait.String()}})
}

// Billing describes what was spent, with the prices that applied if history is asked for.
func (c *Client) Billing(ctx context.Context, history bool) (*Billing, error) {
	return get[Billing](ctx, c, "DescribeBilling", "/v1/billing", url.Values{"history": {strconv.FormatBool(history)}})
}

// AddFault makes something go wrong in the cloud.
func (c *Client) AddFault(ctx context.Context, f Fault) (*FaultResult, error) {
	var result FaultResult
	return &result, c.do(ctx, "AddFault", http.MethodPost, "/v1/faults", nil, f, &result)
}

// RemoveFaults ends a fault, or all when the id is empty.
func (c *Client) RemoveFaults(ctx context.Context, id string) error {
	path := "/v1/faults"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return c.do(ctx, "RemoveFaults", http.MethodDelete, path, nil, nil, &struct{}{})
}

// SetQuotas replaces the quotas: running vCPUs by capacity type.
func (c *Client) SetQuotas(ctx context.Context, quotas map[string]int) error {
	return c.do(ctx, "SetQuotas", http.MethodPut, "/v1/quotas", nil, quotas, &struct{}{})
}

// IsCode says whether an error is the cloud's with one of the Code constants.
func IsCode(err error, code string) bool {
	var e *apiError
	return errors.As(err, &e) && e.Code == code
}

// SkippedOf returns the alternatives that an error of Create says could not be had.
func SkippedOf(err error) []Skipped {
	var e *apiError
	if errors.As(err, &e) {
		return e.Skipped
	}
	return nil
}

func get[T any](ctx context.Context, c *Client, op Operation, path string, query url.Values) (*T, error) {
	var v T
	if err := c.do(ctx, op, http.MethodGet, path, query, nil, &v); err != nil {
		return nil, err
	}
	return &v, nil
}

// do calls, and repeats what may succeed when repeated.
func (c *Client) do(ctx context.Context, op Operation, method, path string, query url.Values, body, into any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s: encoding the request, %w", op, err)
		}
	}
	address := c.endpoint + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	for attempt := 1; ; attempt++ {
		err := c.attempt(ctx, op, method, address, data, into)
		pause, again := c.pause(err, attempt)
		if err == nil || !again || ctx.Err() != nil {
			return wrap(op, attempt, err)
		}
		timer := c.clock.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return wrap(op, attempt, errors.Join(err, ctx.Err()))
		case <-timer.C():
		}
	}
}

func wrap(op Operation, attempts int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("calling %s (%d attempts), %w", op, attempts, err)
}

// pause is how long to wait before another attempt, and whether one makes sense.
func (c *Client) pause(err error, attempt int) (time.Duration, bool) {
	if err == nil || attempt >= maxAttempts {
		return 0, false
	}
	backoff := min(firstBackoff<<(attempt-1), maxBackoff)
	c.mu.Lock()
	backoff = backoff/2 + time.Duration(c.rand.Int64N(int64(backoff/2)+1))
	c.mu.Unlock()
	var e *apiError
	switch {
	case !errors.As(err, &e): // no answer
		return backoff, true
	case e.Status == http.StatusTooManyRequests:
		return max(backoff, min(e.retryAfter, maxRetryAfter)), true
	case e.Status >= http.StatusInternalServerError:
		return backoff, true
	}
	return 0, false
}

func (c *Client) attempt(ctx context.Context, op Operation, method, address string, data []byte, into any) (err error) {
	timeout := attemptTimeout
	if op == OpWatchNotices {
		timeout += maxNoticeWait
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	status := 0
	defer func() { c.metrics.attempts.WithLabelValues(string(op), strconv.Itoa(status)).Inc() }()
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(data))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	status = response.StatusCode
	content, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return fmt.Errorf("reading the answer, %w", err)
	}
	if status >= http.StatusBadRequest {
		return c.refused(op, response, content)
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("decoding the answer, %w", err)
	}
	return nil
}

func (c *Client) refused(op Operation, response *http.Response, content []byte) error {
	e := &apiError{}
	if err := json.Unmarshal(content, e); err != nil || e.Code == "" {
		e.Code, e.Message = http.StatusText(response.StatusCode), string(content)
	}
	e.Status = response.StatusCode
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.retryAfter = time.Duration(seconds) * time.Second
	}
	if e.Status == http.StatusTooManyRequests {
		c.metrics.throttled.WithLabelValues(string(op)).Inc()
	}
	return e
}
