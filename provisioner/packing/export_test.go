package packing

import "context"

// SolveOnce is Solve without its time budget and its later attempts.
func SolveOnce(ctx context.Context, p Problem) (Plan, error) {
	p.Options = p.Options.withDefaults()
	_, plan, err := solve(ctx, &p, mode{})
	return plan, err
}
