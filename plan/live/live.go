// Package live reads what a plan needs of a running cluster, with a kubeconfig and nothing but reading rights. What it may not
// read, or what the cluster does not have, is left out and said.
package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"supercargo.dev/plan/dump"
)

// Config finds the cluster as kubectl does: by the file named, else $KUBECONFIG, else ~/.kube/config, else the pod's own
// service account. kubeContext names a context of it; empty means the current one.
func Config(kubeconfig, kubeContext string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no cluster is configured: name a kubeconfig (--kubeconfig, $KUBECONFIG)")
	}
	if err != nil {
		return nil, fmt.Errorf("loading the kubeconfig, %w", err)
	}
	return cfg, nil
}

// list is a collection that a plan reads.
type list struct {
	path string
	// required lists are an error where they cannot be read; without the others a plan knows less.
	required bool
}

const scalers = "/apis/supercargo.dev/v1alpha1/workloadscalers"

func lists() []list {
	return []list{
		{"/api/v1/nodes", true},
		{"/api/v1/pods", true},
		{"/api/v1/namespaces", false},
		{"/api/v1/persistentvolumeclaims", false},
		{"/api/v1/persistentvolumes", false},
		{"/apis/storage.k8s.io/v1/storageclasses", false},
		{"/apis/storage.k8s.io/v1/csinodes", false},
		{"/apis/apps/v1/daemonsets", false},
		{"/apis/policy/v1/poddisruptionbudgets", false},
		{scalers, false},
	}
}

// Read lists the cluster into the objects. The lists come from the API server's cache and are read as they arrive.
func Read(ctx context.Context, cfg *rest.Config, objects *dump.Objects, opts dump.Options) error {
	return read(ctx, cfg, lists(), objects, opts)
}

// ReadScalers lists the WorkloadScalers of the cluster and nothing else. A cluster that does not know the kind is an error.
func ReadScalers(ctx context.Context, cfg *rest.Config, objects *dump.Objects, opts dump.Options) error {
	err := read(ctx, cfg, []list{{scalers, true}}, objects, opts)
	var refused *refusedError
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		return fmt.Errorf("the cluster %s has no WorkloadScalers: install supercargo's CRDs and its recommender first", cfg.Host)
	}
	return err
}

func read(ctx context.Context, cfg *rest.Config, wanted []list, objects *dump.Objects, opts dump.Options) error {
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return fmt.Errorf("making a client, %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return fmt.Errorf("reading the server's address, %w", err)
	}
	for _, l := range wanted {
		err := readList(ctx, client, base, l.path, objects, opts)
		var refused *refusedError
		switch {
		case err == nil:
		case errors.As(err, &refused) && !l.required:
			if refused.status != http.StatusNotFound { // a kind that is not installed has no objects
				objects.Problems = append(objects.Problems, dump.Problem{Source: l.path, Message: err.Error()})
			}
		default:
			return err
		}
	}
	return nil
}

// refusedError is an answer other than 200.
type refusedError struct {
	path, text string
	status     int
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("listing %s, %s: %s", e.path, http.StatusText(e.status), e.text)
}

func readList(ctx context.Context, client *http.Client, base *url.URL, path string, objects *dump.Objects, opts dump.Options) (err error) {
	u := base.JoinPath(path)
	u.RawQuery = "resourceVersion=0" // from the server's cache
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("listing %s, %w", path, err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("listing %s, %w", path, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
		if err != nil {
			return fmt.Errorf("listing %s, %w", path, err)
		}
		return &refusedError{path: path, text: strings.TrimSpace(string(text)), status: resp.StatusCode}
	}
	return objects.Read(ctx, path, resp.Body, opts)
}
