package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/demo/observe"
)

// good is a report in which everything holds.
func good() *Report {
	stage := func(name string, nodes, restarted int, usd float64) Stage {
		return Stage{
			Name: name, Seconds: 30, Nodes: nodes, Spot: nodes - 1, USDPerHour: usd, LedgerUSDPerHour: usd, LowerBound: usd * 0.9,
			Requested: Amounts{Cores: 15.52, MemoryGiB: 18.6}, Used: Amounts{Cores: 2.9, MemoryGiB: 11}, Pods: 135, Ready: 135,
			Restarted: restarted, Instances: nodes, Claims: nodes,
		}
	}
	return &Report{
		Stages: []Stage{
			stage(StageBought, 12, 0, 0.2442), stage(StageRightsized, 12, 0, 0.2442), stage(StageConsolidated, 7, 60, 0.14),
			stage(StageInterrupted, 7, 20, 0.141), stage(StageBatchDone, 7, 4, 0.14),
		},
		SavedPercent: 42.7, ScaleDownSeconds: 30, BilledUSD: 0.02, LedgerUSD: 0.0199, ToleranceUSD: 0.001, Seconds: 182,
	}
}

func TestJudge(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Report)
		want   []string // broken invariants
	}{
		"a good demo breaks nothing": {change: func(*Report) {}},
		"a step that was not reached": {
			change: func(r *Report) { r.Stages, r.Failure = r.Stages[:4], "waited in vain" },
			want:   []string{"every step was reached", "the batch's machines are gone within 5 minutes of its end"},
		},
		"a demo that showed nothing shows that nothing holds": {
			change: func(r *Report) { *r = Report{Failure: "no binary"} },
			want: []string{
				"every step was reached", "all pods run", "no pod was restarted by a resize", "no disruption budget was violated", "data is never on spot",
				"instances are NodeClaims", "$/h of the ledger is the bill's", "spend of the ledger is the bill's", "rightsizing and consolidation save",
				"nothing costs less than its lower bound", "the batch's machines are gone within 5 minutes of its end",
			},
		},
		"a pod that does not run":         {change: func(r *Report) { r.Stages[2].Ready-- }, want: []string{"all pods run"}},
		"a restart by a resize":           {change: func(r *Report) { r.Stages[1].Restarted = 1 }, want: []string{"no pod was restarted by a resize"}},
		"a restart by a move is no break": {change: func(r *Report) { r.Stages[3].Restarted = 100 }},
		"a violated budget":               {change: func(r *Report) { r.Stages[3].Violations = []string{"shop/web"} }, want: []string{"no disruption budget was violated"}},
		"a database on spot":              {change: func(r *Report) { r.Stages[0].Misplaced = []string{"shop/db"} }, want: []string{"data is never on spot"}},
		"a leaked instance":               {change: func(r *Report) { r.Stages[4].Instances++ }, want: []string{"instances are NodeClaims"}},
		"a rate that is a cent off":       {change: func(r *Report) { r.Stages[0].LedgerUSDPerHour += 0.01 }, want: []string{"$/h of the ledger is the bill's"}},
		"a spend beyond the tolerance":    {change: func(r *Report) { r.LedgerUSD = 0.0189 }, want: []string{"spend of the ledger is the bill's"}},
		"a bill that did not fall":        {change: func(r *Report) { r.Stages[2].USDPerHour, r.Stages[2].LedgerUSDPerHour = 0.2442, 0.2442 }, want: []string{"rightsizing and consolidation save"}},
		"a bound above the cost":          {change: func(r *Report) { r.Stages[1].LowerBound = 0.26 }, want: []string{"nothing costs less than its lower bound"}},
		"a slow scale-down":               {change: func(r *Report) { r.ScaleDownSeconds = 301 }, want: []string{"the batch's machines are gone within 5 minutes of its end"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			tc.change(r)
			r.Invariants = Judge(r)
			var broken []string
			for _, i := range r.Broken() {
				broken = append(broken, i.Name)
				if i.Detail == "" && r.Failure == "" {
					t.Errorf("invariant %q is broken without a word", i.Name)
				}
			}
			if diff := cmp.Diff(tc.want, broken); diff != "" {
				t.Errorf("broken (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTolerance(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	end := start.Add(30 * time.Minute)
	bill := sim.Billing{At: start.Add(time.Hour), Instances: []sim.Bill{
		{Start: start, SpentUSD: 0.36},           // at $0.36/h, still there
		{Start: start, End: &end, SpentUSD: 0.9}, // at $1.80/h
		{Start: start.Add(time.Hour)},            // just bought
	}}
	// Three seconds at both ends of the lives of $0.0001/s and $0.0005/s.
	if got, want := tolerance(bill), 6*0.0006; got < want-1e-9 || got > want+1e-9 {
		t.Errorf("tolerance is $%.6f, want $%.6f", got, want)
	}
}

func TestTable(t *testing.T) {
	const want = `| stage                       | nodes | spot |    $/h | lower bound |          requested vs used | pods restarted | PDB violations |
|:----------------------------|------:|-----:|-------:|------------:|---------------------------:|---------------:|---------------:|
| bought                      |    12 |   11 | 0.2442 |      0.2198 | 15.5 CPU 19%, 18.6 GiB 59% |              0 |              0 |
| rightsized in place         |    12 |   11 | 0.2442 |      0.2198 | 15.5 CPU 19%, 18.6 GiB 59% |              0 |              0 |
| consolidated                |     7 |    6 | 0.1400 |      0.1260 | 15.5 CPU 19%, 18.6 GiB 59% |             60 |              0 |
| after the spot interruption |     7 |    6 | 0.1410 |      0.1269 | 15.5 CPU 19%, 18.6 GiB 59% |             20 |              0 |
| after the batch is done     |     7 |    6 | 0.1400 |      0.1260 | 15.5 CPU 19%, 18.6 GiB 59% |              4 |              0 |
`
	if diff := cmp.Diff(want, Table(good().Stages)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSummarySaysWhatIsBroken(t *testing.T) {
	r := good()
	r.Stages[1].Restarted, r.Failure = 3, "waited 2m0s for something"
	r.Invariants = Judge(r)
	got := Summary(r)
	for _, want := range []string{
		"Saved 43% of the bill; no packing of the same pods costs less than 90% of what they cost now.",
		"Took 182 s: bought 30 s,",
		"BROKEN  no pod was restarted by a resize: 3 restarted or replaced\n",
		"ok      no disruption budget was violated: 0 violations\n",
		"\nwaited 2m0s for something\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestPictureFitsTheTerminal(t *testing.T) {
	o := observe.Snapshot{}
	for range 40 {
		o.Nodes = append(o.Nodes, observe.Node{Name: "i-0123456789abcdef0", InstanceType: "m6g.large", Zone: "us-east-1a", USDPerHour: 0.0345})
	}
	lines := picture(o, 20)
	if len(lines) > 20 || !strings.Contains(lines[len(lines)-1], "more nodes") {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
	for _, line := range lines {
		if n := len([]rune(cut(line, 40))); n > 40 {
			t.Errorf("a line of %d characters", n)
		}
	}
}
