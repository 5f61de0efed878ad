package diff

import (
	"slices"
	"sort"
)

// An item is a stretch of elements that old and new both have, side by side.
type item struct {
	old, new, n int32 // positions, and how many elements
	pair        int32 // number in sides of the new element, to be compared; or alone: all are alike
	moved       bool  // out of the order of the others
	strangers   bool  // the elements of pair have nothing in common
}

// arrays is the working memory for arrays.
type arrays struct {
	items  []item // stack
	spare  []item
	spans  []span
	links  []int32
	moves  moves
	finder finder
	lcs    lcs
}

// array compares two arrays in four steps: find the elements that are alike,
// pair what is left, by identity and then by place, choose the fewest moves,
// and write the operations. Where the budget is used up it gives up at once.
//
// Of s.sides, [base, mid) are the elements of old that are not alike, and
// those from mid on are the elements of new.
func (s *patcher) array(a, b value, r *rule) bool {
	if s.old.nodes[a.node].len() == 1 && s.new.nodes[b.node].len() == 1 {
		return s.onlyElement(a, b, r)
	}
	if s.effort < 0 || s.hopelessElements(a, b) {
		return false
	}
	base, first := len(s.sides), len(s.arrays.items)
	var mid int
	if s.old.nodes[a.node].allNodes() && s.new.nodes[b.node].allNodes() {
		mid = s.alignNodes(a, b)
	} else {
		mid = s.alignElements(a, b)
	}
	if mid < 0 {
		s.sides, s.arrays.items = s.sides[:base], s.arrays.items[:first]
		return false
	}
	mid = s.pairSame(a, base, mid, first)
	strangers := false
	if mid > base && mid < len(s.sides) {
		strangers = s.pairLeft(a, base, mid, r)
		s.addPairs(mid, first)
	}
	moves := s.arrays.moves.choose(s.arrays.items[first:])
	s.pairByPlace(base, mid, first, strangers)
	quiet, done := s.judge(a, b, r, base, moves)
	ok := done
	if !done {
		s.quiet += quiet
		ok = s.writeArray(a, b, r, base, mid, first, moves)
		s.quiet -= quiet
	}
	s.sides, s.arrays.items = s.sides[:base], s.arrays.items[:first]
	return ok
}

// onlyElement compares arrays of one element each.
func (s *patcher) onlyElement(a, b value, r *rule) bool {
	oc, nc := s.old.cursor(a), s.new.cursor(b)
	o, _ := oc.next()
	n, _ := nc.next()
	mark := s.enterIndex(0)
	ok := s.value(o.value, n.value, r.element(0))
	s.path = s.path[:mark]
	return ok
}

// judge decides, before operations are written that add, remove or move
// elements, whether they count. They do not where the arrays say the same,
// element by element; where nothing is ignored there is then nothing to write.
func (s *patcher) judge(a, b value, r *rule, base int, moves bool) (quiet int, done bool) {
	if s.changed || s.quiet > 0 {
		return 0, false
	}
	if !moves && !slices.ContainsFunc(s.sides[base:], func(e side) bool { return e.mate == alone }) {
		return 0, false
	}
	if r.ignored() || r != nil && len(r.members) == 0 && r.any.ignored() || s.same(a, b, r) {
		return 1, !s.ignores
	}
	s.changed = true
	return 0, false
}

// A span is where an item lies: at which node of old and of new, and how long.
type span struct{ old, new, size int }

// alignNodes aligns two arrays that hold nothing but arrays and objects, by
// the runs. It visits only the elements outside of them. It gives up, and
// returns -1, where those are too many tiny ones to be worth it.
func (s *patcher) alignNodes(a, b value) (mid int) {
	spans := s.arrays.spans[:0]
	c := s.new.cursor(b)
	behind := 0 // in old
	for i := max(0, s.runAfter(b.start)-1); i < len(s.runs) && int(s.runs[i].new) < b.end; i++ {
		r := s.runs[i]
		c.seekNodes(int(r.new))
		if c.child < c.last && s.new.nodes[c.child].start < r.new {
			c.behind(c.child)
		}
		if c.child == c.last {
			break
		}
		n := &s.new.nodes[c.child]
		if n.end() > r.new+r.n {
			continue
		}
		k := s.oldElement(a, n.start-r.new+r.old)
		if k < 0 || int(s.old.nodes[k].start) < behind {
			continue
		}
		child := c.child
		c.seekNodes(int(r.new + r.n))
		size := c.pos - int(n.start)
		behind = int(s.old.nodes[k].start) + size
		spans = append(spans, span{k, child, size})
		s.arrays.items = append(s.arrays.items, item{int32(s.old.nodes[k].ord), int32(n.ord), int32(c.ord) - int32(n.ord), alone, false, false})
	}
	s.arrays.spans = spans
	oc, nc := s.old.cursor(a), s.new.cursor(b)
	ok := true
	for _, sp := range spans {
		start := int(s.old.nodes[sp.old].start)
		ok = ok && s.collect(&oc, start)
		oc.seekNodes(start + sp.size)
	}
	ok = ok && s.collect(&oc, a.end)
	mid = len(s.sides)
	for _, sp := range spans {
		start := int(s.new.nodes[sp.new].start)
		ok = ok && s.collect(&nc, start)
		nc.seekNodes(start + sp.size)
	}
	if !ok || !s.collect(&nc, b.end) {
		return -1
	}
	return mid
}

// collect appends the elements that start before offset x to sides. There are
// only arrays and objects. It reports whether they are not too many.
func (s *patcher) collect(c *cursor, x int) bool {
	base, from := len(s.sides), c.pos
	for c.child < c.last && int(c.nodes[c.child].start) < x {
		n := &c.nodes[c.child]
		m := member{value: value{int(n.start), int(n.end()), c.child}}
		s.sides = append(s.sides, side{member: m, ord: int32(n.ord), mate: alone})
		c.behind(c.child)
		if n := len(s.sides) - base; n >= manyElements && c.pos-from < n*tinyElement {
			return false
		}
	}
	return true
}

// oldElement returns the node of the element of a at an offset, or -1.
func (s *patcher) oldElement(a value, start uint32) int {
	nodes, i := s.old.nodes, a.node+1
	if int(start) <= a.start || int(start) >= a.end {
		return -1
	}
	i += sort.Search(a.node+int(nodes[a.node].span)-i, func(j int) bool { return nodes[i+j].start >= start })
	if i < len(nodes) && nodes[i].start == start && i-int(nodes[i].up) == a.node {
		return i
	}
	return -1
}

// addPairs makes items of the elements that have been paired.
func (s *patcher) addPairs(mid, first int) {
	items := s.arrays.items
	added := len(items)
	for i := mid; i < len(s.sides); i++ {
		if e := &s.sides[i]; e.mate >= 0 {
			items = append(items, item{s.sides[e.mate].ord, e.ord, 1, int32(i), false, false})
		}
	}
	s.arrays.items = items
	s.arrays.merge(first, added)
}

// merge brings the items from first on into the order of new, where those before
// added are in it and those from there on, too.
func (a *arrays) merge(first, added int) {
	items := a.items[first:]
	n := added - first
	if n == 0 || n == len(items) || items[n-1].new < items[n].new {
		return
	}
	a.spare = append(a.spare[:0], items[n:]...)
	for i, rest := len(items)-1, a.spare; len(rest) > 0; i-- {
		if last := len(rest) - 1; n == 0 || items[n-1].new < rest[last].new {
			items[i], rest = rest[last], rest[:last]
		} else {
			n--
			items[i] = items[n]
		}
	}
}

// pairByPlace pairs elements that stand between the same neighbours, and that
// nothing else has been found for: to change one into the other is shorter
// than to remove the one and to add the other.
func (s *patcher) pairByPlace(base, mid, first int, strangers bool) {
	i, j, end := base, mid, len(s.sides)
	if i == mid || j == end {
		return
	}
	items := s.arrays.items[first:]
	for n := 0; ; n++ {
		for n < len(items) && items[n].moved {
			n++
		}
		oldEnd, newEnd := int32(1<<31-1), int32(1<<31-1)
		if n < len(items) {
			oldEnd, newEnd = items[n].old, items[n].new
		}
		for {
			for i < mid && (s.sides[i].mate != alone) && s.sides[i].ord < oldEnd {
				i++
			}
			for j < end && (s.sides[j].mate != alone) && s.sides[j].ord < newEnd {
				j++
			}
			if i == mid || j == end || s.sides[i].ord >= oldEnd || s.sides[j].ord >= newEnd {
				break
			}
			s.sides[i].mate, s.sides[j].mate = int32(j), int32(i)
			s.arrays.items = append(s.arrays.items, item{s.sides[i].ord, s.sides[j].ord, 1, int32(j), false, strangers})
		}
		if n >= len(items) {
			break
		}
		for i < mid && s.sides[i].ord < oldEnd {
			i++
		}
		for j < end && s.sides[j].ord < newEnd {
			j++
		}
	}
	s.arrays.merge(first, first+len(items))
}
