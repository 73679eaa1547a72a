package consolidation

import (
	"fmt"
	"os"
)

var debugAim = os.Getenv("AIM") != ""

func debugf(f string, a ...any) {
	if debugAim {
		fmt.Printf(f, a...)
	}
}

func (h *hunt) debugTarget(t *target, weight float64, looks int) {
	if !debugAim {
		return
	}
	bound, _ := h.fleet.lowerBound()
	moved := len(t.pods)
	cost := h.fleet.cost() + t.plan.Cost
	for _, m := range t.set {
		cost -= m.Node.Price
	}
	fmt.Printf("target weight %.1f: %d nodes leave, %d bought, %.4f moved %d objective %.4f looks %d\n", weight, len(t.set), len(t.plan.Nodes), cost/bound, moved, t.cost/bound, looks)
	for _, g := range t.groups() {
		fmt.Printf("   group %d saved %.3f moves %.4f bind %d buy %d\n", len(g.set), g.saved, g.moves, len(g.bindings), len(g.nodes))
	}
}
