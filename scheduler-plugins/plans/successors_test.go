package plans_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/provisioner/succession"
	"supercargo.dev/scheduler-plugins/plans"
)

func TestPlacesHoldWhileTheirNodeIsThereAndTheirOwnerHasPods(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	plan := succession.Plan{Made: metav1.NewTime(now), From: []string{"old"}, Places: []succession.Place{{Owner: "web", Pods: 2}, {Owner: "db", Pods: 1}}}
	value, err := succession.Encode([]succession.Plan{plan}, now)
	if err != nil {
		t.Fatal(err)
	}
	going := func(string) succession.State { return succession.Going }
	only := func(i int) map[string][]succession.Plan {
		p := plan
		p.Places = p.Places[i : i+1]
		return map[string][]succession.Plan{"n": {p}}
	}
	all := map[string][]succession.Plan{"n": {plan}}
	s := plans.NewSuccessors()
	set := func(value string) {
		t.Helper()
		if err := s.SetNode("n", value); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		what  string
		do    func()
		after time.Duration
		want  map[string][]succession.Plan
	}{
		{what: "nothing is known", do: func() {}},
		{what: "a node has a plan, its owners no pods", do: func() { set(value) }},
		{what: "an owner has a pod", do: func() { s.SetPod("1", "web") }, want: only(0)},
		{what: "the other has one too", do: func() { s.SetPod("2", "db") }, want: all},
		{what: "the first has another", do: func() { s.SetPod("3", "web"); s.SetPod("3", "web"); s.DeletePod("1") }, want: all},
		{what: "the first has none left", do: func() { s.DeletePod("3"); s.DeletePod("3") }, want: only(1)},
		{what: "a pod changes hands", do: func() { s.SetPod("2", "web") }, want: only(0)},
		{what: "the node has no plan any more", do: func() { set("") }},
		{what: "it has it again", do: func() { set(value) }, want: only(0)},
		{what: "the plan is too old", do: func() {}, after: succession.MaxAge},
		{what: "and stays so", do: func() { set(value) }},
		{what: "a new one", do: func() { set(value + " ") }, want: only(0)},
		{what: "the node is gone", do: func() { s.DeleteNode("n", now) }},
	} {
		step.do()
		if diff := cmp.Diff(step.want, s.Holding(now.Add(step.after), going)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
	}
	if err := s.SetNode("n", "nonsense"); err == nil {
		t.Error("what cannot be read is no error")
	}
	if got := s.Holding(now, going); got != nil {
		t.Errorf("what cannot be read keeps %v", got)
	}
}

func TestPlacesHoldForAWhileAfterTheNodesTheyReplaceHaveGone(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	value, err := succession.Encode([]succession.Plan{{Made: metav1.NewTime(now), From: []string{"old"}, Places: []succession.Place{{Owner: "web", Pods: 1}}}}, now)
	if err != nil {
		t.Fatal(err)
	}
	s := plans.NewSuccessors()
	if err := s.SetNode("n", value); err != nil {
		t.Fatal(err)
	}
	s.SetPod("1", "web")
	s.DeleteNode("old", now.Add(time.Minute))
	gone := func(string) succession.State { return succession.Gone }
	if s.Holding(now.Add(time.Minute+29*time.Second), gone) == nil {
		t.Error("places are given up before the successors of the last pods can have come")
	}
	if s.Holding(now.Add(time.Minute+30*time.Second), gone) != nil {
		t.Error("places are kept for ever")
	}
}
