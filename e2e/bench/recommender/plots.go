package recommender

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"supercargo.dev/e2e/bench/report"
)

// plotted cases, and the names of their files.
func plotted() map[string]string {
	return map[string]string{
		caseAll: "quality", caseHeldOut: "held-out", caseKruize: "kruize", caseAdvice: "cert-manager",
	}
}

func fileOf(name string) string { return "bench-recommender-" + name + ".svg" }

// plots draws reserved cost against violations for each case, and registration against the number of scalers.
func plots(folder string, rows []Row, cases []Case) error {
	for _, c := range cases {
		name, ok := plotted()[c.Name]
		if !ok {
			continue
		}
		p := report.Plot{
			Title: "Reserved cost and CPU violations, " + c.Name, X: "reserved / used cost", Y: "minutes above the CPU request (%)",
			Curves: curves(rows, c.Name),
		}
		if err := p.WriteSVG(filepath.Join(folder, fileOf(name))); err != nil {
			return err
		}
	}
	register := report.Plot{Title: "Registering scalers of ten pods in one namespace", X: "scalers", Y: "seconds of processor time", LogX: true, LogY: true}
	for _, engine := range []string{Supercargo, VPA} {
		curve := report.Curve{Name: engine}
		for _, r := range rows {
			if r.Engine == engine && r.RegisterSeconds > 0 {
				curve.Points = append(curve.Points, report.Point{X: float64(r.Containers / podsPerScaler), Y: r.RegisterSeconds})
			}
		}
		register.Curves = append(register.Curves, curve)
	}
	return register.WriteSVG(filepath.Join(folder, fileOf("register")))
}

// curves of a case: ours and VPA's points along a curve, and single points beside them.
func curves(rows []Row, name string) []report.Curve {
	onCurve := map[[2]string]bool{}
	for _, s := range Settings() {
		onCurve[[2]string{s.Engine, s.Name}] = s.Curve
	}
	var ours, theirs, kruize []report.Point
	var byDefault []report.Point
	for _, r := range rows {
		if r.Case != name {
			continue
		}
		at := report.Point{X: r.Ratio(), Y: 100 * *r.CPUViolationRate}
		switch {
		case r.Engine == Kruize:
			kruize = append(kruize, at)
		case r.Engine == Supercargo && r.Setting == settingDefault:
			byDefault = append(byDefault, at)
		case !onCurve[[2]string{r.Engine, r.Setting}]:
		case r.Engine == Supercargo:
			ours = append(ours, at)
		default:
			theirs = append(theirs, at)
		}
	}
	var out []report.Curve
	for _, c := range []report.Curve{
		{Name: "supercargo", Points: ours},
		{Name: "vpa", Points: theirs},
		{Name: "supercargo by default", Points: byDefault},
		{Name: "kruize", Points: kruize},
	} {
		if len(c.Points) == 0 {
			continue
		}
		slices.SortFunc(c.Points, func(a, b report.Point) int { return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y)) })
		out = append(out, c)
	}
	return out
}

// images of a page.
func images(cases []Case) string {
	var out strings.Builder
	for _, c := range cases {
		if name, ok := plotted()[c.Name]; ok {
			out.WriteString("![Reserved cost and CPU violations, " + c.Name + "](" + fileOf(name) + ")\n")
		}
	}
	out.WriteString("![Registering scalers](" + fileOf("register") + ")\n")
	return out.String()
}
