package evidence

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"supercargo.dev/e2e/sandbox"
)

// Request is one request of a component to the API server.
type Request struct {
	// Component is the name of its ServiceAccount.
	Component string
	Verb, URI string
	// Group, Resource and Subresource that it is about; Resource is empty for discovery and the like.
	Group, Resource, Subresource string
	// Unauthorized says that RBAC refused it. A 403 of admission or validation, such as a resize above what the node has, is none.
	Unauthorized bool
}

// Requests reads a sandbox's audit log: the requests of components, in the order of their answers. One that is not yet wholly written
// is left out.
func Requests(auditLog string) ([]Request, error) {
	f, err := os.Open(auditLog)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log, %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	var out []Request
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			Verb, RequestURI string
			User             struct{ Username string }
			ObjectRef        struct{ APIGroup, Resource, Subresource string }
			Annotations      map[string]string
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // the last line may be half written
		}
		component, ok := strings.CutPrefix(e.User.Username, "system:serviceaccount:"+sandbox.Namespace+":")
		if !ok {
			continue
		}
		out = append(out, Request{
			Component: component, Verb: e.Verb, URI: e.RequestURI,
			Group: e.ObjectRef.APIGroup, Resource: e.ObjectRef.Resource, Subresource: e.ObjectRef.Subresource,
			Unauthorized: e.Annotations["authorization.k8s.io/decision"] == "forbid",
		})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the audit log, %w", err)
	}
	return out, nil
}
