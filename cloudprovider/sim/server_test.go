package sim

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/cloudprovider"
)

func TestCreateTakesTheFirstAlternative(t *testing.T) {
	c := newCloud(t, nil)
	created := c.create("a", onDemandA, spotA)
	i := created.Instance
	if i.CapacityType != OnDemand || i.State != Running || i.ProviderID != "sim:///us-east-1a/"+i.ID || len(created.Skipped) != 0 {
		t.Errorf("created %+v", created)
	}
	want := map[string]string{
		"node.kubernetes.io/instance-type": "m5.large", "topology.kubernetes.io/zone": "us-east-1a", "topology.kubernetes.io/region": "us-east-1",
		"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": i.ID, "karpenter.sh/capacity-type": "on-demand",
		"supercargo.dev/instance-family": "m5", "supercargo.dev/instance-size": "large", "supercargo.dev/instance-cpu": "2", "supercargo.dev/instance-memory": "8192",
	}
	if d := cmp.Diff(want, i.Labels); d != "" {
		t.Errorf("labels -want +got:\n%s", d)
	}
	if pods := i.Capacity[corev1.ResourcePods]; pods.Value() != 29 {
		t.Errorf("%s pods", &pods)
	}
	if len(c.machines.booted) != 1 || c.machines.booted[0].ID != i.ID {
		t.Errorf("booted %v", c.machines.booted)
	}
}

func TestInsufficientCapacityFallsToTheNextAlternativeInOneCall(t *testing.T) {
	c := newCloud(t, nil)
	c.fault(Fault{Kind: FaultInsufficientCapacity, Match: Match{CapacityTypes: []string{Spot}, Zones: []string{"us-east-1a"}}, For: metav1.Duration{Duration: time.Minute}})
	created := c.create("a", spotA, spotB)
	if created.Instance.Zone != "us-east-1b" {
		t.Errorf("launched in %s", created.Instance.Zone)
	}
	if d := cmp.Diff([]Skipped{{Alternative: spotA, Code: CodeInsufficientCapacity}}, created.Skipped); d != "" {
		t.Error(d)
	}
	_, err := c.Create(context.Background(), &CreateRequest{ClientToken: "b", Alternatives: []Alternative{spotA}})
	if !IsCode(err, CodeInsufficientCapacity) || len(SkippedOf(err)) != 1 {
		t.Errorf("error %v", err)
	}
	c.clock.Step(time.Minute)
	if got := c.create("b", spotA); got.Instance.Zone != "us-east-1a" {
		t.Error("the fault outlives its time")
	}
}

func TestOneClientTokenMakesOneInstance(t *testing.T) {
	c := newCloud(t, nil)
	first, second := c.create("token", spotA), c.create("token", onDemandA)
	if first.Instance.ID != second.Instance.ID || len(c.list()) != 1 || len(c.machines.booted) != 1 {
		t.Errorf("instances %s and %s, booted %d", first.Instance.ID, second.Instance.ID, len(c.machines.booted))
	}
}

func TestALostResponseLeaksNothingWhenTheCallIsRepeated(t *testing.T) {
	c := newCloud(t, nil)
	c.fault(Fault{Kind: FaultLostResponse, Operations: []Operation{OpCreateInstance}, Count: 1})
	created := c.create("token", spotA) // the client repeats
	if all := c.list(); len(all) != 1 || all[0].ID != created.Instance.ID {
		t.Errorf("instances %v", all)
	}
	// Without a repetition it leaks, which is what sweeps are for.
	c.fault(Fault{Kind: FaultLostResponse, Operations: []Operation{OpCreateInstance}})
	if _, err := c.Create(context.Background(), &CreateRequest{ClientToken: "other", Alternatives: []Alternative{spotA}}); err == nil {
		t.Error("the response was not lost")
	}
	if len(c.list()) != 2 {
		t.Errorf("%d instances, want the leaked one too", len(c.list()))
	}
}

func TestAnInterruptionIsAnnouncedAndThenHappens(t *testing.T) {
	c := newCloud(t, nil)
	victim, other := c.create("a", spotA).Instance, c.create("b", onDemandA).Instance
	if got := c.fault(Fault{Kind: FaultPreempt}).Affected; !cmp.Equal(got, []string{victim.ID}) {
		t.Fatalf("affected %v", got)
	}
	page, err := c.Notices(context.Background(), 0, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	deadline := epoch.Add(2 * time.Minute)
	want := Notice{Seq: 1, InstanceID: victim.ID, ProviderID: victim.ProviderID, Kind: cloudprovider.SpotInterruption, At: epoch, Deadline: deadline}
	if d := cmp.Diff([]Notice{want}, page.Notices); d != "" {
		t.Error(d)
	}
	c.clock.SetTime(deadline.Add(-time.Nanosecond))
	if s := c.get(victim.ID).State; s != Running {
		t.Errorf("%s before the deadline", s)
	}
	c.clock.SetTime(deadline)
	if i := c.get(victim.ID); i.State != Terminated || i.Reason != "SpotInterruption" || !i.TerminatedAt.Equal(deadline) {
		t.Errorf("after the deadline: %+v", i)
	}
	if s := c.get(other.ID).State; s != Running {
		t.Errorf("the on-demand instance is %s", s)
	}
	page, err = c.Notices(context.Background(), page.Next, time.Hour)
	if err != nil || len(page.Notices) != 1 || page.Notices[0].Kind != cloudprovider.Terminated {
		t.Errorf("notices %v, %v", page, err)
	}
	if d := cmp.Diff([]string{victim.ID}, c.machines.stopped); d != "" {
		t.Error(d)
	}
}

func TestRunTakesInstancesBackWithoutAnyRequest(t *testing.T) {
	c := newCloud(t, nil)
	c.machines.stops = make(chan string, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.server.Run(ctx) }()
	victim := c.create("a", spotA).Instance.ID
	c.fault(Fault{Kind: FaultPreempt, Match: Match{InstanceIDs: []string{victim}}})
	// Run may take its timer before or after the clock moves; both must end in the shutdown.
	c.clock.Step(2 * time.Minute)
	select {
	case id := <-c.machines.stops:
		if id != victim {
			t.Errorf("stopped %s", id)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was shut down")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBulkPreemptionTakesItsShare(t *testing.T) {
	c := newCloud(t, nil)
	for _, token := range strings.Split("abcdefghij", "") {
		c.create(token, spotA)
	}
	if got := c.fault(Fault{Kind: FaultPreempt, Rate: 0.3, Warning: &metav1.Duration{}}).Affected; len(got) != 3 {
		t.Errorf("%d of 10 affected", len(got))
	}
	running := 0
	for _, i := range c.list() {
		if i.State == Running {
			running++
		}
	}
	if running != 7 {
		t.Errorf("%d running after a preemption without warning", running)
	}
}

func TestInterruptionsHappenAtTheRatesOfTheCatalog(t *testing.T) {
	c := newCloud(t, func(o *Options) { o.InterruptionScale = 100 })
	const n = 200
	for k := range n {
		c.create(string(rune('a'+k)), spotA)
	}
	m5, _ := c.server.region.Type("m5.large")
	perHour, _ := m5.Interruption.PerHour()
	mean := time.Duration(float64(time.Hour) / (perHour * 100))
	c.clock.Step(mean + 3*time.Minute)
	running := 0
	for _, i := range c.list() {
		if i.State == Running {
			running++
		}
	}
	// After one mean lifetime e^-1 = 37% still run; ±4 standard deviations of a binomial of 200.
	if share := float64(running) / n; share < 0.23 || share > 0.51 {
		t.Errorf("%.2f still run after one mean lifetime", share)
	}
}

func TestQuotasLimitRunningVCPUs(t *testing.T) {
	c := newCloud(t, func(o *Options) { o.Quotas = map[string]int{Spot: 2} })
	first := c.create("a", spotA).Instance
	if got := c.create("b", spotA, onDemandA); got.Instance.CapacityType != OnDemand || got.Skipped[0].Code != CodeQuotaExceeded {
		t.Errorf("created %+v", got)
	}
	if _, err := c.Terminate(context.Background(), first.ID); err != nil {
		t.Fatal(err)
	}
	if got := c.create("c", spotA); got.Instance.CapacityType != Spot {
		t.Error("a terminated instance still counts")
	}
	if err := c.SetQuotas(context.Background(), map[string]int{Spot: 4}); err != nil {
		t.Fatal(err)
	}
	c.create("d", spotA)
}

func TestNewInstancesAreNotSeenAtOnce(t *testing.T) {
	c := newCloud(t, nil)
	c.fault(Fault{Kind: FaultListDelay, Delay: metav1.Duration{Duration: 10 * time.Second}})
	id := c.create("a", spotA).Instance.ID
	if len(c.list()) != 0 {
		t.Error("listed at once")
	}
	if _, err := c.Get(context.Background(), id); !IsCode(err, CodeNotFound) {
		t.Errorf("error %v", err)
	}
	c.clock.Step(10 * time.Second)
	if len(c.list()) != 1 {
		t.Error("never listed")
	}
}

func TestMachinesRegisterLateOrNever(t *testing.T) {
	c := newCloud(t, func(o *Options) { o.RegistrationDelay = 30 * time.Second })
	c.fault(Fault{Kind: FaultRegistrationDelay, Delay: metav1.Duration{Duration: time.Hour}, Match: Match{Zones: []string{"us-east-1b"}}})
	c.fault(Fault{Kind: FaultNeverRegister, Count: 1, Match: Match{CapacityTypes: []string{OnDemand}}})
	c.create("a", spotA)
	c.create("b", spotB)
	never := c.create("c", onDemandA).Instance.ID
	var got []time.Duration
	for _, i := range c.machines.booted {
		got = append(got, i.RegistrationDelay.Duration)
	}
	if d := cmp.Diff([]time.Duration{30 * time.Second, time.Hour}, got); d != "" {
		t.Error(d)
	}
	if c.get(never).State != Running {
		t.Error("an instance that never registers is not billed")
	}
	c.machines.fail = errors.New("no power")
	if i := c.get(c.create("d", onDemandA).Instance.ID); i.State != Running || !strings.Contains(i.Reason, "no power") {
		t.Errorf("failed hardware: %+v", i)
	}
}

func TestTerminatingIsIdempotentAndTakesItsTime(t *testing.T) {
	c := newCloud(t, func(o *Options) { o.TerminationDelay = time.Minute })
	id := c.create("a", spotA).Instance.ID
	for range 3 {
		i, err := c.Terminate(context.Background(), id)
		if err != nil || i.State != ShuttingDown {
			t.Errorf("%+v, %v", i, err)
		}
	}
	c.clock.Step(time.Minute)
	if i, err := c.Terminate(context.Background(), id); err != nil || i.State != Terminated {
		t.Errorf("%+v, %v", i, err)
	}
	if d := cmp.Diff([]string{id}, c.machines.stopped); d != "" {
		t.Error(d)
	}
	c.clock.Step(terminatedRetention)
	if _, err := c.Terminate(context.Background(), id); !IsCode(err, CodeNotFound) {
		t.Errorf("after an hour: %v", err)
	}
}

func TestWrongRequestsAreRefusedWithTheirReason(t *testing.T) {
	c := newCloud(t, nil)
	for name, tc := range map[string]struct {
		request CreateRequest
		want    string
	}{
		"no token":          {CreateRequest{Alternatives: []Alternative{spotA}}, "clientToken"},
		"no alternative":    {CreateRequest{ClientToken: "t"}, "alternatives"},
		"an unknown type":   {CreateRequest{ClientToken: "t", Alternatives: []Alternative{{"m9.large", "us-east-1a", Spot, 0}}}, `"m9.large"`},
		"an unknown zone":   {CreateRequest{ClientToken: "t", Alternatives: []Alternative{{"m5.large", "us-east-1z", Spot, 0}}}, `"us-east-1z"`},
		"reserved capacity": {CreateRequest{ClientToken: "t", Alternatives: []Alternative{{"m5.large", "us-east-1a", "reserved", 0}}}, `"reserved"`},
		"negative pods":     {CreateRequest{ClientToken: "t", Alternatives: []Alternative{spotA}, MaxPods: -1}, "maxPods"},
	} {
		if _, err := c.Create(context.Background(), &tc.request); !IsCode(err, CodeInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, f := range map[string]Fault{
		"an unknown kind":         {Kind: "Flood"},
		"a rate above 1":          {Kind: FaultError, Rate: 2},
		"latency without a delay": {Kind: FaultLatency},
	} {
		if _, err := c.AddFault(context.Background(), f); !IsCode(err, CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewServer(Options{Region: "mars-north-1"}); err == nil {
		t.Error("an unknown region is accepted")
	}
	if _, err := NewServer(Options{Zones: []string{"eu-west-1a"}}); err == nil {
		t.Error("a zone of another region is accepted")
	}
}

func TestUnsupportedOfferingsAndLowBidsAreSkipped(t *testing.T) {
	c := newCloud(t, nil)
	nowhere := Alternative{InstanceType: "m5.large", Zone: "us-east-1c", CapacityType: Spot}
	low := spotA
	low.MaxPrice = 0.001
	got := c.create("a", nowhere, low, onDemandA).Skipped
	if len(got) != 2 || got[0].Code != CodeUnsupported || got[1].Code != CodeMaxPrice {
		t.Errorf("skipped %v", got)
	}
}

func TestListFiltersByTag(t *testing.T) {
	c := newCloud(t, nil)
	c.create("a", spotA)
	for filter, want := range map[string]int{"owner": 1, "owner=test": 1, "owner=other": 0, "else": 0} {
		if got, err := c.List(context.Background(), filter); err != nil || len(got) != want {
			t.Errorf("%s: %d instances, %v", filter, len(got), err)
		}
	}
}
