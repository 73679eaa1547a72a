package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"supercargo.dev/recommender/migrate"
)

// migrateOptions are the flags of migrate vpa.
type migrateOptions struct {
	connection
	keepModes bool
}

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Turn the objects of another autoscaler into supercargo's",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	o := &migrateOptions{}
	vpa := &cobra.Command{
		Use:   "vpa [FILE | -]",
		Short: "Turn VerticalPodAutoscalers into WorkloadScalers and policies",
		Long: `migrate vpa prints the WorkloadScalers, and the policies where settings need them, that do what VerticalPodAutoscalers do. It changes
nothing in the cluster. What has no counterpart is said on the standard error, setting by setting.

Everything starts in Preview, so that both can be watched side by side; --keep-modes takes the update modes over. Delete a
VerticalPodAutoscaler, or set it to Off, before its WorkloadScaler changes pods: two that change the same pods undo each other.

It reads what kubectl get verticalpodautoscalers -A -o json prints, from a file or the standard input (-); without any it reads the
cluster of the kubeconfig.`,
		Example: `  supercargo migrate vpa > scalers.yaml
  kubectl get vpa -A -o json | supercargo migrate vpa - --keep-modes | kubectl apply -f -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{errors.New("want one dump at most")}
			}
			return nil
		},
		RunE: o.run,
	}
	o.connection.flags(vpa)
	vpa.Flags().BoolVar(&o.keepModes, "keep-modes", false, "take the update modes over instead of starting in Preview")
	cmd.AddCommand(vpa)
	return cmd
}

func (o *migrateOptions) run(cmd *cobra.Command, args []string) error {
	in, err := o.input(cmd, args)
	if err != nil {
		return err
	}
	all, err := migrate.ReadVPAs(in)
	if err != nil {
		return fmt.Errorf("reading verticalpodautoscalers, %w", err)
	}
	result := migrate.FromVPA(all, migrate.Options{KeepModes: o.keepModes})
	for _, object := range result.Objects {
		data, err := manifest(object)
		if err != nil {
			return fmt.Errorf("writing %s, %w", object.GetName(), err)
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "---\n%s", data); err != nil {
			return fmt.Errorf("writing the manifests, %w", err)
		}
	}
	w := cmd.ErrOrStderr()
	for _, note := range result.Notes {
		_, _ = fmt.Fprintln(w, note)
	}
	_, _ = fmt.Fprintf(w, "%d VerticalPodAutoscalers read, %d objects made, %d settings to look at.\n", len(all), len(result.Objects), len(result.Notes))
	return nil
}

// manifest is an object as a person would write it: without a status and the fields that the server fills in.
func manifest(object runtime.Object) ([]byte, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	delete(content, "status")
	return yaml.Marshal(prune(content))
}

// prune drops what is empty: a zero that is written down would take the place of a default.
func prune(m map[string]any) map[string]any {
	for key, value := range m {
		switch v := value.(type) {
		case nil:
			delete(m, key)
		case string:
			if v == "0s" {
				delete(m, key)
			}
		case map[string]any:
			if len(prune(v)) == 0 {
				delete(m, key)
			}
		}
	}
	return m
}

func (o *migrateOptions) input(cmd *cobra.Command, args []string) (io.Reader, error) {
	if err := o.orDump(args); err != nil {
		return nil, err
	}
	switch {
	case len(args) == 1 && args[0] == "-":
		return cmd.InOrStdin(), nil
	case len(args) == 1:
		data, err := os.ReadFile(args[0])
		return bytes.NewReader(data), err
	}
	c, err := o.client()
	if err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: "autoscaling.k8s.io", Version: "v1", Kind: "VerticalPodAutoscalerList"})
	if err := c.List(cmd.Context(), list); err != nil {
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return nil, errors.New("the cluster has no VerticalPodAutoscalers: the Vertical Pod Autoscaler is not installed")
		}
		return nil, fmt.Errorf("listing verticalpodautoscalers, %w", err)
	}
	data, err := list.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("reading verticalpodautoscalers, %w", err)
	}
	return bytes.NewReader(data), nil
}
