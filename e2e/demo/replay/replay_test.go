package replay

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const header = "day,pod,workload,ts,cpu_m,cpu_pct_of_limit,mem_mi\n"

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		text, day string
		want      Series
		wantErr   string
	}{
		"samples are relative to the first of their workload, in bytes and shares": {
			text: header + "d1,a-1,a,100,1,50,2\nd1,b-1,b,130,1,10,1\nd1,a-1,a,160,1,100,4\nd1,b-1,b,190,1,20,1\n",
			want: Series{
				"a": {{0, 0.5, 2 << 20}, {time.Minute, 1, 4 << 20}},
				"b": {{0, 0.1, 1 << 20}, {time.Minute, 0.2, 1 << 20}},
			},
		},
		"without a day the first one is kept": {
			text: header + "d1,a-1,a,100,1,50,2\nd1,a-1,a,160,1,50,2\nd2,c-1,c,500,1,50,2\n",
			want: Series{"a": {{0, 0.5, 2 << 20}, {time.Minute, 0.5, 2 << 20}}},
		},
		"a day that is not there is an error": {text: header + "d1,a-1,a,100,1,50,2\n", day: "d9", wantErr: "no sample of day d9"},
		"a file without the columns says which": {
			text: "workload,ts\na,1\n", wantErr: `the header has no column "cpu_pct_of_limit"; it has ["workload" "ts"]`,
		},
		"a file of nothing has no header":      {text: "", wantErr: "reading the header"},
		"a file of a header has no sample":     {text: header, wantErr: "there is no sample"},
		"a value that is no number is located": {text: header + "d1,a-1,a,100,1,fast,2\n", wantErr: `line 2, column cpu_pct_of_limit: "fast"`},
		"NaN is no number":                     {text: header + "d1,a-1,a,100,1,NaN,2\n", wantErr: `line 2, column cpu_pct_of_limit: "NaN"`},
		"memory cannot be negative":            {text: header + "d1,a-1,a,100,1,1,2\nd1,a-1,a,101,1,1,-2\n", wantErr: `line 3, column mem_mi: "-2"`},
		"a time that is no time is located":    {text: header + "d1,a-1,a,noon,1,1,2\n", wantErr: `line 2, column ts: "noon"`},
		"rows in disorder are sorted": {
			text: header + "d1,a-1,a,160,1,10,2\nd1,a-1,a,100,1,20,2\n",
			want: Series{"a": {{0, 0.2, 2 << 20}, {time.Minute, 0.1, 2 << 20}}},
		},
		"samples of one time are averaged": {
			text: header + "d1,a-1,a,100,1,10,2\nd1,a-2,a,100,1,30,4\nd1,a-1,a,101,1,1,1\n",
			want: Series{"a": {{0, 0.2, 3 << 20}, {time.Second, 0.01, 1 << 20}}},
		},
		"a workload needs a name":             {text: header + "d1,a-1,,100,1,1,2\n", wantErr: "line 2, column workload is empty"},
		"one sample says nothing of duration": {text: header + "d1,a-1,a,100,1,1,2\n", wantErr: "workload a has samples of one time"},
		"a row that is too short is located":  {text: header + "d1,a-1\n", wantErr: "record on line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(strings.NewReader(tc.text), tc.day)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error %v, want %q in it", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(sample{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(header+"d1,a-1,a,100,1,50,2\nd1,a-1,a,160,1,100,4\n", "")
	f.Add("workload,ts,cpu_pct_of_limit,mem_mi\na,1,1,1\na,2,1,1\n", "")
	f.Add(header+"d1,\"a\n\",a,100,1e9,50,2", "d1")
	f.Fuzz(func(t *testing.T, text, day string) {
		series, err := Parse(strings.NewReader(text), day)
		if err != nil {
			return
		}
		usage := NewUsage(series, constant{})
		for _, name := range series.Workloads() {
			for _, at := range []time.Time{time.Unix(0, 0), time.Unix(-5, 3), time.Unix(1_700_000_000, 7)} {
				if cpu, memory := usage.At(pod(name), "server", at); cpu < 0 || memory < 0 {
					t.Fatalf("%s uses %v and %d at %s", name, cpu, memory, at)
				}
			}
		}
	})
}

// constant is the usage of what was not measured.
type constant struct{}

func (constant) At(*corev1.Pod, string, time.Time) (float64, int64) { return 7, 8 }

func pod(service string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Labels:          map[string]string{serviceLabel: service},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "server", Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m"), corev1.ResourceMemory: resource.MustParse("100")},
		}}}},
	}
}

func TestUsageReplaysEndToStartAgain(t *testing.T) {
	usage := NewUsage(Series{"a": {{0, 0.5, 10}, {time.Minute, 1, 20}, {2 * time.Minute, 2, 200}}}, constant{})
	for name, tc := range map[string]struct {
		at         time.Duration // since 1970
		service    string
		wantCPU    float64
		wantMemory int64
	}{
		"the first sample holds until the second":            {at: 59 * time.Second, service: "a", wantCPU: 100, wantMemory: 10},
		"the second sample":                                  {at: time.Minute, service: "a", wantCPU: 200, wantMemory: 20},
		"memory stays below the limit":                       {at: 2 * time.Minute, service: "a", wantCPU: 400, wantMemory: 95},
		"the last sample lasts as long as the others":        {at: 179 * time.Second, service: "a", wantCPU: 400, wantMemory: 95},
		"then it begins again":                               {at: 180 * time.Second, service: "a", wantCPU: 100, wantMemory: 10},
		"a service that was not measured uses what is given": {service: "b", wantCPU: 7, wantMemory: 8},
	} {
		t.Run(name, func(t *testing.T) {
			cpu, memory := usage.At(pod(tc.service), "server", time.Unix(0, 0).Add(tc.at))
			if cpu != tc.wantCPU || memory != tc.wantMemory {
				t.Errorf("got %v, %d, want %v, %d", cpu, memory, tc.wantCPU, tc.wantMemory)
			}
		})
	}
}

func TestLoadReadsTheMeasuredOnlineBoutique(t *testing.T) {
	const path = "../../../../shared/data/usage-nezha/pod_usage_1m.csv.gz"
	if _, err := os.Stat(path); err != nil {
		t.Skipf("measured usage is not here: %v", err)
	}
	series, err := Load(path, "2022-08-22")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"adservice", "cartservice", "checkoutservice", "currencyservice", "emailservice", "frontend", "paymentservice",
		"productcatalogservice", "recommendationservice", "shippingservice",
	}
	if diff := cmp.Diff(want, series.Workloads()); diff != "" {
		t.Errorf("workloads (-want +got):\n%s", diff)
	}
	if n := len(series["frontend"]); n < 1100 || n > 1209 {
		t.Errorf("%d samples of frontend, want nearly the 1209 rows", n)
	}
	if _, err := Load(path+".none", ""); err == nil {
		t.Error("a file that is not there was read")
	}
}
