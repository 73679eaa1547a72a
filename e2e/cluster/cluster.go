package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"supercargo.dev/e2e/cluster/kubeconfig"
)

// occupied says that a control plane runs in this process. It is a global because what it guards is: Kubernetes keeps its
// feature gates, metric registries, configz and logger in package variables.
var occupied atomic.Bool

// Options configures Start. The zero value is ready to use.
type Options struct {
	// Dir holds keys, kubeconfigs and etcd's data. It is created when missing and kept on Stop. Empty: a temporary directory
	// that Stop removes.
	Dir string
	// Port is where the API server listens on 127.0.0.1. 0: any free port that is not used for outgoing connections.
	Port int
	// Log receives the log of all components, as klog text. nil: dropped.
	Log io.Writer
	// Verbosity is klog's -v: 0 for what an operator should see, 4 for debugging.
	Verbosity int
	// AuditLog is the path of a file to which the API server appends a JSON audit event (level Metadata) for each request of a
	// ServiceAccount outside the kube-system namespace, with the RBAC rule that allowed it. Empty: no audit.
	AuditLog string
}

// Cluster is a running control plane. Its methods may be called concurrently.
type Cluster struct {
	options   Options
	dir       string
	temporary bool
	keys      *pki
	tokens    tokens
	log       *logSink
	etcd      *etcd
	admin     *rest.Config
	// port is fixed at the first start, so that clients survive a restart of the API server.
	port int

	// outage serializes restarts of the API server with each other and with Stop.
	outage     sync.Mutex
	stopped    bool
	apiServer  *runner
	components []*runner // scheduler and controller manager

	// life is cancelled, with the cause, when a component ends that should not.
	life context.Context
	fail context.CancelCauseFunc

	stopOnce sync.Once
	stopErr  error
}

// Start starts a control plane and returns when the API server is ready, the controllers keep namespaces and ServiceAccounts, and
// the scheduler's caches are filled. ctx bounds the start only; Stop ends the control plane. It fails when one
// already runs in this process.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	if !occupied.CompareAndSwap(false, true) {
		return nil, errors.New("starting a control plane: one already runs in this process")
	}
	c := &Cluster{options: o, dir: o.Dir}
	c.life, c.fail = context.WithCancelCause(context.Background())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A component that fails ends the wait for it.
	defer context.AfterFunc(c.life, cancel)()
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	if err := c.prepare(); err != nil {
		return nil, err
	}
	if c.etcd, err = startEtcd(ctx, c.dir, c.log.zap()); err != nil {
		return nil, err
	}
	if err := c.startAPIServer(ctx); err != nil {
		return nil, err
	}
	if err := c.startComponents(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// prepare writes everything that the components read.
func (c *Cluster) prepare() (err error) {
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "supercargo-cluster-"); err != nil {
			return fmt.Errorf("creating a directory for the control plane, %w", err)
		}
		c.temporary = true
	}
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return fmt.Errorf("resolving directory, %w", err)
	}
	c.log = captureLogs(c.options.Log, c.options.Verbosity)
	if c.keys, err = newPKI(filepath.Join(c.dir, "pki"), apiServerIPs, apiServerNames); err != nil {
		return err
	}
	if c.tokens, err = newTokens(); err != nil {
		return err
	}
	return c.tokens.write(c.path("tokens.csv"))
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// Config returns a configuration that acts as cluster administrator, without client-side rate limit.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.admin) }

// Kubeconfig returns the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.path("admin.kubeconfig") }

// URL returns the API server's address.
func (c *Cluster) URL() string { return c.admin.Host }

// ServiceAccountKubeconfig writes a kubeconfig to path that authenticates as the ServiceAccount, which must exist, with a token
// from the TokenRequest API.
func (c *Cluster) ServiceAccountKubeconfig(ctx context.Context, namespace, name, path string) error {
	return kubeconfig.ForServiceAccount(ctx, c.admin, namespace, name, path)
}

// Done is closed when a component has ended without being told to. Err then says which and why. Stop does not close it.
func (c *Cluster) Done() <-chan struct{} { return c.life.Done() }

// Err returns why Done is closed, nil while it is not.
func (c *Cluster) Err() error { return context.Cause(c.life) }

// ended is told by a runner that its component ended by itself.
func (c *Cluster) ended(component string, err error) {
	c.fail(fmt.Errorf("%s ended, %w", component, err))
}

// componentStop bounds how long Stop waits for one component. The controller manager gives its controllers 10 s.
const componentStop = 20 * time.Second

// Stop stops the scheduler and the controllers, then the API server, then etcd, and removes the temporary directory. It
// returns when all of them have ended, and may be called again.
func (c *Cluster) Stop() error {
	c.stopOnce.Do(func() {
		c.outage.Lock()
		defer c.outage.Unlock()
		c.stopped = true
		defer occupied.Store(false)
		var errs []error
		for _, r := range c.components {
			r.cancel()
		}
		for _, r := range c.components {
			errs = append(errs, r.stop(componentStop))
		}
		forgetConfigz()
		if c.apiServer != nil {
			errs = append(errs, c.apiServer.stop(componentStop))
		}
		if c.etcd != nil {
			c.etcd.stop()
		}
		if c.log != nil {
			c.log.release()
		}
		if c.temporary {
			errs = append(errs, os.RemoveAll(c.dir))
		}
		c.stopErr = errors.Join(errs...)
	})
	return c.stopErr
}
