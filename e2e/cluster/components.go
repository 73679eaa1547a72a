package cluster

import (
	"cmp"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-base/configz"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controllermanageroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// Client-side rate limits of scheduler and controller manager. The defaults (50 and 20 requests per second) are too low for
// thousands of pods; managed control planes raise them to about this.
const (
	apiQPS   = "500"
	apiBurst = "1000"
)

// schedulerConfigz is the name under which the scheduler registers its configuration for /configz.
const schedulerConfigz = "componentconfig"

// forgetConfigz lets a next control plane in this process register its configuration.
func forgetConfigz() {
	configz.Delete(controllermanager.ConfigzName)
	configz.Delete(schedulerConfigz)
}

// startComponents starts scheduler and controllers beside each other and waits until both work.
func (c *Cluster) startComponents(ctx context.Context) error {
	manager, err := c.newControllerManager()
	if err != nil {
		return err
	}
	c.components = append(c.components, manager)
	sched, synced, err := c.newScheduler()
	if err != nil {
		return err
	}
	c.components = append(c.components, sched)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.awaitControllers(ctx) })
	g.Go(func() error { return synced(ctx) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("waiting for scheduler and controllers, %w", cmp.Or(c.Err(), err))
	}
	return nil
}

// newControllerManager starts the controller manager with every controller that needs no cloud.
func (c *Cluster) newControllerManager() (*runner, error) {
	o, err := controllermanageroptions.NewKubeControllerManagerOptions()
	if err != nil {
		return nil, fmt.Errorf("creating controller manager options, %w", err)
	}
	known, off, aliases := controllermanager.KnownControllers(), controllermanager.ControllersDisabledByDefault(), controllermanager.ControllerAliases()
	if err := parseFlags(o.Flags(known, off, aliases), []string{
		"--kubeconfig=" + c.path("controller-manager.kubeconfig"),
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.keys.serviceAccountKey,
		"--root-ca-file=" + c.keys.caCert,
		"--cluster-signing-cert-file=" + c.keys.caCert,
		"--cluster-signing-key-file=" + c.keys.caKey,
		"--secure-port=0",
		"--kube-api-qps=" + apiQPS,
		"--kube-api-burst=" + apiBurst,
		"--profiling=false",
	}); err != nil {
		return nil, fmt.Errorf("parsing controller manager flags, %w", err)
	}
	return run(context.Background(), "kube-controller-manager", func(ctx context.Context) error {
		cfg, err := o.Config(ctx, known, off, aliases)
		if err != nil {
			return fmt.Errorf("configuring, %w", err)
		}
		return controllermanager.Run(ctx, cfg.Complete())
	}, c.ended), nil
}

// newScheduler starts the default scheduler. The function returned blocks until its caches are filled.
func (c *Cluster) newScheduler() (*runner, func(context.Context) error, error) {
	o := scheduleroptions.NewOptions()
	if err := parseFlags(*o.Flags, []string{
		"--kubeconfig=" + c.path("scheduler.kubeconfig"),
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=" + apiQPS,
		"--kube-api-burst=" + apiBurst,
		"--profiling=false",
	}); err != nil {
		return nil, nil, fmt.Errorf("parsing scheduler flags, %w", err)
	}
	type handlers interface{ WaitForHandlersSync(context.Context) error }
	ready := make(chan handlers, 1)
	r := run(context.Background(), "kube-scheduler", func(ctx context.Context) error {
		cfg, sched, err := scheduler.Setup(ctx, o)
		if err != nil {
			return fmt.Errorf("configuring, %w", err)
		}
		ready <- sched
		return scheduler.Run(ctx, cfg, sched)
	}, c.ended)
	return r, func(ctx context.Context) error {
		select {
		case h := <-ready:
			return h.WaitForHandlersSync(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}

// awaitControllers returns when the default namespace has its ServiceAccount and root certificate: without them no pod can be
// created, and they are the work of controllers.
func (c *Cluster) awaitControllers(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("creating client, %w", err)
	}
	return wait.PollUntilContextCancel(ctx, readyPoll, true, func(ctx context.Context) (bool, error) {
		core := client.CoreV1()
		if _, err := core.ServiceAccounts(corev1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return false, ignoreNotFound(err)
		}
		_, err := core.ConfigMaps(corev1.NamespaceDefault).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err == nil, ignoreNotFound(err)
	})
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
