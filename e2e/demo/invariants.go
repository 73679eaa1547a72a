package demo

import (
	"fmt"
	"math"
	"strings"
	"time"

	"supercargo.dev/cloudprovider/sim"
)

const (
	// scaleDownLimit is how soon after the end of the batch its machines must be gone.
	scaleDownLimit = 5 * time.Minute
	// rateTolerance: rates of bill and ledger agree to the cent.
	rateTolerance = 0.005
	// ledgerLag is by how much the ledger may see the beginning or end of an instance late: a tick of a second, a second until
	// the claim says so, and as much for a busy machine.
	ledgerLag = 3 * time.Second
)

// Invariant is something that must hold.
type Invariant struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Detail says what was seen.
	Detail string `json:"detail"`
}

// Judge checks everything that must hold at the end of a demo.
func Judge(r *Report) []Invariant {
	return []Invariant{
		told(r), running(r), noRestarts(r), noViolations(r), offSpot(r), instancesAreClaims(r), ratesAgree(r), spendAgrees(r), cheaper(r),
		bounded(r), scaledDown(r),
	}
}

// told: a demo that ended early shows nothing of what was to come.
func told(r *Report) Invariant {
	i := Invariant{Name: "every step was reached", Detail: fmt.Sprintf("%d of 5 steps", len(r.Stages))}
	i.OK = len(r.Stages) == 5 && r.Failure == ""
	return i
}

// each makes an invariant of a check of every stage, which returns "" where the stage is as it must be.
func each(r *Report, name, good string, check func(*Stage) string) Invariant {
	var broken []string
	for i := range r.Stages {
		if problem := check(&r.Stages[i]); problem != "" {
			broken = append(broken, fmt.Sprintf("%s: %s", r.Stages[i].Name, problem))
		}
	}
	if len(broken) > 0 {
		return Invariant{Name: name, Detail: strings.Join(broken, "; ")}
	}
	if len(r.Stages) == 0 {
		return Invariant{Name: name, Detail: "no step was reached"}
	}
	return Invariant{Name: name, OK: true, Detail: good}
}

func running(r *Report) Invariant {
	return each(r, "all pods run", "at the end of every step", func(s *Stage) string {
		if s.Ready == s.Pods && s.Pods > 0 {
			return ""
		}
		return fmt.Sprintf("%d of %d pods are ready", s.Ready, s.Pods)
	})
}

func noRestarts(r *Report) Invariant {
	i := Invariant{Name: "no pod was restarted by a resize"}
	s := r.stage(StageRightsized)
	if s == nil {
		i.Detail = "nothing was resized"
		return i
	}
	i.OK, i.Detail = s.Restarted == 0, fmt.Sprintf("%d restarted or replaced", s.Restarted)
	return i
}

func noViolations(r *Report) Invariant {
	return each(r, "no disruption budget was violated", "0 violations", func(s *Stage) string { return strings.Join(s.Violations, ", ") })
}

func offSpot(r *Report) Invariant {
	return each(r, "data is never on spot", "no database was on a spot machine", func(s *Stage) string { return strings.Join(s.Misplaced, ", ") })
}

func instancesAreClaims(r *Report) Invariant {
	return each(r, "instances are NodeClaims", "the cloud runs what the cluster knows of", func(s *Stage) string {
		if s.Instances == s.Claims && s.Claims == s.Nodes {
			return ""
		}
		return fmt.Sprintf("%d instances, %d claims, %d nodes", s.Instances, s.Claims, s.Nodes)
	})
}

func ratesAgree(r *Report) Invariant {
	return each(r, "$/h of the ledger is the bill's", "to the cent, at the end of every step", func(s *Stage) string {
		if math.Abs(s.USDPerHour-s.LedgerUSDPerHour) < rateTolerance {
			return ""
		}
		return fmt.Sprintf("billed $%.4f/h, ledger $%.4f/h", s.USDPerHour, s.LedgerUSDPerHour)
	})
}

func spendAgrees(r *Report) Invariant {
	apart := math.Abs(r.BilledUSD - r.LedgerUSD)
	return Invariant{
		Name: "spend of the ledger is the bill's", OK: r.BilledUSD > 0 && apart <= r.ToleranceUSD,
		Detail: fmt.Sprintf("billed $%.5f, ledger $%.5f: $%.5f apart; $%.5f is %s of each instance at both ends of its life",
			r.BilledUSD, r.LedgerUSD, apart, r.ToleranceUSD, ledgerLag),
	}
}

// tolerance is what the ledger may be off the bill: ledgerLag at the beginning and at the end of every instance's life.
func tolerance(bill sim.Billing) float64 {
	usd := 0.0
	for i := range bill.Instances {
		b := &bill.Instances[i]
		end := bill.At
		if b.End != nil {
			end = *b.End
		}
		if lived := end.Sub(b.Start); lived > 0 {
			usd += b.SpentUSD / lived.Hours() * 2 * ledgerLag.Hours()
		}
	}
	return usd
}

func cheaper(r *Report) Invariant {
	i := Invariant{Name: "rightsizing and consolidation save"}
	before, after := r.stage(StageBought), r.stage(StageConsolidated)
	if before == nil || after == nil {
		i.Detail = "nothing was consolidated"
		return i
	}
	i.OK = after.USDPerHour < before.USDPerHour
	i.Detail = fmt.Sprintf("$%.4f/h became $%.4f/h", before.USDPerHour, after.USDPerHour)
	return i
}

func bounded(r *Report) Invariant {
	return each(r, "nothing costs less than its lower bound", "as a bound must hold", func(s *Stage) string {
		// Prices may move between the two readings: spot prices by a thousandth of a dollar at a time.
		if s.USDPerHour >= s.LowerBound-rateTolerance && s.LowerBound > 0 {
			return ""
		}
		return fmt.Sprintf("$%.4f/h, bound $%.4f/h", s.USDPerHour, s.LowerBound)
	})
}

func scaledDown(r *Report) Invariant {
	i := Invariant{Name: "the batch's machines are gone within 5 minutes of its end"}
	if r.stage(StageBatchDone) == nil {
		i.Detail = "the batch did not end, or its machines did not go"
		return i
	}
	i.OK = r.ScaleDownSeconds <= scaleDownLimit.Seconds()
	i.Detail = fmt.Sprintf("%.0f s", r.ScaleDownSeconds)
	return i
}

// Broken returns the invariants that do not hold.
func (r *Report) Broken() []Invariant {
	var out []Invariant
	for _, i := range r.Invariants {
		if !i.OK {
			out = append(out, i)
		}
	}
	return out
}
