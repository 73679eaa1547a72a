package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Namespace is where Supercargo is installed.
const Namespace = "supercargo-system"

// startTimeout bounds the start of a sandbox whose context has no deadline of its own.
const startTimeout = 2 * time.Minute

// Options configures Start. The zero value is ready to use.
type Options struct {
	// Dir holds logs, kubeconfigs and the control plane's state. Empty: a temporary directory that Stop removes.
	Dir string
	// Seed makes the simulated cloud and machines repeat themselves.
	Seed int64
	// Args are further arguments of "supercargo-sandbox up".
	Args []string
}

// Ready is what "supercargo-sandbox up -o json" prints, as one line, when everything runs.
type Ready struct {
	Dir        string `json:"dir"`        // state and logs
	Kubeconfig string `json:"kubeconfig"` // the administrator's
	APIServer  string `json:"apiServer"`  // URL
	Cloud      string `json:"cloud"`      // URL of the simulated cloud
	Control    string `json:"control"`    // URL of the sandbox's own controls, see Outage
	AuditLog   string `json:"auditLog"`   // JSON lines, one for each request of our ServiceAccounts
	// SchedulerConfig is the file that supercargo-scheduler runs with.
	SchedulerConfig string `json:"schedulerConfig"`
}

// Sandbox is a running world. Its methods may be called concurrently.
type Sandbox struct {
	Ready

	config    *rest.Config
	process   *Process
	bin, dir  string
	temporary bool

	mu         sync.Mutex
	components []*Process
	started    map[string]int // components started, by name
}

// Start runs "supercargo-sandbox up" and returns when it is ready: the control plane serves, Supercargo's CRDs and roles are
// installed, the cloud answers. ctx bounds the start only.
func Start(ctx context.Context, o Options) (_ *Sandbox, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s := &Sandbox{dir: o.Dir, started: map[string]int{}}
	if s.bin, err = BinDir(); err != nil {
		return nil, err
	}
	path, err := binary(s.bin, "supercargo-sandbox")
	if err != nil {
		return nil, err
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "supercargo-sandbox-"); err != nil {
			return nil, fmt.Errorf("creating a directory for the sandbox, %w", err)
		}
		s.temporary = true
	} else if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating a directory for the sandbox, %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	return s, s.up(ctx, path, o)
}

func (s *Sandbox) up(ctx context.Context, path string, o Options) error {
	stdout := newFirstLine()
	var err error
	s.process, err = StartProcess(Command{
		Path: path,
		Args: append([]string{"up", "--output=json", "--log=-", "--dir", filepath.Join(s.dir, "state"), "--seed", strconv.FormatInt(o.Seed, 10)}, o.Args...),
		Log:  filepath.Join(s.dir, "supercargo-sandbox.log"), Stdout: stdout,
		// It has things to clean up.
		ParentDeath: syscall.SIGTERM,
	})
	if err != nil {
		return err
	}
	select {
	case line := <-stdout.line:
		if err := json.Unmarshal(line, &s.Ready); err != nil {
			return fmt.Errorf("reading what supercargo-sandbox printed, %q, %w", line, err)
		}
	case <-s.process.Done():
		return fmt.Errorf("starting the sandbox: it ended; its log says:\n%s", Tail(s.process.Log(), tailLines))
	case <-ctx.Done():
		return fmt.Errorf("starting the sandbox, %w; its log says:\n%s", ctx.Err(), Tail(s.process.Log(), tailLines))
	}
	if s.config, err = clientcmd.BuildConfigFromFlags("", s.Kubeconfig); err != nil {
		return fmt.Errorf("reading the sandbox's kubeconfig, %w", err)
	}
	s.config.QPS = -1
	return nil
}

// Config returns a configuration that acts as cluster administrator, without client-side rate limit.
func (s *Sandbox) Config() *rest.Config { return rest.CopyConfig(s.config) }

// Process returns the process of control plane and cloud.
func (s *Sandbox) Process() *Process { return s.process }

// Outage takes the API server away for downtime: watches end, connections are refused. It returns when a new API server is ready
// on the same address, over the same data.
func (s *Sandbox) Outage(ctx context.Context, downtime time.Duration) error {
	target := s.Control + "/outage?" + url.Values{"for": {downtime.String()}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, http.NoBody)
	if err != nil {
		return fmt.Errorf("API server outage, %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("API server outage, %w", err)
	}
	defer func() { _ = response.Body.Close() }() // the status is all that is read
	if response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("API server outage: the sandbox answers %s", response.Status)
	}
	return nil
}

// Stop stops the components, then control plane and cloud, and removes a temporary directory. It may be called again.
func (s *Sandbox) Stop() error {
	s.mu.Lock()
	components := s.components
	s.components = nil
	s.mu.Unlock()
	errs := []error{StopAll(components)}
	if s.process != nil {
		errs = append(errs, s.process.Stop())
	}
	if s.temporary {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// logs returns the paths of all logs.
func (s *Sandbox) logs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paths []string
	if s.process != nil {
		paths = append(paths, s.process.Log())
	}
	for _, p := range s.components {
		paths = append(paths, p.Log())
	}
	return paths
}
