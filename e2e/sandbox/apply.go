package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// fieldManager owns what Apply writes.
const fieldManager = "supercargo-sandbox"

// applyPoll is between two looks at something that the API server has yet to do.
const applyPoll = 50 * time.Millisecond

var crdKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

// Read reads the objects of YAML or JSON files below fsys, in order of their paths. A path may be a file, which may hold several
// objects, or a directory, of which every .yaml, .yml and .json file is read; default: all of fsys. Directories with a
// kustomization are refused: what it changes would be lost.
func Read(fsys fs.FS, paths ...string) ([]*unstructured.Unstructured, error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	var objects []*unstructured.Unstructured
	for _, root := range paths {
		err := fs.WalkDir(fsys, root, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if base := strings.ToLower(path.Base(name)); strings.TrimSuffix(base, path.Ext(base)) == "kustomization" {
				return errors.New("a kustomization cannot be applied: name the files")
			}
			if name != root && !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)) {
				return nil
			}
			content, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			parsed, err := Parse(content)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			objects = append(objects, parsed...)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading manifests, %w", err)
		}
	}
	return objects, nil
}

// Parse reads the objects of a YAML stream or a JSON document. Lists are flattened, empty documents skipped.
func Parse(content []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	var objects []*unstructured.Unstructured
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parsing manifest, %w", err)
		}
		if len(u.Object) == 0 {
			continue
		}
		if objects, err = flatten(objects, u); err != nil {
			return nil, fmt.Errorf("parsing manifest, %w", err)
		}
	}
}

// flatten appends the object, or the items when it is a list.
func flatten(objects []*unstructured.Unstructured, u *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if u.GetKind() == "" || u.GetAPIVersion() == "" {
		return nil, errors.New("an object without apiVersion or kind")
	}
	if !u.IsList() {
		return append(objects, u), nil
	}
	err := u.EachListItem(func(item runtime.Object) (err error) {
		child, ok := item.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("a list holds a %T", item)
		}
		objects, err = flatten(objects, child)
		return err
	})
	return objects, err
}

// Apply applies the objects on the server side, owning their fields by force: first CRDs, which are waited for until the API server
// serves them, then namespaces, then the rest in the order given. An object in no namespace goes to "default".
func Apply(ctx context.Context, cfg *rest.Config, objects ...*unstructured.Unstructured) error {
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("creating client, %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return fmt.Errorf("creating client, %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	a := applier{client: client, mapper: mapper}
	sorted := slices.Clone(objects)
	slices.SortStableFunc(sorted, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	crds := 0
	for _, o := range sorted {
		if rank(o) > 0 && crds > 0 {
			if err := a.awaitCRDs(ctx, sorted[:crds]); err != nil {
				return err
			}
			crds = 0
		}
		if rank(o) == 0 {
			crds++
		}
		if err := a.apply(ctx, o); err != nil {
			return fmt.Errorf("applying %s %s, %w", o.GetKind(), key(o), err)
		}
	}
	return a.awaitCRDs(ctx, sorted[:crds])
}

// Apply applies manifests as cluster administrator: see the function Apply.
func (s *Sandbox) Apply(ctx context.Context, objects ...*unstructured.Unstructured) error {
	return Apply(ctx, s.config, objects...)
}

func rank(o *unstructured.Unstructured) int {
	switch o.GroupVersionKind().GroupKind() {
	case crdKind:
		return 0
	case schema.GroupKind{Kind: "Namespace"}:
		return 1
	}
	return 2
}

func key(o *unstructured.Unstructured) string {
	if o.GetNamespace() == "" {
		return o.GetName()
	}
	return o.GetNamespace() + "/" + o.GetName()
}

type applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func (a applier) resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := o.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return a.client.Resource(mapping.Resource), nil
	}
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return a.client.Resource(mapping.Resource).Namespace(namespace), nil
}

func (a applier) apply(ctx context.Context, o *unstructured.Unstructured) error {
	resource, err := a.resource(o)
	if err != nil {
		return err
	}
	_, err = resource.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	return err
}

// awaitCRDs waits until each CRD is established and its resources can be listed: between the two lies the API server's own
// reaction to the condition.
func (a applier) awaitCRDs(ctx context.Context, crds []*unstructured.Unstructured) error {
	for _, crd := range crds {
		resource, err := a.resource(crd)
		if err != nil {
			return err
		}
		if err := wait.PollUntilContextCancel(ctx, applyPoll, true, func(ctx context.Context) (bool, error) {
			live, err := resource.Get(ctx, crd.GetName(), metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			if !established(live) {
				return false, nil
			}
			_, err = a.client.Resource(served(live)).List(ctx, metav1.ListOptions{Limit: 1})
			return err == nil, ignore(err, apierrors.IsNotFound, apierrors.IsServiceUnavailable, apierrors.IsTooManyRequests)
		}); err != nil {
			return fmt.Errorf("waiting for CRD %s to be established, %w", crd.GetName(), err)
		}
	}
	if len(crds) > 0 {
		a.mapper.Reset()
	}
	return nil
}

func ignore(err error, kinds ...func(error) bool) error {
	if slices.ContainsFunc(kinds, func(is func(error) bool) bool { return is(err) }) {
		return nil
	}
	return err
}

// objects of a custom resource definition as the API server returns it always have the fields read below.
func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, ok := c.(map[string]any)
		return ok && condition["type"] == "Established" && condition["status"] == "True"
	})
}

// served returns the first served version of the CRD's resource.
func served(crd *unstructured.Unstructured) schema.GroupVersionResource {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		if version, ok := v.(map[string]any); ok && version["served"] == true {
			name, _ := version["name"].(string)
			return schema.GroupVersionResource{Group: group, Version: name, Resource: plural}
		}
	}
	return schema.GroupVersionResource{Group: group, Resource: plural}
}
