package plan

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	out := bufio.NewWriter(w)
	p := printer{w: out}
	p.pricing(&r.Pricing, r.Current.SpotNodes)
	p.summary(r)
	if r.Change != nil {
		p.change(r.Change)
	}
	p.buy(r)
	p.stay(r)
	p.unplaced("PODS WITHOUT A PLACE", r.Unplaced)
	p.blockers(r.Blockers)
	if len(r.UnknownPrices) > 0 {
		p.heading("NODES WITHOUT A PRICE")
		for _, u := range r.UnknownPrices {
			p.printf("%d  %s (%s)\n", u.Nodes, u.Reason, u.Example)
		}
	}
	if len(r.Notes) > 0 {
		p.heading("NOTES")
		for _, note := range r.Notes {
			p.printf("- %s\n", note)
		}
	}
	if n := len(r.Input.Problems); n > 0 {
		p.heading("INCOMPLETE INPUT")
		problems := "problems"
		if n == 1 {
			problems = "problem"
		}
		p.printf("%d %s with the input, listed on the standard error; the plan is made of the rest. Pods that are missing make nodes look\nemptier than they are, and the savings larger\n", n, problems)
	}
	return out.Flush()
}

// printer writes to a buffered writer, which keeps the first error until it is flushed.
type printer struct{ w *bufio.Writer }

func (p printer) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format, args...) }

func (p printer) heading(text string) { p.printf("\n%s\n", text) }

func (p printer) pricing(x *Pricing, spotNodes int) {
	spot := map[SpotMode]string{SpotOff: "on-demand only", SpotOn: "on-demand and spot", SpotOnly: "spot only"}[x.Spot]
	p.printf("Prices of %s %s: on-demand of %s", x.Cloud, x.Region, cmp.Or(x.OnDemandAt, "an unknown day"))
	if x.Spot != SpotOff || spotNodes > 0 {
		p.printf(", spot averages of %s", cmp.Or(x.SpotAt, "an unknown day"))
	}
	p.printf("\nBuying %s; %d instance types: families %s; %s; zones %s\n", spot, x.InstanceTypes, strings.Join(x.Families, ","),
		strings.Join(x.Architectures, ","), strings.Join(x.Zones, ","))
	if x.Rightsized {
		p.printf("Pods at the size that their WorkloadScalers recommend\n")
	}
}

func (p printer) summary(r *Report) {
	t := table{right: " NNNNNNN"}
	t.row("", "NODES", "VCPU", "GIB", "$/HOUR", "$/MONTH", "CPU", "MEMORY")
	line := func(name string, s *Summary) {
		t.row(name, fmt.Sprint(s.Nodes), trim(s.VCPU), trim(s.MemoryGiB), atLeast(s.UnknownPrices > 0, money(s.PricePerHour)),
			atLeast(s.UnknownPrices > 0, cents(s.PricePerMonth)), percent(s.CPUPercent), percent(s.MemoryPercent))
	}
	line("current", &r.Current)
	planned := "planned"
	if r.Change != nil {
		planned = "planned, with the change"
	}
	line(planned, &r.Planned)
	t.row("bound", "", "", "", money(r.Bound.PricePerHour), cents(r.Bound.PricePerMonth), "", "")
	saved := r.Savings
	unknown := func(text string) string {
		if saved.Unknown {
			return "unknown"
		}
		return atLeast(saved.AtLeast, text)
	}
	t.row("savings", "", "", "", unknown(money(saved.PerHour)), unknown(cents(saved.PerMonth)), "", "")
	p.printf("\n")
	t.write(p.w)
	if saved.Unknown {
		return
	}
	switch {
	case r.Current.PricePerHour == 0:
		p.printf("\nThe plan is ")
	case saved.PerHour < 0:
		p.printf("\nCosts %s more than now; ", percent(-saved.Percent))
	default:
		p.printf("\nSaves %s of the current price; ", atLeast(saved.AtLeast, percent(saved.Percent)))
	}
	p.printf("at most %.2f%% above what any packing must cost.\n", r.Bound.GapPercent)
}

func (p printer) change(c *Change) {
	p.heading("THE CHANGE")
	t := table{right: " NN"}
	t.row("WORKLOAD", "PODS NOW", "THEN")
	for _, w := range c.Workloads {
		t.row(w.Kind+" "+w.Namespace+"/"+w.Name, fmt.Sprint(w.Before), fmt.Sprint(w.After))
	}
	t.write(p.w)
	p.printf("\n")
	t = table{right: " NNN"}
	t.row("COSTS", "NODES", "$/HOUR", "$/MONTH")
	t.row("on the nodes as they are", signed(c.AsIs.Nodes), money(c.AsIs.PricePerHour), cents(c.AsIs.PricePerMonth))
	t.row("with everything packed anew", signed(c.Packed.Nodes), money(c.Packed.PricePerHour), cents(c.Packed.PricePerMonth))
	t.write(p.w)
	if len(c.AsIs.Buy) > 0 {
		p.printf("\nOn the nodes as they are it needs\n")
		p.purchases(c.AsIs.Buy)
	}
	p.unplaced("PODS OF THE CHANGE WITHOUT A PLACE ON THE NODES AS THEY ARE", c.AsIs.Unplaced)
}

func (p printer) buy(r *Report) {
	n := 0
	for i := range r.Buy {
		n += r.Buy[i].Count
	}
	p.heading(fmt.Sprintf("NODES TO BUY (%d)", n))
	if n == 0 {
		p.printf("none\n")
		return
	}
	p.purchases(r.Buy)
}

func (p printer) purchases(list []Purchase) {
	t := table{right: "N   NNN "}
	t.row("COUNT", "TYPE", "ZONE", "CAPACITY", "$/HOUR", "TOTAL", "PODS", "GROUP")
	price := func(usd *float64) string {
		if usd == nil {
			return "unknown"
		}
		return money(*usd)
	}
	for i := range list {
		b := &list[i]
		t.row(fmt.Sprint(b.Count), b.InstanceType, b.Zone, b.CapacityType, price(b.PricePerHour), price(b.TotalPerHour), fmt.Sprint(b.Pods), b.Group)
	}
	t.write(p.w)
}

func (p printer) stay(r *Report) {
	if len(r.Keep) == 0 {
		return
	}
	p.heading("NODES THAT STAY")
	t := table{right: "NN  "}
	t.row("COUNT", "$/HOUR", "WHY", "EXAMPLE")
	for _, k := range r.Keep {
		t.row(fmt.Sprint(k.Nodes), atLeast(k.UnknownPrices > 0, money(k.PricePerHour)), k.Reason, k.Example)
	}
	t.write(p.w)
}

func (p printer) unplaced(heading string, list []Unplaced) {
	if len(list) == 0 {
		return
	}
	p.heading(heading)
	for _, u := range list {
		p.printf("%d  %s\n   why:   %s\n   remedy: %s\n", u.Pods, u.Workload, u.Message, cmp.Or(u.Remedy, "none known"))
	}
}

func (p printer) blockers(list []Blocker) {
	if len(list) == 0 {
		return
	}
	p.heading("WHAT STANDS IN THE WAY")
	for _, b := range list {
		p.printf("%d pods on %d nodes (%s $/hour) %s\n   example: %s\n   remedy:  %s\n", b.Pods, b.Nodes, money(b.PricePerHour), b.Description, b.Example, b.Remedy)
	}
}

func money(usd float64) string { return fmt.Sprintf("%.4f", usd) }

func cents(usd float64) string { return fmt.Sprintf("%.2f", usd) }

func percent(v float64) string { return fmt.Sprintf("%.1f%%", v) }

func trim(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }

func signed(n int) string { return fmt.Sprintf("%+d", n) }

func atLeast(unknown bool, text string) string {
	if unknown {
		return "≥ " + text
	}
	return text
}

// table aligns columns.
type table struct {
	rows  [][]string
	right string // N for a column that is aligned to the right
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w *bufio.Writer) {
	var width []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i < len(t.right) && t.right[i] == 'N' {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		_, _ = w.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
