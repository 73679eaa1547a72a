package cluster

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/server/egressselector"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"supercargo.dev/e2e/cluster/kubeconfig"
	"supercargo.dev/e2e/cluster/loopback"
)

const (
	frontProxyClient = "front-proxy-client"
	issuer           = "https://kubernetes.default.svc.cluster.local"
	serviceRange     = "10.96.0.0/16"
	readyPoll        = 25 * time.Millisecond
	watchGrace       = "2s"
)

var (
	apiServerIPs   = []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP("10.96.0.1")}
	apiServerNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
)

// startAPIServer starts the API server on c.port and waits until it is ready. The caller holds c.outage or is alone.
func (c *Cluster) startAPIServer(ctx context.Context) error {
	listener, err := c.listen(ctx)
	if err != nil {
		return fmt.Errorf("starting the API server, %w", err)
	}
	if c.port == 0 {
		if c.port, err = loopback.Port(listener); err != nil {
			return fmt.Errorf("starting the API server, %w", err)
		}
		if err := c.writeKubeconfigs(); err != nil {
			return err
		}
	}
	flags, err := c.apiServerFlags()
	if err != nil {
		return err
	}
	o, err := c.apiServerOptions(flags, listener)
	if err != nil {
		return err
	}
	c.apiServer = run(context.Background(), "kube-apiserver", func(ctx context.Context) error {
		completed, err := o.Complete(ctx)
		if err != nil {
			return fmt.Errorf("completing options, %w", err)
		}
		if errs := completed.Validate(); len(errs) != 0 {
			return fmt.Errorf("validating options, %w", utilerrors.NewAggregate(errs))
		}
		return app.Run(ctx, completed)
	}, c.ended)
	return c.awaitAPIServer(ctx)
}

func (c *Cluster) listen(ctx context.Context) (net.Listener, error) {
	if port := cmp.Or(c.port, c.options.Port); port != 0 {
		return loopback.ListenOn(ctx, port)
	}
	return loopback.Listen(ctx)
}

func (c *Cluster) apiServerOptions(flags []string, listener net.Listener) (*options.ServerRunOptions, error) {
	o := options.NewServerRunOptions()
	if err := parseFlags(o.Flags(), flags); err != nil {
		return nil, fmt.Errorf("parsing API server flags, %w", err)
	}
	if err := o.GenericServerRunOptions.ComponentGlobalsRegistry.SetFallback(); err != nil {
		return nil, fmt.Errorf("setting feature gates, %w", err)
	}
	o.SecureServing.Listener, o.SecureServing.BindPort = listener, c.port
	// There is no network between the API server and the nodes: see the package comment.
	o.KubeletConfig.Lookup = func(egressselector.NetworkContext) (utilnet.DialFunc, error) { return dialLoopback, nil }
	return o, nil
}

// dialLoopback dials the port of address on this machine.
func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dialing a kubelet at %q, %w", address, err)
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// apiServerFlags configures the API server as kubeadm does, where nothing else is said.
func (c *Cluster) apiServerFlags() ([]string, error) {
	k := c.keys
	flags := []string{
		"--etcd-servers=" + c.etcd.endpoint,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--external-hostname=127.0.0.1",
		// The API forbids a loopback address in endpoints, and there is no other that would work.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=" + serviceRange,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--token-auth-file=" + c.path("tokens.csv"),
		"--client-ca-file=" + k.caCert,
		"--tls-cert-file=" + k.servingCert,
		"--tls-private-key-file=" + k.servingKey,
		"--service-account-issuer=" + issuer,
		"--service-account-signing-key-file=" + k.serviceAccountKey,
		"--service-account-key-file=" + k.serviceAccountPub,
		"--requestheader-client-ca-file=" + k.frontProxyCA,
		"--requestheader-allowed-names=" + frontProxyClient,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + k.frontProxyCert,
		"--proxy-client-key-file=" + k.frontProxyKey,
		"--kubelet-client-certificate=" + k.kubeletClientCert,
		"--kubelet-client-key=" + k.kubeletClient,
		// A node's host name does not resolve here.
		"--kubelet-preferred-address-types=InternalIP,ExternalIP",
		"--profiling=false",
		// Ends watches when the server stops. Without it a stop waits a minute for clients that have no reason to leave.
		"--shutdown-watch-termination-grace-period=" + watchGrace,
	}
	if c.options.AuditLog == "" {
		return flags, nil
	}
	policy := c.path("audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("writing the audit policy, %w", err)
	}
	return append(flags, "--audit-policy-file="+policy, "--audit-log-path="+c.options.AuditLog, "--audit-log-mode=batch",
		"--audit-log-batch-max-wait=200ms"), nil
}

// auditPolicy records who asked what, of ServiceAccounts other than Kubernetes' own.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
`

// writeKubeconfigs writes one kubeconfig for each user of the token file and keeps the administrator's configuration.
func (c *Cluster) writeKubeconfigs() error {
	base := &rest.Config{
		Host:            "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		TLSClientConfig: rest.TLSClientConfig{CAData: c.keys.caPEM},
		QPS:             -1,
	}
	for name, file := range map[string]string{
		adminUser:             c.Kubeconfig(),
		controllerManagerUser: c.path("controller-manager.kubeconfig"),
		schedulerUser:         c.path("scheduler.kubeconfig"),
	} {
		cfg := rest.CopyConfig(base)
		cfg.BearerToken = c.tokens[name]
		if err := kubeconfig.Write(cfg, file); err != nil {
			return err
		}
		if name == adminUser {
			c.admin = cfg
		}
	}
	return nil
}

// awaitAPIServer returns when /readyz answers ok, which includes that the bootstrap roles exist.
func (c *Cluster) awaitAPIServer(ctx context.Context) error {
	cfg := c.Config()
	// A request must not hang on a server that accepts connections but does not serve yet.
	cfg.Timeout = 2 * time.Second
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("creating client, %w", err)
	}
	err = wait.PollUntilContextCancel(ctx, readyPoll, true, func(ctx context.Context) (bool, error) {
		status := 0
		// Until the server is ready every kind of error is to be expected; the last one says little.
		_ = client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&status).Error()
		return status == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the API server, %w", cmp.Or(c.Err(), err))
	}
	return nil
}

// parseFlags sets a component's flags as its command line would.
func parseFlags(sets cliflag.NamedFlagSets, args []string) error {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, set := range sets.FlagSets {
		fs.AddFlagSet(set)
	}
	return fs.Parse(args)
}
