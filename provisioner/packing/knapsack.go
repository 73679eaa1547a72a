package packing

import (
	"cmp"
	"math"
	"slices"
)

// knapsack finds the most valuable fill of one node: maximise v·x with Ax ≤ 1 and
// 0 ≤ x ≤ u, over few rows (resources, scaled to the node) and some columns
// (kinds). The relaxation is solved by a bounded-variable simplex; at most as
// many x are fractional as there are rows, so that rounding down and filling up
// comes close to the integer optimum. Buffers are reused between calls.
type knapsack struct {
	rows int
	n    int
	a    []float64 // n × rows
	v, u []float64
	id   []int32 // caller's name of each column

	x        []float64
	y        []float64
	inverse  []float64
	basis    []int // column, or n+r for the slack of row r
	xb       []float64
	alpha    []float64
	score    []float64
	density  []float64
	atUpper  []bool
	inBasis  []bool
	order    []int
	left     []float64
	integral []int32
}

func (k *knapsack) reset(rows int) {
	k.rows, k.n = rows, 0
	k.a, k.v, k.u, k.id = k.a[:0], k.v[:0], k.u[:0], k.id[:0]
}

// column adds a kind; the caller has appended its rows to k.a.
func (k *knapsack) column(id int32, value, upper float64) {
	k.v, k.u, k.id = append(k.v, value), append(k.u, upper), append(k.id, id)
	k.n++
}

func resize[T any](s []T, n int) []T {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

// solve maximises the relaxation and returns an upper bound on its value that is
// valid whatever rounding errors do: it is computed from non-negative prices.
func (k *knapsack) solve() float64 {
	k.relax()
	return k.bound()
}

// relax maximises the relaxation.
func (k *knapsack) relax() {
	m, n := k.rows, k.n
	k.x = resize(k.x, n)
	k.y = resize(k.y, m)
	k.inverse = resize(k.inverse, m*m)
	k.basis = resize(k.basis, m)
	k.xb = resize(k.xb, m)
	k.alpha = resize(k.alpha, m)
	k.atUpper = resize(k.atUpper, n)
	k.inBasis = resize(k.inBasis, n+m)
	for r := range m {
		k.inverse[r*m+r] = 1
		k.basis[r] = n + r
		k.inBasis[n+r] = true
		k.xb[r] = 1
	}
	k.score = resize(k.score, n+m)
	k.reprice()
	for range 4*(n+m) + 16 {
		j := -1
		for i, s := range k.score {
			if s > 1e-9 && (j < 0 || s > k.score[j]) {
				j = i
			}
		}
		if j < 0 {
			break
		}
		if k.pivot(j, j < n && k.atUpper[j]) {
			k.reprice()
		} else {
			k.score[j] = 0 // it went from one bound to the other, and no price changed
		}
	}
	for r, b := range k.basis {
		if b < n {
			k.x[b] = min(max(k.xb[r], 0), k.u[b])
		}
	}
	for j := range n {
		if !k.inBasis[j] && k.atUpper[j] {
			k.x[j] = k.u[j]
		}
	}
}

// bound is Lagrange's for the duals at hand.
func (k *knapsack) bound() float64 {
	s := 0.0
	for _, y := range k.y {
		s += max(y, 0)
	}
	for j := range k.n {
		s += k.u[j] * max(0, k.gain(j))
	}
	return s
}

// gain is the value of a column beyond the price of what it takes.
func (k *knapsack) gain(j int) float64 {
	d := k.v[j]
	for r, a := range k.a[j*k.rows : (j+1)*k.rows] {
		d -= max(k.y[r], 0) * a
	}
	return d
}

// reprice scores each column outside the basis by what it gains to bring it in.
func (k *knapsack) reprice() {
	m, n := k.rows, k.n
	y, v, score := k.y[:m], k.v[:n], k.score[:n] // lengths that the compiler sees spare it checks in the innermost loop
	for j := range score {
		score[j] = 0
		if k.inBasis[j] {
			continue
		}
		d, a := v[j], k.a[j*m:][:len(y)]
		for r := range y {
			d -= y[r] * a[r]
		}
		if k.atUpper[j] {
			d = -d
		}
		if d > 1e-7*max(v[j], 1e-12) {
			score[j] = d * k.u[j]
		}
	}
	for r := range m {
		k.score[k.n+r] = 0
		if !k.inBasis[k.n+r] {
			k.score[k.n+r] = -k.y[r]
		}
	}
}

// pivot brings a column in, up from 0 or down from its upper bound; false means
// that it went to its other bound without entering the basis.
func (k *knapsack) pivot(j int, down bool) bool {
	m, n := k.rows, k.n
	for i := range m {
		s := 0.0
		if j >= n {
			s = k.inverse[i*m+j-n]
		} else {
			for r, a := range k.a[j*m : (j+1)*m] {
				s += k.inverse[i*m+r] * a
			}
		}
		k.alpha[i] = s
	}
	sign := 1.0
	if down {
		sign = -1
	}
	step, leave, toUpper := math.Inf(1), -1, false
	if j < n {
		step = k.u[j]
	}
	for i, a := range k.alpha {
		a *= sign
		switch {
		case a > 1e-11:
			if t := max(k.xb[i], 0) / a; t < step {
				step, leave, toUpper = t, i, false
			}
		case a < -1e-11 && k.basis[i] < n:
			if t := max(k.u[k.basis[i]]-k.xb[i], 0) / -a; t < step {
				step, leave, toUpper = t, i, true
			}
		}
	}
	if math.IsInf(step, 1) {
		return false
	}
	for i, a := range k.alpha {
		k.xb[i] -= sign * a * step
	}
	if leave < 0 { // from one bound to the other
		k.atUpper[j] = !down
		return false
	}
	if b := k.basis[leave]; b < n {
		k.atUpper[b] = toUpper
	}
	k.inBasis[k.basis[leave]] = false
	k.basis[leave], k.inBasis[j] = j, true
	if down {
		k.xb[leave] = k.u[j] - step
	} else {
		k.xb[leave] = step
	}
	p := k.alpha[leave]
	for c := range m {
		k.inverse[leave*m+c] /= p
	}
	for i, a := range k.alpha {
		if i == leave || a == 0 {
			continue
		}
		for c := range m {
			k.inverse[i*m+c] -= a * k.inverse[leave*m+c]
		}
	}
	clear(k.y)
	for i, b := range k.basis {
		if b < n {
			for c := range m {
				k.y[c] += k.v[b] * k.inverse[i*m+c]
			}
		}
	}
	return true
}

// round makes the relaxation integral: down, then up again by gain per what is
// scarce. It returns the value; the counts are in k.integral.
func (k *knapsack) round() float64 {
	m := k.rows
	k.integral = resize(k.integral, k.n)
	k.left = resize(k.left, m)
	for r := range m {
		k.left[r] = 1 + 1e-12
	}
	value := 0.0
	put := func(j int, c float64) {
		k.integral[j] += int32(c)
		value += c * k.v[j]
		for r, a := range k.a[j*m : (j+1)*m] {
			k.left[r] -= c * a
		}
	}
	for j, x := range k.x {
		if c := math.Floor(x + 1e-9); c > 0 {
			put(j, k.fit(j, c))
		}
	}
	k.order = k.order[:0]
	for j := range k.n {
		if float64(k.integral[j]) < k.u[j] && k.fit(j, 1) > 0 {
			k.order = append(k.order, j)
		}
	}
	k.density = resize(k.density, k.n)
	for _, j := range k.order {
		w := 1e-9
		for r, a := range k.a[j*m : (j+1)*m] {
			w += (max(k.y[r], 0) + 1e-9) * a
		}
		k.density[j] = k.v[j] / w
	}
	slices.SortStableFunc(k.order, func(a, b int) int { return cmp.Compare(k.density[b], k.density[a]) })
	for _, j := range k.order {
		if c := k.fit(j, k.u[j]-float64(k.integral[j])); c > 0 {
			put(j, c)
		}
	}
	return value
}

// fit is how many of a column fit into what is left, at most limit.
func (k *knapsack) fit(j int, limit float64) float64 {
	for r, a := range k.a[j*k.rows : (j+1)*k.rows] {
		if a > 0 {
			limit = min(limit, k.left[r]/a)
		}
	}
	return math.Floor(max(limit, 0))
}
