package diff

import "slices"

// moves is the working memory for moves.
type moves struct {
	order []int32 // items in the order of old
	rank  []int32
	tree  []int32 // Fenwick tree
	prev  []int32
	score []int32
}

// choose marks the items to move so that the fewest elements move: all but a
// heaviest increasing subsequence. Items are in the order of new. It reports
// whether any moves. O(n log n), and O(n) where none does.
func (m *moves) choose(items []item) bool {
	sorted := slices.IsSortedFunc(items, func(x, y item) int { return int(x.old) - int(y.old) })
	if sorted {
		return false
	}
	n := len(items)
	m.order = resize(m.order, n)
	for i := range m.order {
		m.order[i] = int32(i)
	}
	slices.SortFunc(m.order, func(x, y int32) int { return int(items[x].old) - int(items[y].old) })
	m.rank = resize(m.rank, n)
	for r, i := range m.order {
		m.rank[i] = int32(r)
	}
	// tree holds, for prefixes of ranks, the item that ends the heaviest
	// subsequence, plus one.
	m.tree, m.prev, m.score = resize(m.tree, n+1), resize(m.prev, n), resize(m.score, n)
	clear(m.tree)
	last := int32(0)
	for i := range items {
		best := int32(0)
		for r := m.rank[i]; r > 0; r &= r - 1 {
			if c := m.tree[r]; c > 0 && (best == 0 || m.score[c-1] > m.score[best-1]) {
				best = c
			}
		}
		m.prev[i], m.score[i] = best, items[i].n
		if best > 0 {
			m.score[i] += m.score[best-1]
		}
		if last == 0 || m.score[i] > m.score[last-1] {
			last = int32(i + 1)
		}
		for r := m.rank[i] + 1; int(r) <= n; r += r & -r {
			if c := m.tree[r]; c == 0 || m.score[i] > m.score[c-1] {
				m.tree[r] = int32(i + 1)
			}
		}
		items[i].moved = true
	}
	for ; last > 0; last = m.prev[last-1] {
		items[last-1].moved = false
	}
	return true
}

func resize(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n, n+n/2)
	}
	return s[:n]
}

// places counts the elements before a place while elements move: a Fenwick
// tree over the positions of old, of which 0 is before the first element and
// i+1 is element i and all that has been moved behind it.
type places []int32

// fill puts one element on each place from 1 to n, in O(n).
func (p places) fill(kept []int32) {
	clear(p)
	for _, i := range kept {
		p[i+2]++
	}
	for i := 1; i < len(p); i++ {
		if j := i + i&-i; j < len(p) {
			p[j] += p[i]
		}
	}
}

// add adds n elements to a place.
func (p places) add(place, n int32) {
	for i := place + 1; int(i) < len(p); i += i & -i {
		p[i] += n
	}
}

// before counts the elements on the places before place.
func (p places) before(place int32) (n int) {
	for i := place; i > 0; i &= i - 1 {
		n += int(p[i])
	}
	return n
}
