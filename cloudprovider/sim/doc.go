// Package sim is a simulated cloud: a server with real instance types and prices, a spot market, interruptions,
// quotas and every fault a cloud API has; the client to it; and the Karpenter CloudProvider on that client.
//
// Provider and cloud meet only over HTTP, so that timeouts, throttling, lost responses and stale reads are real. The
// cloud is seeded and runs on an injected clock. It boots nothing itself: Machines does, in the sandbox the fake
// kubelets.
//
// # HTTP API
//
// Bodies are JSON. Durations are strings ("2m0s"), times RFC 3339, prices USD per hour. An unknown price is absent,
// never 0. An error is {"code", "message"} with a 4xx or 5xx status; 429 carries Retry-After in seconds.
//
//	GET    /v1/types             Region: zones and hardware of every type
//	GET    /v1/prices            Prices: on-demand, spot by zone, interruption rates
//	POST   /v1/instances         CreateRequest → Created. Alternatives are tried in the order given; those that failed
//	                             are listed with their code, also when none succeeded (409 InsufficientCapacity).
//	                             The client token makes it idempotent: as with GCE's requestId, a repetition returns
//	                             the first call's instance, whatever else it says.
//	GET    /v1/instances         []Instance; ?tag=key or ?tag=key=value (repeatable) filters. Terminated ones stay
//	                             visible for an hour.
//	GET    /v1/instances/{id}    Instance, or 404 NotFound
//	DELETE /v1/instances/{id}    Instance after the call. Idempotent.
//	GET    /v1/notices           NoticePage; ?after=N&wait=20s waits for notices later than N
//	GET    /v1/billing           Billing: what was really spent; ?history=true adds the prices that applied
//
// The following are the experimenter's and have no latency and no faults:
//
//	POST   /v1/faults            Fault → FaultResult. See FaultKind.
//	GET    /v1/faults            []Fault in force
//	DELETE /v1/faults/{id}, DELETE /v1/faults
//	PUT    /v1/quotas            map of capacity type to vCPUs; replaces the quotas
package sim
