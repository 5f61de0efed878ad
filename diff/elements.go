package diff

import (
	"bytes"
	"slices"
)

// alignElements aligns two arrays of any elements by a longest common
// subsequence: those that are alike become items, the others sides. It gives
// up, and returns -1, where there are too many tiny elements to be worth it.
func (s *patcher) alignElements(a, b value) (mid int) {
	oc, nc := s.old.cursor(a), s.new.cursor(b)
	s.passAlike(&oc, &nc)
	if n := int32(oc.ord); n > 0 {
		s.arrays.items = append(s.arrays.items, item{0, 0, n, alone, false, false})
	}
	base := len(s.sides)
	tail := commonSuffix(s.old.raw[oc.pos:a.end], s.new.raw[nc.pos:b.end])
	from, fromNew := oc, nc
	few := s.collectUntil(&oc, a.end-tail)
	mid = len(s.sides)
	if !few || !s.collectUntil(&nc, b.end-tail) {
		return -1
	}
	if a.end-oc.pos != b.end-nc.pos || a.end-oc.pos > tail {
		// What is alike at the end does not begin at an element of both.
		s.sides, oc, nc = s.sides[:base], from, fromNew
		few = s.collectUntil(&oc, a.end)
		mid = len(s.sides)
		if !few || !s.collectUntil(&nc, b.end) {
			return -1
		}
	}
	end := len(s.sides)
	if base < mid && mid < end {
		s.classify(base, mid, mid, end)
		s.arrays.lcs.align(s.pair)
	}
	mid = s.itemize(base, mid)
	if n := int32(s.old.nodes[a.node].len() - oc.ord); n > 0 {
		s.arrays.items = append(s.arrays.items, item{int32(oc.ord), int32(nc.ord), n, alone, false, false})
	}
	return mid
}

// hopelessElements reports whether two arrays of scalars, such as coordinates,
// differ in more than one operation can say where there is room for one only.
func (s *patcher) hopelessElements(a, b value) bool {
	o, n := &s.old.nodes[a.node], &s.new.nodes[b.node]
	if o.len() != n.len() || o.span != 1 || n.span != 1 {
		return false
	}
	if least := len(opRemove) + len(s.path) + len(`/0"}`); s.limit-s.size() >= 2*least {
		return false
	}
	var om, nm, first, firstNew, last, lastNew member
	differ := 0
	for oc, nc := s.old.cursor(a), s.new.cursor(b); oc.read(&om) && nc.read(&nm); {
		if !equalScalars(s.old.bytes(om.value), s.new.bytes(nm.value)) {
			if last, lastNew = om, nm; differ == 0 {
				first, firstNew = om, nm
			}
			differ++
		}
	}
	return differ > 1 && // and nothing has moved from one end to the other
		!equalScalars(s.old.bytes(first.value), s.new.bytes(lastNew.value)) &&
		!equalScalars(s.old.bytes(last.value), s.new.bytes(firstNew.value))
}

// pair makes element i of old and element j of new counterparts.
func (s *patcher) pair(i, j int) { s.sides[i].mate, s.sides[j].mate = int32(j), int32(i) }

// itemize moves the elements that have counterparts from sides to items, and
// returns the new mid.
func (s *patcher) itemize(base, mid int) int {
	items := s.arrays.items
	first := len(items)
	for j := mid; j < len(s.sides); j++ {
		if s.sides[j].mate == alone {
			continue
		}
		o, n := s.sides[s.sides[j].mate].ord, s.sides[j].ord
		if last := len(items) - 1; last >= first && items[last].old+items[last].n == o && items[last].new+items[last].n == n {
			items[last].n++
		} else {
			items = append(items, item{o, n, 1, alone, false, false})
		}
	}
	s.arrays.items = items
	paired := func(e side) bool { return e.mate != alone }
	olds := slices.DeleteFunc(s.sides[base:mid:mid], paired)
	news := slices.DeleteFunc(s.sides[mid:], paired)
	s.sides = append(s.sides[:base+len(olds)], news...)
	return base + len(olds)
}

const (
	manyElements = 1 << 14
	tinyElement  = 8 // bytes
)

// collectUntil appends the elements that begin before offset x to sides, and
// leaves the cursor behind the last of them. It reports whether that is not
// too many.
func (s *patcher) collectUntil(c *cursor, x int) bool {
	base, from := len(s.sides), c.pos
	for {
		before := *c
		m, ok := c.next()
		if !ok || m.start > x {
			*c = before
			return true
		}
		if m.node >= 0 {
			if s.effort -= m.end - m.start; s.effort < 0 {
				return false
			}
		}
		s.sides = append(s.sides, side{member: m, ord: int32(before.ord), hash: hashValue(c.Document, m.value), mate: alone})
		if n := len(s.sides) - base; n >= manyElements && c.pos-from < n*tinyElement {
			return false
		}
	}
}

// alikeSides reports whether side i of old and side j of new are the same.
func (s *patcher) alikeSides(i, j int) bool {
	x, y := &s.sides[i], &s.sides[j]
	if x.hash != y.hash || x.node < 0 != (y.node < 0) {
		return false
	}
	t, u := s.old.bytes(x.value), s.new.bytes(y.value)
	return bytes.Equal(t, u) || x.node < 0 && equalScalars(t, u)
}

// classify lists for the LCS those elements of old [base, i) and new [mid, j)
// that occur in both, each with the number of the first one like it in old.
func (s *patcher) classify(base, i, mid, j int) {
	l := &s.arrays.lcs
	l.reset(i - base)
	s.table.reset(i - base)
	for k := base; k < i; k++ {
		h := s.sides[k].hash
		at := s.table.probe(h, h)
		if s.table.slots[at].item == 0 {
			s.table.slots[at] = slot{h, int32(k + 1)}
		}
		if first := int(s.table.slots[at].item) - 1; first == k || s.alikeOld(first, k) {
			l.class[k-base] = int32(first)
		}
	}
	for k := mid; k < j; k++ {
		h := s.sides[k].hash
		first := int(s.table.slots[s.table.probe(h, h)].item) - 1
		if first >= 0 && s.alikeSides(first, k) {
			l.new = append(l.new, element{int32(k), int32(first)})
			l.wanted[first-base] = true
		}
	}
	for k := base; k < i; k++ {
		if c := l.class[k-base]; c >= 0 && l.wanted[int(c)-base] {
			l.old = append(l.old, element{int32(k), c})
		}
	}
}

// alikeOld is alikeSides for two sides of old.
func (s *patcher) alikeOld(i, j int) bool {
	x, y := &s.sides[i], &s.sides[j]
	t, u := s.old.bytes(x.value), s.old.bytes(y.value)
	return bytes.Equal(t, u) || x.node < 0 && y.node < 0 && equalScalars(t, u)
}

// pairAlike pairs elements of old in [base, mid) with the same ones of new,
// wherever they are.
func (s *patcher) pairAlike(base, mid int) {
	for i := base; i < len(s.sides); i++ {
		if e := &s.sides[i]; e.hash == 0 {
			if s.effort -= (e.end - e.start) / 2; s.effort < 0 {
				return
			}
			e.hash = hashValue(s.docOf(i, mid), e.value)
		}
	}
	s.pairByHash(base, mid, true)
}

// pairByHash pairs the elements of old and new that have the same hash and no
// counterpart yet: of several, the first with the first, and so on. With alike,
// they are compared too, and need not be looked into any more.
func (s *patcher) pairByHash(base, mid int, alike bool) {
	t := &s.table
	t.reset(mid - base)
	s.arrays.links = resize(s.arrays.links, mid-base)
	for i := mid - 1; i >= base; i-- {
		e := &s.sides[i]
		if e.mate != alone || e.hash == 0 {
			continue
		}
		at := t.probe(e.hash, e.hash)
		s.arrays.links[i-base] = t.slots[at].item
		t.slots[at] = slot{e.hash, int32(i + 1)}
	}
	for j := mid; j < len(s.sides); j++ {
		e := &s.sides[j]
		if e.mate != alone || e.hash == 0 {
			continue
		}
		at := t.probe(e.hash, e.hash)
		i := int(t.slots[at].item) - 1
		if i < 0 || alike && !s.alikeSides(i, j) {
			continue
		}
		s.pair(i, j)
		if t.slots[at].item = s.arrays.links[i-base]; t.slots[at].item == 0 {
			t.slots[at].item = -1 // used up; others may lie behind
		}
	}
}
