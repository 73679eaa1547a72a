package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/plan/dump"
	"supercargo.dev/plan/live"
)

// connection is how a cluster is found.
type connection struct {
	kubeconfig  string
	kubeContext string
}

func (c *connection) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: as kubectl finds it)")
	cmd.Flags().StringVar(&c.kubeContext, "context", "", "context of the kubeconfig")
}

// client talks to the cluster.
func (c *connection) client() (client.Client, error) {
	cfg, err := live.Config(c.kubeconfig, c.kubeContext)
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

// source is where WorkloadScalers are read from: dumps, or the clusters of some contexts.
type source struct {
	kubeconfig string
	contexts   []string
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster to read where no dump is given (default: as kubectl finds it)")
	cmd.Flags().StringSliceVar(&s.contexts, "context", nil, "contexts of the kubeconfig, one for each cluster to read")
}

// clusterScalers are the WorkloadScalers of one cluster.
type clusterScalers struct {
	cluster string // a name where there are several, else empty
	scalers []*v1alpha1.WorkloadScaler
}

// read reads every input. Items that cannot be read are returned as problems.
func (s *source) read(cmd *cobra.Command, args []string) ([]clusterScalers, []dump.Problem, error) {
	if len(args) > 0 && (s.kubeconfig != "" || len(s.contexts) > 0) {
		return nil, nil, usageError{errors.New("a dump and a kubeconfig: want one of them")}
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
	for _, name := range args {
		objects := &dump.Objects{}
		if err := readFile(cmd.Context(), cmd.InOrStdin(), name, objects, status); err != nil {
			return nil, nil, err
		}
		add(filepath.Base(name), len(args) > 1, objects)
	}
	if len(args) > 0 {
		return out, problems, nil
	}
	contexts := s.contexts
	if len(contexts) == 0 {
		contexts = []string{""}
	}
	for _, name := range contexts {
		cfg, err := live.Config(s.kubeconfig, name)
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
