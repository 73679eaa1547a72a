package manifests

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// crds reads the definitions as the API server does: defaulted, converted, validated; CEL rules compiled and priced.
func crds(t *testing.T) map[string]*apiextensions.CustomResourceDefinition {
	t.Helper()
	files, err := fs.Glob(CRDs, "crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	definitions := map[string]*apiextensions.CustomResourceDefinition{}
	for _, file := range files {
		raw, err := fs.ReadFile(CRDs, file)
		if err != nil {
			t.Fatal(err)
		}
		var external apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(raw, &external); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		apiextensionsv1.SetDefaults_CustomResourceDefinition(&external)
		apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&external.Spec)
		internal := &apiextensions.CustomResourceDefinition{}
		if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&external, internal, nil); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		definitions[file] = internal
	}
	return definitions
}

func TestTheAPIServerTakesEveryCRD(t *testing.T) {
	for file, definition := range crds(t) {
		t.Run(file, func(t *testing.T) {
			// Stored by the API server itself; a definition that is being created has it from the strategy.
			for _, version := range definition.Spec.Versions {
				if version.Storage {
					definition.Status.StoredVersions = []string{version.Name}
				}
			}
			for _, err := range validation.ValidateCustomResourceDefinition(t.Context(), definition) {
				t.Error(err)
			}
		})
	}
}

func TestEveryExampleIsValid(t *testing.T) {
	definitions := map[schema.GroupKind]*apiextensions.CustomResourceDefinition{}
	for _, definition := range crds(t) {
		definitions[schema.GroupKind{Group: definition.Spec.Group, Kind: definition.Spec.Names.Kind}] = definition
	}
	files, err := fs.Glob(Examples, "examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shown := sets.New[schema.GroupKind]()
	for _, file := range files {
		raw, err := fs.ReadFile(Examples, file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
		for {
			object := &unstructured.Unstructured{}
			if err := decoder.Decode(object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			kind := object.GroupVersionKind().GroupKind()
			shown.Insert(kind)
			t.Run(file+"/"+kind.Kind+"/"+object.GetName(), func(t *testing.T) {
				definition := definitions[kind]
				if definition == nil {
					t.Fatalf("no CRD for %s", kind)
				}
				validate(t, definition, object)
			})
		}
	}
	for kind := range definitions {
		if kind.Group == "supercargo.dev" && !shown.Has(kind) {
			t.Errorf("no example shows a %s", kind.Kind)
		}
	}
}

// validate fails the test for every problem of an object.
func validate(t *testing.T, definition *apiextensions.CustomResourceDefinition, object *unstructured.Unstructured) {
	t.Helper()
	for _, problem := range problems(t, definition, object) {
		t.Error(problem)
	}
}

// problems does to an object what the API server does when it is created: unknown fields, defaults, schema, CEL.
func problems(t *testing.T, definition *apiextensions.CustomResourceDefinition, object *unstructured.Unstructured) (out []string) {
	t.Helper()
	validationSchema, err := apiextensions.GetSchemaForVersion(definition, object.GroupVersionKind().Version)
	if err != nil || validationSchema == nil {
		t.Fatalf("no schema for %s (%v)", object.GroupVersionKind(), err)
	}
	structural, err := structuralschema.NewStructural(validationSchema.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	unknown := pruning.PruneWithOptions(object.Object, structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		out = append(out, "unknown field "+path)
	}
	defaulting.Default(object.Object, structural)
	validator, _, err := schemavalidation.NewSchemaValidator(validationSchema.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range schemavalidation.ValidateCustomResource(nil, object.Object, validator) {
		out = append(out, err.Error())
	}
	violations, _ := cel.NewValidator(structural, true, celconfig.PerCallLimit).Validate(t.Context(), nil, structural, object.Object, nil, celconfig.RuntimeCELCostBudget)
	for _, err := range violations {
		out = append(out, err.Error())
	}
	return out
}
