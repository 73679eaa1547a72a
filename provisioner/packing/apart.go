package packing

// apartness is items of which a node may hold only so many together.
type apartness struct {
	items []int
	match []float64
	most  float64
}

// apartnesses finds the groups that keep items apart.
func (p *packer) apartnesses() []apartness {
	at := map[int]int{}
	var out []apartness
	for i, it := range p.items {
		if p.left[i] == 0 {
			continue
		}
		for k := range it.u.marks {
			m := &it.u.marks[k]
			most := m.apart(p.c.groups)
			if most == 0 {
				continue
			}
			n, ok := at[m.group]
			if !ok {
				n = len(out)
				at[m.group] = n
				out = append(out, apartness{})
			}
			a := &out[n]
			a.items, a.match = append(a.items, i), append(a.match, float64(m.match))
			a.most = max(a.most, float64(most))
		}
	}
	return out
}

// nodesNeeded is the number of nodes that the pods that must be apart need; it
// notes the same for each kind.
func (p *packer) nodesNeeded() float64 {
	most := 0.0
	clear(p.price.need)
	for i := range p.apart {
		a := &p.apart[i]
		n := 0.0
		for k, item := range a.items {
			n += a.match[k] * float64(p.left[item])
		}
		n /= a.most
		most = max(most, n)
		for _, item := range a.items {
			if k := p.kindOf(item); k >= 0 && p.left[item] > 0 {
				p.price.need[k] = max(p.price.need[k], n)
			}
		}
	}
	return most
}

// apartMost tells whether most nodes are there because pods must be apart: then it is
// not the prices that the cost comes from.
func (p *packer) apartMost() bool {
	need := 0.0
	for i := range p.apart {
		n := 0.0
		for k, item := range p.apart[i].items {
			n += p.apart[i].match[k] * float64(p.items[item].todo)
		}
		need = max(need, n/p.apart[i].most)
	}
	return need > 0.5*float64(len(p.bins))
}
