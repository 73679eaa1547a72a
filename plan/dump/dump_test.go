package dump_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"supercargo.dev/plan/dump"
	"supercargo.dev/plan/plantest"
)

const (
	podA = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"web"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`
	podB = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b","namespace":"web"},"spec":{"containers":[{"name":"c"}]}}`
	node = `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"},"status":{"allocatable":{"cpu":"4","memory":"8Gi"}}}`
)

// listOf is a list as kubectl prints it.
func listOf(items ...string) string {
	var b strings.Builder
	b.WriteString("{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n")
	for i, item := range items {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.WriteString("        " + item)
	}
	b.WriteString("\n    ],\n    \"kind\": \"List\"\n}\n")
	return b.String()
}

// pretty indents an item as kubectl does.
func pretty(item string) string {
	var b bytes.Buffer
	depth := 2
	text := false
	line := func() { b.WriteString("\n" + strings.Repeat("    ", depth)) }
	for i, c := range item {
		if c == '"' && item[i-1] != '\\' {
			text = !text
		}
		switch {
		case text:
			b.WriteRune(c)
		case c == '{' || c == '[':
			b.WriteRune(c)
			depth++
			line()
		case c == '}' || c == ']':
			depth--
			line()
			b.WriteRune(c)
		case c == ',':
			b.WriteRune(c)
			line()
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

func read(t testing.TB, text string) *dump.Objects {
	t.Helper()
	var o dump.Objects
	if err := o.Read(context.Background(), "dump", strings.NewReader(text), dump.Options{}); err != nil {
		t.Fatal(err)
	}
	return &o
}

// names are those of what was read, and lines the problems.
func names(o *dump.Objects) (got []string) {
	for _, n := range o.Nodes {
		got = append(got, n.Name)
	}
	for _, p := range o.Pods {
		got = append(got, p.Name)
	}
	return got
}

func lines(o *dump.Objects) (got []string) {
	for _, p := range o.Problems {
		got = append(got, p.String())
	}
	return got
}

func TestRead(t *testing.T) {
	unquoted := strings.Replace(pretty(podA), `"web"`, `"web`, 1)
	unclosed := strings.Replace(pretty(podA), "\n        }", "", 1)
	for name, tc := range map[string]struct {
		text     string
		want     []string
		problems []string
	}{
		"a list as kubectl prints it":      {text: listOf(pretty(node), pretty(podA), pretty(podB)), want: []string{"n", "a", "b"}},
		"a list without white space":       {text: `{"items":[` + node + "," + podA + `],"kind":"List"}`, want: []string{"n", "a"}},
		"an array":                         {text: "[" + node + "," + podA + "]", want: []string{"n", "a"}},
		"a single object":                  {text: podA, want: []string{"a"}},
		"objects one after the other":      {text: podA + podB + "\n" + node, want: []string{"n", "a", "b"}},
		"lists one after the other":        {text: listOf(podA) + listOf(node), want: []string{"n", "a"}},
		"JSON with separators":             {text: podA + "\n---\n" + podB, want: []string{"a", "b"}},
		"an empty list":                    {text: `{"items":[]}`},
		"nothing":                          {text: " \n"},
		"a byte order mark":                {text: "\xef\xbb\xbf" + podA, want: []string{"a"}},
		"a PodList of items without kinds": {text: `{"kind":"PodList","items":[` + strings.Replace(podA, `"apiVersion":"v1","kind":"Pod",`, "", 1) + `]}`, want: []string{"a"}},
		"an object twice":                  {text: listOf(podA, podA), want: []string{"a"}},
		"a label of the name of a field that is not read": {
			text: strings.Replace(podA, `"name":"a"`, `"name":"a","labels":{"env":"prod","state":"x"}`, 1), want: []string{"a"},
		},
		"a quantity that is none": {
			text: listOf(strings.Replace(podA, `"1"`, `"one"`, 1), podB), want: []string{"b"},
			problems: []string{"dump, item 1 (Pod web/a): quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"},
		},
		"a negative request": {
			text: listOf(strings.Replace(podA, `"1"`, `"-1"`, 1), podB), want: []string{"b"},
			problems: []string{`dump, item 1 (Pod web/a): container "c" requests less than nothing of cpu`},
		},
		"a field of another type": {
			text: listOf(podB, strings.Replace(podA, `[{"name":"c"`, `"none","x":[{"name":"c"`, 1)), want: []string{"b"},
			problems: []string{"dump, item 2 (Pod web/a): spec.containers holds a string, which does not belong there"},
		},
		"an item without a kind": {
			text: listOf(podA, `{"metadata":{"name":"x"}}`), want: []string{"a"},
			problems: []string{"dump, item 2 (x): it has no kind"},
		},
		"an item that is no object": {
			text: listOf(pretty(podA), "17", pretty(podB)), want: []string{"a", "b"},
			problems: []string{"dump, item 1: '1' after it, where the next item should begin"},
		},
		"a node without resources": {
			text: listOf(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"},"status":{}}`), problems: []string{"dump, item 1 (Node n): its status has no allocatable resources"},
		},
		"a string without its end, with the next item intact": {
			text: listOf(pretty(node), unquoted, pretty(podB)), want: []string{"n", "b"},
			problems: []string{"dump, item 2 (Pod a): a line ends within a string"},
		},
		"an object without its end, with the next item intact": {
			text: listOf(pretty(node), unclosed, pretty(podB)), want: []string{"n", "b"},
			problems: []string{"dump, item 2 (Pod web/a): a closing bracket is missing: the next item begins before this one ends"},
		},
		"brackets that do not match, without indentation": {
			text: `{"items":[` + podA + `,{"kind":"Pod"],` + podB + `]}`, want: []string{"a"},
			problems: []string{"dump, item 2 (Pod): ']' where '}' should close; what follows is not read, since the input is not indented"},
		},
		"an end within an item": {
			text: listOf(pretty(podA), pretty(podB))[:len(listOf(pretty(podA)))+100], want: []string{"a"},
			problems: []string{"dump, item 2 (Pod b): the input ends within it: it is truncated after item 1"},
		},
		"an end between items": {
			text: strings.Split(listOf(pretty(podA), pretty(podB)), "\n        {")[0] + "\n        " + pretty(podA) + ",\n", want: []string{"a"},
			problems: []string{"dump: the input ends after item 1 of a list that goes on: it is truncated"},
		},
		"an end after the items": {
			text: `{"items":[` + podA + `],"kind":"Li`, want: []string{"a"},
			problems: []string{"dump: after the items of the list, the input ends within it; what follows is not read"},
		},
		"words": {
			text: "error: You must be logged in to the server", problems: []string{"dump: it has no kind"},
		},
		"JSON after JSON that ends in words": {
			text: podA + "\nerror: oops", want: []string{"a"},
			problems: []string{"dump, document 2: a document begins with 'e', and is not read; nor is what follows"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := read(t, tc.text)
			if d := cmp.Diff(tc.want, names(o)); d != "" {
				t.Errorf("objects: -want +got:\n%s", d)
			}
			if d := cmp.Diff(tc.problems, lines(o)); d != "" {
				t.Errorf("problems: -want +got:\n%s", d)
			}
		})
	}
}

func TestYAMLIsReadItemByItem(t *testing.T) {
	asYAML := func(item, indent string) string {
		data, err := yaml.JSONToYAML([]byte(item))
		if err != nil {
			t.Fatal(err)
		}
		return indent + "- " + strings.ReplaceAll(strings.TrimSpace(string(data)), "\n", "\n"+indent+"  ") + "\n"
	}
	object := func(item string) string { return strings.ReplaceAll(asYAML(item, "")[2:], "\n  ", "\n") }
	head, tail := "apiVersion: v1\nitems:\n", "kind: List\nmetadata:\n  resourceVersion: \"\"\n"
	for name, tc := range map[string]struct {
		text     string
		want     []string
		problems []string
	}{
		"a list":                       {text: head + asYAML(node, "") + asYAML(podA, "") + tail, want: []string{"n", "a"}},
		"an indented list":             {text: head + asYAML(node, "  ") + asYAML(podA, "  ") + tail, want: []string{"n", "a"}},
		"documents":                    {text: "# comment\n---\n" + object(podA) + "---\n" + object(podB), want: []string{"a", "b"}},
		"a list, then a document":      {text: head + asYAML(podA, "") + tail + "---\n" + object(podB), want: []string{"a", "b"}},
		"JSON as the first document":   {text: "---\n" + podA, want: []string{"a"}},
		"an item that is broken":       {text: head + "- kind: [Pod\n" + asYAML(podB, "") + tail, want: []string{"b"}, problems: []string{"dump, item 1: line 1: did not find expected ',' or ']'"}},
		"a list that has no end":       {text: head + asYAML(podA, ""), want: []string{"a"}, problems: []string{"dump: the list has no end after item 1: it is truncated, and that item may be incomplete"}},
		"a quantity that is none":      {text: head + asYAML(strings.Replace(podA, `"1"`, `"x"`, 1), "") + tail, problems: []string{"dump, item 1 (Pod web/a): quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"}},
		"a document that is no object": {text: "---\njust words\n", problems: []string{"dump: it is a string, not an object"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := read(t, tc.text)
			if d := cmp.Diff(tc.want, names(o)); d != "" {
				t.Errorf("objects: -want +got:\n%s", d)
			}
			if d := cmp.Diff(tc.problems, lines(o)); d != "" {
				t.Errorf("problems: -want +got:\n%s", d)
			}
		})
	}
}

func TestEveryCutOfADumpIsReportedAndTheRestIsRead(t *testing.T) {
	var b bytes.Buffer
	if err := plantest.Write(&b, plantest.Options{Nodes: 2, Pods: 12, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(b.String())
	whole := read(t, text)
	if len(whole.Problems) > 0 || len(whole.Nodes) != 2 || len(whole.Pods) != 12 {
		t.Fatalf("%d nodes, %d pods, problems %v", len(whole.Nodes), len(whole.Pods), lines(whole))
	}
	step := 97
	if testing.Short() {
		step = 997
	}
	for at := 1; at < len(text); at += step {
		o := read(t, text[:at])
		if len(o.Problems) != 1 {
			t.Fatalf("cut at %d of %d: problems %v, want one", at, len(text), lines(o))
		}
		if got := o.Count(); got > 14 {
			t.Fatalf("cut at %d: %d objects", at, got)
		}
	}
}

func TestTheOrderOfObjectsIsThatOfTheInput(t *testing.T) {
	var items []string
	var want []string
	for i := range 1000 {
		name := fmt.Sprintf("p%d", i)
		want = append(want, name)
		items = append(items, strings.Replace(podA, `"name":"a"`, `"name":"`+name+`"`, 1))
	}
	if d := cmp.Diff(want, names(read(t, listOf(items...)))); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestAnErrorOfTheReaderIsAnError(t *testing.T) {
	var o dump.Objects
	broken := errors.New("connection reset")
	err := o.Read(context.Background(), "dump", iotest.ErrReader(broken), dump.Options{})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestSlowReadersAreReadToTheEnd(t *testing.T) {
	var o dump.Objects
	text := listOf(pretty(node), strings.Replace(pretty(podA), `"web"`, `"web`, 1), pretty(podB))
	if err := o.Read(context.Background(), "dump", iotest.OneByteReader(strings.NewReader(text)), dump.Options{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"n", "b"}, names(&o)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestWorkloadsBecomeTemplates(t *testing.T) {
	spec := `"template":{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"100m"}}}]}}`
	o := read(t, `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"d"},"spec":{"replicas":3,`+spec+`}}
{"kind":"StatefulSet","apiVersion":"apps/v1","metadata":{"name":"s","namespace":"db"},"spec":{`+spec+`}}
{"kind":"Job","apiVersion":"batch/v1","metadata":{"name":"j"},"spec":{"parallelism":5,"completions":2,`+spec+`}}
{"kind":"CronJob","apiVersion":"batch/v1","metadata":{"name":"c"},"spec":{"jobTemplate":{"spec":{"parallelism":4,`+spec+`}}}}
{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"many"},"spec":{"replicas":2000000000,`+spec+`}}`)
	type workload struct {
		Kind, Namespace, Name string
		Replicas              int32
	}
	var got []workload
	for _, w := range o.Workloads {
		got = append(got, workload{w.Kind, w.Namespace, w.Name, w.Replicas})
		if w.Pod.Labels["app"] != "x" || w.Pod.Namespace != w.Namespace {
			t.Errorf("template of %s: %v in %s", w.Name, w.Pod.Labels, w.Pod.Namespace)
		}
	}
	want := []workload{{"Deployment", "default", "d", 3}, {"StatefulSet", "db", "s", 1}, {"Job", "default", "j", 2}, {"CronJob", "default", "c", 4}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]string{"dump, document 5 (Deployment many): it wants 2000000000 pods, which is not between 0 and 150000"}, lines(o)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// FuzzRead holds the reader to three promises: it ends without a panic, what it cannot read it reports, and what it read of a
// valid list it reads again when junk follows.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		listOf(pretty(node), pretty(podA)), podA + podB, "[" + node + "]", "---\nkind: Pod\n", "apiVersion: v1\nitems:\n- kind: Pod\nkind: List\n",
		listOf(pretty(node), strings.Replace(pretty(podA), `"web"`, `"web`, 1), pretty(podB)), `{"items":[{`, `{"items":[1,2]}`, `{"a":"\`, "\xef\xbb\xbf{}", "{]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var o dump.Objects
		if err := o.Read(context.Background(), "fuzz", bytes.NewReader(data), dump.Options{}); err != nil {
			t.Fatal(err)
		}
		for _, p := range o.Problems {
			if p.Message == "" || p.Document < 1 {
				t.Errorf("problem %+v says nothing", p)
			}
		}
		valid := read(t, listOf(pretty(node), pretty(podA))+string(data))
		if len(valid.Nodes) < 1 || len(valid.Pods) < 1 {
			t.Errorf("the list before the junk is lost: %v", lines(valid))
		}
	})
}
