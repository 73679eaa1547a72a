package succession_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"supercargo.dev/provisioner/succession"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func list(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// pod of an owner; an empty one owns nothing.
func pod(owner, kind string, created time.Time) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(created)}}
	if owner != "" {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, UID: types.UID(owner), Controller: ptr.To(true)}}
	}
	return p
}

func TestAPlanCountsPodsByTheirOwner(t *testing.T) {
	urgent := pod("web", "ReplicaSet", now)
	urgent.Spec.Priority = ptr.To(int32(5))
	got, ok := succession.For(now.Add(300*time.Millisecond), []string{"b", "a"}, []succession.Displaced{
		{Pod: pod("web", "ReplicaSet", now), Requests: list("1", "2Gi")},
		{Pod: pod("", "", now), Requests: list("1", "1Gi")},
		{Pod: pod("agent", "DaemonSet", now), Requests: list("1", "1Gi")},
		{Pod: pod("static", "Node", now), Requests: list("1", "1Gi")},
		{Pod: pod("db", "StatefulSet", now), Requests: list("3", "1Gi")},
		{Pod: urgent, Requests: list("500m", "3Gi")},
	})
	want := succession.Plan{Made: metav1.NewTime(now), From: []string{"a", "b"}, Places: []succession.Place{
		{Owner: "db", Pods: 1, Requests: list("3", "1Gi")},
		{Owner: "web", Pods: 2, Requests: list("1", "3Gi"), Priority: 5},
	}}
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("plan, made: %t (-want +got):\n%s", ok, diff)
	}
	if _, ok := succession.For(now, []string{"a"}, []succession.Displaced{{Pod: pod("", "", now)}}); ok {
		t.Error("a plan was made for a pod that nobody creates anew")
	}
}

func plan(made time.Time, places ...succession.Place) succession.Plan {
	return succession.Plan{Made: metav1.NewTime(made), From: []string{"old"}, Places: places}
}

func TestPlansAreWrittenAndReadBack(t *testing.T) {
	web := succession.Place{Owner: "web", Pods: 2, Requests: list("1", "2Gi"), Priority: -7}
	many := make([]succession.Place, 200)
	for i := range many {
		many[i] = succession.Place{Owner: types.UID(fmt.Sprint(i)), Pods: 1}
	}
	for name, tc := range map[string]struct{ plans, want []succession.Plan }{
		"one":                       {[]succession.Plan{plan(now, web)}, []succession.Plan{plan(now, web)}},
		"the newest first":          {[]succession.Plan{plan(now.Add(-time.Minute), web), plan(now, web)}, []succession.Plan{plan(now, web), plan(now.Add(-time.Minute), web)}},
		"none that is too old":      {[]succession.Plan{plan(now.Add(-succession.MaxAge), web), plan(now.Add(time.Second-succession.MaxAge), web)}, []succession.Plan{plan(now.Add(time.Second-succession.MaxAge), web)}},
		"no more places than a few": {[]succession.Plan{plan(now.Add(-time.Second), many...), plan(now, many...)}, []succession.Plan{plan(now, many...)}},
		"no more plans than a few":  {slices.Repeat([]succession.Plan{plan(now, web)}, 9), slices.Repeat([]succession.Plan{plan(now, web)}, 8)},
	} {
		t.Run(name, func(t *testing.T) {
			value, err := succession.Encode(tc.plans, now)
			if err != nil {
				t.Fatal(err)
			}
			got, err := succession.Parse(value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatCannotBeAPlanIsRefused(t *testing.T) {
	const made = `"made":"2026-11-22T12:00:00Z"`
	for name, tc := range map[string]struct{ value, wantErr string }{
		"no JSON":               {`web=1`, "invalid character"},
		"no time":               {`[{"from":["a"]}]`, "when it was made"},
		"no owner":              {`[{` + made + `,"places":[{"pods":1}]}]`, "no owner"},
		"no pods":               {`[{` + made + `,"places":[{"owner":"a"}]}]`, "0 pods"},
		"pods beyond any node":  {`[{` + made + `,"places":[{"owner":"a","pods":10001}]}]`, "10001 pods"},
		"less than nothing":     {`[{` + made + `,"places":[{"owner":"a","pods":1,"requests":{"cpu":"-1"}}]}]`, "negative"},
		"more plans than a few": {`[` + strings.Repeat(`{`+made+`},`, 8) + `{` + made + `}]`, "9 plans"},
	} {
		t.Run(name, func(t *testing.T) {
			plans, err := succession.Parse(tc.value)
			if err == nil || !strings.Contains(err.Error(), tc.wantErr) || plans != nil {
				t.Errorf("got %v, error %v, want one that says %q", plans, err, tc.wantErr)
			}
		})
	}
	if plans, err := succession.Parse(""); plans != nil || err != nil {
		t.Errorf("no value gives %v, %v", plans, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "[]", `[{"made":"2026-11-22T12:00:00Z","from":["a"],"places":[{"owner":"o","pods":3,"requests":{"cpu":"1","pods":"1"}}]}]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		plans, err := succession.Parse(value)
		if err != nil {
			return
		}
		for name, q := range succession.Held(succession.Open(plans, slices.Values([]*corev1.Pod(nil))), 0) {
			if q.Sign() < 0 {
				t.Errorf("%s of %s are held", q.String(), name)
			}
		}
	})
}

func TestAPlaceIsOpenUntilAPodOfItsOwnerHasCome(t *testing.T) {
	before, after := now.Add(-time.Minute), now.Add(time.Second)
	web := func(n int) succession.Place { return succession.Place{Owner: "web", Pods: n} }
	for name, tc := range map[string]struct {
		plans  []succession.Plan
		onNode []*corev1.Pod
		want   []succession.Place
	}{
		"nobody has come":                    {[]succession.Plan{plan(now, web(2))}, nil, []succession.Place{web(2)}},
		"one has":                            {[]succession.Plan{plan(now, web(2))}, []*corev1.Pod{pod("web", "ReplicaSet", after)}, []succession.Place{web(1)}},
		"one has within the same second":     {[]succession.Plan{plan(now, web(2))}, []*corev1.Pod{pod("web", "ReplicaSet", now)}, []succession.Place{web(1)}},
		"all have, and one more":             {[]succession.Plan{plan(now, web(1))}, []*corev1.Pod{pod("web", "ReplicaSet", after), pod("web", "ReplicaSet", after)}, []succession.Place{}},
		"one was there before":               {[]succession.Plan{plan(now, web(2))}, []*corev1.Pod{pod("web", "ReplicaSet", before)}, []succession.Place{web(2)}},
		"others have":                        {[]succession.Plan{plan(now, web(2))}, []*corev1.Pod{pod("db", "StatefulSet", after), pod("", "", after)}, []succession.Place{web(2)}},
		"two plans, and one came in between": {[]succession.Plan{plan(now, web(1)), plan(before, web(2))}, []*corev1.Pod{pod("web", "ReplicaSet", before)}, []succession.Place{web(2)}},
		"no plan":                            {nil, []*corev1.Pod{pod("web", "ReplicaSet", after)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, succession.Open(tc.plans, slices.Values(tc.onNode))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpeningPlacesLeavesThePlansAsTheyAre(t *testing.T) {
	plans := []succession.Plan{plan(now, succession.Place{Owner: "web", Pods: 1, Requests: list("1", "1Gi")}), plan(now, succession.Place{Owner: "web", Pods: 1, Requests: list("2", "1Gi")})}
	if got := succession.Open(plans, slices.Values([]*corev1.Pod(nil))); got[0].Requests.Cpu().Value() != 2 {
		t.Errorf("the larger of two requests is not what is open: %v", got)
	}
	if q := plans[0].Places[0]; q.Pods != 1 || q.Requests.Cpu().Value() != 1 {
		t.Errorf("the first plan became %v", q)
	}
}

func TestRoomIsHeldForPodsOfAtLeastTheSamePriority(t *testing.T) {
	places := []succession.Place{
		{Owner: "low", Pods: 2, Requests: list("1", "1Gi"), Priority: -1},
		{Owner: "web", Pods: 3, Requests: list("500m", "2Gi")},
	}
	for name, tc := range map[string]struct {
		priority int32
		want     corev1.ResourceList
	}{
		"below both": {-1, corev1.ResourceList{"cpu": resource.MustParse("3500m"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("5")}},
		"above one":  {0, corev1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("6Gi"), "pods": resource.MustParse("3")}},
		"above both": {1, corev1.ResourceList{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, succession.Held(places, tc.priority)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
