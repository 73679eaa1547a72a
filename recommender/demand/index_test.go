package demand_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/demand"
)

const mi = 1 << 20

func requests(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

type podOption func(*corev1.Pod)

func ownedBy(apiVersion, kind, name string, labels ...string) podOption {
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, Controller: ptr.To(true)}}
		for i := 0; i+1 < len(labels); i += 2 {
			metav1.SetMetaDataLabel(&p.ObjectMeta, labels[i], labels[i+1])
		}
	}
}

func labelled(key, value string) podOption {
	return func(p *corev1.Pod) { metav1.SetMetaDataLabel(&p.ObjectMeta, key, value) }
}

func makePod(options ...podOption) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "shop", UID: "uid-0", ResourceVersion: "1"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{Requests: requests("1", "1Gi")}}}},
	}
	for _, option := range options {
		option(pod)
	}
	return pod
}

func web() podOption {
	return ownedBy("apps/v1", "ReplicaSet", "web-6d4cf56db6", "pod-template-hash", "6d4cf56db6")
}

type scalerOption func(*v1alpha1.WorkloadScaler)

func mode(m v1alpha1.UpdateMode) scalerOption {
	return func(s *v1alpha1.WorkloadScaler) { s.Status.Policy.Mode = m }
}

func makeScaler(apiVersion, kind, name string, options ...scalerOption) *v1alpha1.WorkloadScaler {
	s := &v1alpha1.WorkloadScaler{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"},
		Spec:       v1alpha1.WorkloadScalerSpec{TargetRef: v1alpha1.TargetRef{APIVersion: apiVersion, Kind: kind, Name: name}},
		Status: v1alpha1.WorkloadScalerStatus{
			Policy: &v1alpha1.MatchedPolicy{Mode: v1alpha1.UpdateModeInPlace},
			Recommendation: &v1alpha1.Recommendation{
				Hash:       "h1",
				Confidence: v1alpha1.Confidence{Level: v1alpha1.ConfidenceFull},
				Containers: []v1alpha1.ContainerRecommendation{{Name: "app", Requests: requests("250m", "256Mi")}},
			},
		},
	}
	for _, option := range options {
		option(s)
	}
	return s
}

func mustSet(t testing.TB, x *demand.Index, scalers ...*v1alpha1.WorkloadScaler) {
	t.Helper()
	for _, s := range scalers {
		if err := x.SetScaler(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExpected(t *testing.T) {
	asked := demand.Resources{MilliCPU: 1000, MemoryBytes: 1024 * mi}
	recommended := demand.Resources{MilliCPU: 250, MemoryBytes: 256 * mi}
	always := corev1.ContainerRestartPolicyAlways
	for name, tc := range map[string]struct {
		scaler *v1alpha1.WorkloadScaler
		pod    *corev1.Pod
		want   demand.Resources
	}{
		"without a scaler a pod needs what it asks for": {pod: makePod(web()), want: asked},
		"a pod without an owner needs what it asks for": {scaler: makeScaler("apps/v1", "Deployment", "web"), pod: makePod(), want: asked},
		"InPlace will resize the pods of a Deployment":  {scaler: makeScaler("apps/v1", "Deployment", "web"), pod: makePod(web()), want: recommended},
		"ReCreate will replace them":                    {scaler: makeScaler("apps/v1", "Deployment", "web", mode(v1alpha1.UpdateModeReCreate)), pod: makePod(web()), want: recommended},
		"Auto will do either":                           {scaler: makeScaler("apps/v1", "Deployment", "web", mode(v1alpha1.UpdateModeAuto)), pod: makePod(web()), want: recommended},
		"a policy that changes cpu leaves memory as it is": {
			scaler: makeScaler("apps/v1", "Deployment", "web", func(s *v1alpha1.WorkloadScaler) {
				s.Status.Policy.Resources = []corev1.ResourceName{corev1.ResourceCPU}
			}),
			pod: makePod(web()), want: demand.Resources{MilliCPU: 250, MemoryBytes: 1024 * mi},
		},
		"Preview applies nothing":                          {scaler: makeScaler("apps/v1", "Deployment", "web", mode(v1alpha1.UpdateModePreview)), pod: makePod(web()), want: asked},
		"Off applies nothing":                              {scaler: makeScaler("apps/v1", "Deployment", "web", mode(v1alpha1.UpdateModeOff)), pod: makePod(web()), want: asked},
		"an unknown mode applies nothing":                  {scaler: makeScaler("apps/v1", "Deployment", "web", mode("Sometimes")), pod: makePod(web()), want: asked},
		"OnCreate is done with a pod that exists":          {scaler: makeScaler("apps/v1", "Deployment", "web", mode(v1alpha1.UpdateModeOnCreate)), pod: makePod(web()), want: asked},
		"OnCreate counts for a pod that is yet to come":    {scaler: makeScaler("apps/v1", "Deployment", "web", mode(v1alpha1.UpdateModeOnCreate)), pod: makePod(web(), func(p *corev1.Pod) { p.UID = "" }), want: recommended},
		"low confidence is not expected to be applied":     {scaler: makeScaler("apps/v1", "Deployment", "web", func(s *v1alpha1.WorkloadScaler) { s.Status.Recommendation.Confidence.Level = v1alpha1.ConfidenceLow }), pod: makePod(web()), want: asked},
		"no recommendation yet":                            {scaler: makeScaler("apps/v1", "Deployment", "web", func(s *v1alpha1.WorkloadScaler) { s.Status.Recommendation = nil }), pod: makePod(web()), want: asked},
		"no policy evaluated yet":                          {scaler: makeScaler("apps/v1", "Deployment", "web", func(s *v1alpha1.WorkloadScaler) { s.Status.Policy = nil }), pod: makePod(web()), want: asked},
		"a pod that opts out keeps its requests":           {scaler: makeScaler("apps/v1", "Deployment", "web"), pod: makePod(web(), func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.DisabledAnnotation: "true"} }), want: asked},
		"a Deployment of another group is another one":     {scaler: makeScaler("example.com/v1", "Deployment", "web"), pod: makePod(web()), want: asked},
		"a ReplicaSet can be the target itself":            {scaler: makeScaler("apps/v1", "ReplicaSet", "web-6d4cf56db6"), pod: makePod(web()), want: recommended},
		"a StatefulSet owns its pods":                      {scaler: makeScaler("apps/v1", "StatefulSet", "db"), pod: makePod(ownedBy("apps/v1", "StatefulSet", "db")), want: recommended},
		"a DaemonSet owns its pods":                        {scaler: makeScaler("apps/v1", "DaemonSet", "agent"), pod: makePod(ownedBy("apps/v1", "DaemonSet", "agent")), want: recommended},
		"a CronJob is behind a Job named after its minute": {scaler: makeScaler("batch/v1", "CronJob", "report"), pod: makePod(ownedBy("batch/v1", "Job", "report-29657280")), want: recommended},
		"a Job with digits of its own is a Job":            {scaler: makeScaler("batch/v1", "Job", "report-29657280"), pod: makePod(ownedBy("batch/v1", "Job", "report-29657280")), want: recommended},
		"an Argo Rollout is behind its ReplicaSet":         {scaler: makeScaler("argoproj.io/v1alpha1", "Rollout", "web"), pod: makePod(ownedBy("apps/v1", "ReplicaSet", "web-abc", "rollouts-pod-template-hash", "abc")), want: recommended},
		"a custom kind finds its pods by selector": {
			scaler: makeScaler("ray.io/v1", "RayCluster", "ray", func(s *v1alpha1.WorkloadScaler) {
				s.Spec.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"ray": "yes"}}
			}),
			pod: makePod(labelled("ray", "yes")), want: recommended,
		},
		"a sidecar injected beside keeps its own requests": {
			scaler: makeScaler("apps/v1", "Deployment", "web"),
			pod: makePod(web(), func(p *corev1.Pod) {
				p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "proxy", Resources: corev1.ResourceRequirements{Requests: requests("100m", "64Mi")}})
			}),
			want: demand.Resources{MilliCPU: 350, MemoryBytes: 320 * mi},
		},
		"init containers and overhead still count": {
			scaler: makeScaler("apps/v1", "Deployment", "web"),
			pod: makePod(web(), func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "migrate", Resources: corev1.ResourceRequirements{Requests: requests("500m", "64Mi")}}}
				p.Spec.Overhead = requests("10m", "16Mi")
			}),
			want: demand.Resources{MilliCPU: 510, MemoryBytes: 272 * mi},
		},
		"a recommended sidecar shrinks too": {
			scaler: makeScaler("apps/v1", "Deployment", "web", func(s *v1alpha1.WorkloadScaler) {
				s.Status.Recommendation.Containers = append(s.Status.Recommendation.Containers, v1alpha1.ContainerRecommendation{Name: "mesh", Requests: requests("50m", "32Mi")})
			}),
			pod: makePod(web(), func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "mesh", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: requests("200m", "128Mi")}}}
			}),
			want: demand.Resources{MilliCPU: 300, MemoryBytes: 288 * mi},
		},
		"what is actuated today does not hold a shrinking container up": {
			scaler: makeScaler("apps/v1", "Deployment", "web"),
			pod: makePod(web(), func(p *corev1.Pod) {
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", AllocatedResources: requests("1", "1Gi"), Resources: &corev1.ResourceRequirements{Requests: requests("1", "1Gi")}}}
			}),
			want: recommended,
		},
		"only cpu is recommended": {
			scaler: makeScaler("apps/v1", "Deployment", "web", func(s *v1alpha1.WorkloadScaler) {
				delete(s.Status.Recommendation.Containers[0].Requests, corev1.ResourceMemory)
			}),
			pod: makePod(web()), want: demand.Resources{MilliCPU: 250, MemoryBytes: 1024 * mi},
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := demand.NewIndex(demand.Options{})
			if tc.scaler != nil {
				mustSet(t, x, tc.scaler)
			}
			before := tc.pod.DeepCopy()
			for _, sight := range []string{"first", "second"} {
				if got := x.Expected(tc.pod); got != tc.want {
					t.Errorf("%s sight: got %+v, want %+v", sight, got, tc.want)
				}
				if got, want := x.Change(tc.pod), tc.want.Sub(demand.FromList(demand.Enforced(tc.pod))); got != want {
					t.Errorf("%s sight: change %+v, want %+v", sight, got, want)
				}
			}
			if diff := cmp.Diff(before, tc.pod); diff != "" {
				t.Errorf("the pod was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestExpectedFollowsScalersAndPods(t *testing.T) {
	x := demand.NewIndex(demand.Options{})
	pod := makePod(web())
	check := func(step string, milliCPU int64) {
		t.Helper()
		if got := x.Expected(pod).MilliCPU; got != milliCPU {
			t.Errorf("%s: got %dm, want %dm", step, got, milliCPU)
		}
	}
	check("no scaler", 1000)
	s := makeScaler("apps/v1", "Deployment", "web")
	mustSet(t, x, s)
	check("scaler added", 250)

	version := x.Version()
	s = s.DeepCopy()
	s.Status.Score = ptr.To[int32](40)
	mustSet(t, x, s)
	if x.Version() != version {
		t.Error("a status that changes no number moved the version")
	}

	s = s.DeepCopy()
	s.Status.Recommendation.Containers[0].Requests[corev1.ResourceCPU] = resource.MustParse("300m")
	mustSet(t, x, s)
	check("recommendation changed under the same hash", 300)

	pod = pod.DeepCopy()
	pod.ResourceVersion = "2"
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "debug", Resources: corev1.ResourceRequirements{Requests: requests("20m", "1Mi")}})
	check("pod changed", 320)

	second := makeScaler("apps/v1", "Deployment", "web")
	second.Name, second.CreationTimestamp = "younger", metav1.NewTime(time.Unix(10, 0))
	second.Status.Recommendation.Containers[0].Requests[corev1.ResourceCPU] = resource.MustParse("900m")
	mustSet(t, x, second)
	check("a younger scaler of the same target waits", 320)
	x.DeleteScaler("shop", "web")
	check("the older one is gone", 920)
	x.DeleteScaler("shop", "younger")
	check("none is left", 1020)
	x.DeleteScaler("shop", "never-existed")
}

func TestSetScalerRefusesWhatCannotGovern(t *testing.T) {
	for name, spoil := range map[string]scalerOption{
		"a target in another namespace": func(s *v1alpha1.WorkloadScaler) { s.Spec.TargetRef.Namespace = "bank" },
		"a selector that does not parse": func(s *v1alpha1.WorkloadScaler) {
			s.Spec.PodSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := demand.NewIndex(demand.Options{})
			mustSet(t, x, makeScaler("apps/v1", "Deployment", "web"))
			if err := x.SetScaler(makeScaler("apps/v1", "Deployment", "web", spoil)); err == nil {
				t.Fatal("want an error")
			}
			if got := x.Expected(makePod(web())).MilliCPU; got != 1000 {
				t.Errorf("the refused scaler still governs: %dm", got)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	x := demand.NewIndex(demand.Options{})
	pod := makePod(web())
	if _, _, ok := x.Target(pod); ok {
		t.Error("a pod without a scaler has a target")
	}
	mustSet(t, x, makeScaler("apps/v1", "Deployment", "web", mode(v1alpha1.UpdateModeOnCreate)))
	containers, got, ok := x.Target(pod)
	if !ok || got != v1alpha1.UpdateModeOnCreate {
		t.Fatalf("got mode %q, %v", got, ok)
	}
	want := map[string]corev1.ResourceRequirements{"app": {Requests: requests("250m", "256Mi")}}
	if diff := cmp.Diff(want, containers); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
}

func TestLookupFindsOwnersThatNamesDoNotTell(t *testing.T) {
	x := demand.NewIndex(demand.Options{Lookup: func(object demand.Owner) (metav1.OwnerReference, bool) {
		if object != (demand.Owner{Namespace: "shop", Group: "batch", Kind: "Job", Name: "step-1"}) {
			return metav1.OwnerReference{}, false
		}
		return metav1.OwnerReference{APIVersion: "argoproj.io/v1alpha1", Kind: "Workflow", Name: "nightly"}, true
	}})
	mustSet(t, x, makeScaler("argoproj.io/v1alpha1", "Workflow", "nightly"))
	if got := x.Expected(makePod(ownedBy("batch/v1", "Job", "step-1"))).MilliCPU; got != 250 {
		t.Errorf("got %dm, want 250m", got)
	}
	if got := x.Expected(makePod(ownedBy("batch/v1", "Job", "step-2"), func(p *corev1.Pod) { p.UID = "other" })).MilliCPU; got != 1000 {
		t.Errorf("a job without an owner: got %dm, want 1000m", got)
	}
}

func TestEnforcedCountsTheLargestOfSpecAllocatedAndActual(t *testing.T) {
	pod := makePod(func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", AllocatedResources: requests("1500m", "512Mi"), Resources: &corev1.ResourceRequirements{Requests: requests("500m", "2Gi")}}}
	})
	if got, want := demand.FromList(demand.Enforced(pod)), (demand.Resources{MilliCPU: 1500, MemoryBytes: 2048 * mi}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOwnerOf(t *testing.T) {
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want demand.Owner
		none bool
	}{
		"deployment":                                        {pod: makePod(web()), want: demand.Owner{Namespace: "shop", Group: "apps", Kind: "Deployment", Name: "web"}},
		"replicaset without a hash label":                   {pod: makePod(ownedBy("apps/v1", "ReplicaSet", "web-1")), want: demand.Owner{Namespace: "shop", Group: "apps", Kind: "ReplicaSet", Name: "web-1"}},
		"replicaset with another hash":                      {pod: makePod(ownedBy("apps/v1", "ReplicaSet", "web-1", "pod-template-hash", "2")), want: demand.Owner{Namespace: "shop", Group: "apps", Kind: "ReplicaSet", Name: "web-1"}},
		"job of a cronjob":                                  {pod: makePod(ownedBy("batch/v1", "Job", "a-b-29657280")), want: demand.Owner{Namespace: "shop", Group: "batch", Kind: "CronJob", Name: "a-b"}},
		"job with a date in its name is taken for a minute": {pod: makePod(ownedBy("batch/v1", "Job", "a-19991231")), want: demand.Owner{Namespace: "shop", Group: "batch", Kind: "CronJob", Name: "a"}},
		"job with a number out of range":                    {pod: makePod(ownedBy("batch/v1", "Job", "a-99999999")), want: demand.Owner{Namespace: "shop", Group: "batch", Kind: "Job", Name: "a-99999999"}},
		"job with letters":                                  {pod: makePod(ownedBy("batch/v1", "Job", "a-2965728x")), want: demand.Owner{Namespace: "shop", Group: "batch", Kind: "Job", Name: "a-2965728x"}},
		"pod of its own":                                    {pod: makePod(), none: true},
		"core group":                                        {pod: makePod(ownedBy("v1", "ReplicationController", "rc")), want: demand.Owner{Namespace: "shop", Kind: "ReplicationController", Name: "rc"}},
		"name that is nothing but its hash":                 {pod: makePod(ownedBy("apps/v1", "ReplicaSet", "-1", "pod-template-hash", "1")), want: demand.Owner{Namespace: "shop", Group: "apps", Kind: "ReplicaSet", Name: "-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := demand.OwnerOf(tc.pod)
			if ok == tc.none || got != tc.want {
				t.Errorf("got %+v, %v, want %+v", got, ok, tc.want)
			}
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	x := demand.NewIndex(demand.Options{MaxPods: 2})
	mustSet(t, x, makeScaler("apps/v1", "Deployment", "web"))
	for i := range 5 {
		pod := makePod(web(), func(p *corev1.Pod) { p.UID = types.UID(fmt.Sprint(i)) })
		if got := x.Expected(pod).MilliCPU; got != 250 {
			t.Errorf("pod %d: got %dm", i, got)
		}
	}
	if got := x.Remembered(); got != 2 {
		t.Errorf("remembers %d pods, want 2", got)
	}
	x.Forget("0")
	if got := x.Remembered(); got != 1 {
		t.Errorf("remembers %d pods after one was forgotten, want 1", got)
	}
}

func TestExpectedDoesNotAllocate(t *testing.T) {
	x := demand.NewIndex(demand.Options{})
	mustSet(t, x, makeScaler("apps/v1", "Deployment", "web"))
	pod := makePod(web())
	x.Expected(pod)
	if got := testing.AllocsPerRun(100, func() { x.Expected(pod) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkExpected(b *testing.B) {
	x := demand.NewIndex(demand.Options{})
	mustSet(b, x, makeScaler("apps/v1", "Deployment", "web"))
	pods := make([]*corev1.Pod, 10_000)
	for i := range pods {
		pods[i] = makePod(web(), func(p *corev1.Pod) { p.UID = types.UID(fmt.Sprint(i)) })
		x.Expected(pods[i])
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.Expected(pods[i%len(pods)])
	}
}
