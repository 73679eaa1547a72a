package input

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
)

const web = `{"kind":"Pod","metadata":{"name":"web","namespace":"shop","uid":"same"},"spec":{"nodeName":"n1","containers":[{"name":"c","resources":{"requests":{"cpu":"500m"},"limits":{"cpu":"1","memory":"1Gi"}}}]},"status":{"phase":"Running"}}`

func TestPodsAreReadAsPending(t *testing.T) {
	got, err := ReadPods(strings.NewReader(web + "\n\n" + web + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Pods) != 2 {
		t.Fatalf("%d pods, want 2", len(got.Pods))
	}
	a, b := got.Pods[0], got.Pods[1]
	if a.UID == b.UID {
		t.Errorf("both have the UID %q: engines know pods by it", a.UID)
	}
	if a.Spec.NodeName != "" || a.Status.Phase != "" {
		t.Errorf("the pod is still bound: node %q, phase %q", a.Spec.NodeName, a.Status.Phase)
	}
	requests := a.Spec.Containers[0].Resources.Requests
	if cpu, memory := requests.Cpu().String(), requests.Memory().String(); cpu != "500m" || memory != "1Gi" {
		t.Errorf("requests are %s and %s, want what is set, and the limit where it is not", cpu, memory)
	}
	if diff := cmp.Diff(map[string]map[string]string{"shop": {corev1.LabelMetadataName: "shop"}}, got.Namespaces); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
}

func TestWhatIsNotToBePlacedIsLeftOutWithANote(t *testing.T) {
	daemon := `{"metadata":{"name":"ds-%","namespace":"kube-system","ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"ds","uid":"u","controller":true}]},` +
		`"spec":{"containers":[{"name":"c"}],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}}}}}`
	file := strings.Join([]string{
		web, strings.Replace(web, "Running", "Succeeded", 1),
		strings.ReplaceAll(daemon, "%", "1"), strings.ReplaceAll(daemon, "%", "2"),
		strings.Replace(web, `"uid":"same"`, `"annotations":{"kubernetes.io/config.mirror":"x"}`, 1),
	}, "\n")
	got, err := ReadPods(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Pods) != 1 || len(got.Daemons) != 1 {
		t.Errorf("%d pods and %d daemons, want one of each", len(got.Pods), len(got.Daemons))
	}
	if a := got.Daemons[0].Spec.Affinity.NodeAffinity; a.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		t.Error("the daemon is still tied to its node")
	}
	for _, want := range []string{"1 pods that have finished", "1 static pods", "1 DaemonSets"} {
		if !strings.Contains(strings.Join(got.Notes, "\n"), want) {
			t.Errorf("notes %q do not say %q", got.Notes, want)
		}
	}
}

func TestLinesThatAreNoPodAreNamedByNumber(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"broken JSON":             {web + "\n{\"metadata\":\n", "line 2"},
		"another kind":            {`{"kind":"List","items":[]}`, `kind is "List"`},
		"an array":                {"[" + web + "]", "line 1"},
		"no container":            {web + "\n" + web + "\n{\"spec\":{}}", "line 3: spec.containers is empty"},
		"a quantity of no number": {strings.Replace(web, "500m", "many", 1), "line 1"},
		"a negative request":      {strings.Replace(web, "500m", "-1", 1), "below zero"},
		"spread without a key":    {strings.Replace(web, `"nodeName":"n1"`, `"topologySpreadConstraints":[{"maxSkew":1}]`, 1), "topologyKey"},
		"an empty file":           {"\n\n", "no pod to place"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ReadPods(strings.NewReader(tc.file)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestAllBrokenLinesAreReportedAtOnce(t *testing.T) {
	_, err := ReadPods(strings.NewReader("x\n" + web + "\ny\n"))
	if err == nil || !strings.Contains(err.Error(), "line 1") || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("got %v, want lines 1 and 3", err)
	}
}

func TestTypesAreReadFromAnArrayOrOneAfterAnother(t *testing.T) {
	second := strings.Replace(TypesExample, `"m5.large"`, `"other"`, 1)
	for name, file := range map[string]string{
		"one per line": TypesExample + "\n" + second + "\n",
		"an array":     " \n[" + TypesExample + ",\n" + second + "]",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadTypes(strings.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 2 || got[0].Name != "m5.large" || got[1].Name != "other" {
				t.Fatalf("got %d types", len(got))
			}
			allocatable := got[0].Allocatable()
			if cpu, memory := allocatable.Cpu().String(), allocatable.Memory().String(); cpu != "1930m" || memory != "7Gi" {
				t.Errorf("allocatable is %s and %s, want 1930m and 7Gi", cpu, memory)
			}
			spot := got[0].Offerings[1]
			if spot.Price != 0.041 || spot.CapacityType() != karpv1.CapacityTypeSpot || spot.Zone() != "us-east-1a" || !spot.Available {
				t.Errorf("the second offering is %+v", spot)
			}
			if !got[0].Requirements.Get("family").Has("m5") {
				t.Error("the label is lost")
			}
		})
	}
}

func TestTypesThatMakeNoSenseAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"a price of zero":              {"0.096", "0", "price"},
		"no price":                     {`,"price":0.096`, "", "price"},
		"a capacity type of its own":   {"on-demand", "reserved", "capacityType"},
		"an unknown field":             {`"arch"`, `"cpuArch"`, "cpuArch"},
		"more allocatable than there":  {`"cpu":"1930m"`, `"cpu":"3"`, "allocatable"},
		"no memory":                    {`"memory":"8Gi",`, "", "memory"},
		"no name":                      {`"m5.large"`, `""`, "name"},
		"the same offering twice":      {`"spot"`, `"on-demand"`, "twice"},
		"a zone among the labels":      {`"family"`, `"topology.kubernetes.io/zone"`, "labels"},
		"a second type of the name":    {`]}`, "]}\n" + TypesExample, "twice"},
		"nothing but an unclosed list": {TypesExample, "[", "instance type 1"},
		"nothing":                      {TypesExample, "", "no instance type"},
	} {
		t.Run(name, func(t *testing.T) {
			file := strings.Replace(TypesExample, tc.old, tc.new, 1)
			if _, err := ReadTypes(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestTheExampleOfHelpIsAPod(t *testing.T) {
	if got, err := ReadPods(strings.NewReader(Example())); err != nil || len(got.Pods) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestTheExampleOfTheDocsIsAType(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no example")
	}
	if _, err := ReadTypes(strings.NewReader(example)); err != nil {
		t.Error(err)
	}
}

func FuzzReadPods(f *testing.F) {
	for _, seed := range []string{web, Example(), "{}", "[]", `{"spec":{"containers":[{"ports":[{"hostPort":1}]}]}}`, "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ReadPods(bytes.NewReader(text))
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, p := range got.Pods {
			if p.UID == "" || seen[string(p.UID)] || p.Name == "" || p.Namespace == "" || p.Spec.NodeName != "" || len(p.Spec.Containers) == 0 {
				t.Errorf("accepted %+v", p)
			}
			seen[string(p.UID)] = true
		}
	})
}

func FuzzReadTypes(f *testing.F) {
	for _, seed := range []string{TypesExample, "[" + TypesExample + "]", "[]", "{}", "\n", TypesExample + TypesExample} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ReadTypes(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, it := range got {
			for name, q := range it.Allocatable() {
				if q.Sign() < 0 {
					t.Errorf("type %q may hold %s of %s", it.Name, q.String(), name)
				}
			}
			for _, o := range it.Offerings {
				if !(o.Price > 0) {
					t.Errorf("type %q costs %v", it.Name, o.Price)
				}
			}
		}
	})
}
