package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/plan/dump"
	"supercargo.dev/plan/live"
)

// connection is how clusters are found: the one of the current context, or those of some contexts.
type connection struct {
	kubeconfig string
	contexts   []string
}

// flags for a command that acts on one cluster.
func (c *connection) flags(cmd *cobra.Command) {
	c.contexts = []string{""}
	c.file(cmd)
	cmd.Flags().StringVar(&c.contexts[0], "context", "", "context of the kubeconfig")
}

// flagsForSeveral are those for a command that reads any number of clusters.
func (c *connection) flagsForSeveral(cmd *cobra.Command) {
	c.file(cmd)
	cmd.Flags().StringSliceVar(&c.contexts, "context", nil, "contexts of the kubeconfig, one for each cluster to read")
}

func (c *connection) file(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: as kubectl finds it)")
}

// orDump refuses a call that names both dumps and a cluster.
func (c *connection) orDump(dumps []string) error {
	if len(dumps) > 0 && (c.kubeconfig != "" || strings.Join(c.contexts, "") != "") {
		return usageError{errors.New("a dump and a kubeconfig: want one of them")}
	}
	return nil
}

// config says how the one cluster is reached.
func (c *connection) config() (*rest.Config, error) { return live.Config(c.kubeconfig, c.contexts[0]) }

// client talks to the one cluster.
func (c *connection) client() (client.Client, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	log.SetLogger(logr.Discard()) // what matters reaches the caller as an error
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("building the scheme, %w", err)
	}
	out, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster, %w", err)
	}
	return out, nil
}

// clusterScalers are the WorkloadScalers of one cluster.
type clusterScalers struct {
	cluster string // a name where there are several, else empty
	scalers []*v1alpha1.WorkloadScaler
}

// scalers reads the WorkloadScalers of dumps or, where none is named, of the clusters. Items that cannot be read are returned as
// problems.
func (c *connection) scalers(cmd *cobra.Command, dumps []string) ([]clusterScalers, []dump.Problem, error) {
	if err := c.orDump(dumps); err != nil {
		return nil, nil, err
	}
	status := newProgress(cmd.ErrOrStderr())
	defer status.done()
	var out []clusterScalers
	var problems []dump.Problem
	add := func(cluster string, several bool, objects *dump.Objects) {
		if !several {
			cluster = ""
		}
		out = append(out, clusterScalers{cluster, objects.Scalers})
		problems = append(problems, objects.Problems...)
	}
	for _, name := range dumps {
		objects := &dump.Objects{}
		if err := readFile(cmd.Context(), cmd.InOrStdin(), name, objects, status); err != nil {
			return nil, nil, err
		}
		add(filepath.Base(name), len(dumps) > 1, objects)
	}
	if len(dumps) > 0 {
		return out, problems, nil
	}
	contexts := c.contexts
	if len(contexts) == 0 {
		contexts = []string{""}
	}
	for _, name := range contexts {
		cfg, err := live.Config(c.kubeconfig, name)
		if err != nil {
			return nil, nil, err
		}
		objects := &dump.Objects{}
		if err := live.ReadScalers(cmd.Context(), cfg, objects, dump.Options{Progress: status.reading("the cluster")}); err != nil {
			return nil, nil, err
		}
		add(name, len(contexts) > 1, objects)
	}
	return out, problems, nil
}
