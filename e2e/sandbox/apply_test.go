package sandbox

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"supercargo.dev/manifests"
)

func file(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n"
}

func TestRead(t *testing.T) {
	for name, tc := range map[string]struct {
		fs      fstest.MapFS
		paths   []string
		want    []string
		wantErr string
	}{
		"a directory is read in order of paths, manifests only": {
			fs:   fstest.MapFS{"b.yaml": file(configMap("b")), "a/x.yml": file(configMap("a")), "c.json": file(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}`), "README.md": file("no")},
			want: []string{"a", "b", "c"},
		},
		"a file may hold several objects, empty documents are skipped": {
			fs:    fstest.MapFS{"x": file("---\n" + configMap("a") + "---\n# nothing\n---\n" + configMap("b"))},
			paths: []string{"x"}, want: []string{"a", "b"},
		},
		"a list is flattened": {
			fs:   fstest.MapFS{"x.yaml": file("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: s}}\n")},
			want: []string{"s"},
		},
		"a kustomization is refused":                 {fs: fstest.MapFS{"kustomization.yaml": file("resources: []")}, wantErr: "kustomization"},
		"an object without kind is refused by file":  {fs: fstest.MapFS{"x.yaml": file("metadata: {name: a}")}, wantErr: "x.yaml"},
		"a path that does not exist is refused":      {fs: fstest.MapFS{}, paths: []string{"missing.yaml"}, wantErr: "missing.yaml"},
		"a file that is not YAML is refused by name": {fs: fstest.MapFS{"x.yaml": file("a: [")}, wantErr: "x.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := Read(tc.fs, tc.paths...)
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Fatalf("error %v, want %q", err, tc.wantErr)
			}
			var got []string
			for _, o := range objects {
				got = append(got, o.GetName())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryManifestOfAnInstallationCanBeRead(t *testing.T) {
	crds, err := Read(manifests.CRDs)
	if err != nil {
		t.Fatal(err)
	}
	for _, crd := range crds {
		if crd.GetKind() != "CustomResourceDefinition" || served(crd).Version == "" {
			t.Errorf("%s %s serves no version", crd.GetKind(), crd.GetName())
		}
	}
	if _, err := Read(manifests.RBAC); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(configMap("a"))
	f.Add("---\n---\n{}")
	f.Add(`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod"}]}`)
	f.Add(`{"apiVersion":"v1","kind":"List","items":[1]}`)
	f.Fuzz(func(t *testing.T, content string) {
		objects, err := Parse([]byte(content))
		if err != nil {
			return
		}
		for _, o := range objects {
			if o.GetKind() == "" || o.GetAPIVersion() == "" {
				t.Errorf("an object without kind or version: %v", o.Object)
			}
		}
	})
}

func TestTail(t *testing.T) {
	path := t.TempDir() + "/log"
	if got := Tail(path, 2); !strings.Contains(got, "no such file") {
		t.Errorf("missing file: %q", got)
	}
	for content, want := range map[string]string{"": "", "a\n": "a", "a\nb\nc": "b\nc", "a\nb\nc\n": "b\nc"} {
		writeFile(t, path, content)
		if got := Tail(path, 2); got != want {
			t.Errorf("%q: got %q, want %q", content, got, want)
		}
	}
	writeFile(t, path, strings.Repeat("x\n", tailBytes))
	if got := Tail(path, 1<<20); len(got) != tailBytes-1 {
		t.Errorf("a long log gave %d bytes", len(got))
	}
}

func TestFirstLineArrivesOnceAcrossWrites(t *testing.T) {
	w := newFirstLine()
	for _, p := range []string{"{\"a\"", ":1}\nrest\n", "more\n"} {
		if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if got := string(<-w.line); got != `{"a":1}` {
		t.Errorf("got %q", got)
	}
}
