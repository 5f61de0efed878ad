package diff

// deepest is how deep values are looked into that are spelled otherwise. What
// nests deeper may be taken to differ.
const deepest = 2 * deep

// same reports whether a and b are one value, ignored members aside, whatever
// their spelling, the order of members and the white space.
func (s *patcher) same(a, b value, r *rule) bool {
	switch {
	case r.ignored():
		return true
	case a.node < 0 || b.node < 0:
		return a.node < 0 && b.node < 0 && equalScalars(s.old.bytes(a), s.new.bytes(b))
	case s.old.raw[a.start] != s.new.raw[b.start]:
		return false
	case s.equal(a, b):
		return true
	case s.depth >= deepest:
		return false
	}
	s.depth++
	defer func() { s.depth-- }()
	if s.new.raw[b.start] == '[' {
		return s.sameElements(a, b, r)
	}
	return s.sameMembers(a, b, r)
}

func (s *patcher) sameElements(a, b value, r *rule) bool {
	oc, nc := s.old.cursor(a), s.new.cursor(b)
	for {
		if s.passAlike(&oc, &nc) {
			return true
		}
		i := max(oc.ord, nc.ord)
		om, ok := oc.next()
		nm, ok2 := nc.next()
		switch {
		case !ok && !ok2:
			return true
		case ok && ok2 && s.same(om.value, nm.value, r.element(i)):
		case !r.element(i).ignored():
			return false
		}
	}
}

func (s *patcher) sameMembers(a, b value, r *rule) bool {
	oc, nc := s.old.cursor(a), s.new.cursor(b)
	for distinct := false; ; {
		if s.passAlike(&oc, &nc) {
			return true
		}
		o0, n0 := oc, nc
		om, ok := oc.next()
		nm, ok2 := nc.next()
		if !ok && !ok2 {
			return true
		}
		inStep := ok && ok2 && string(s.old.name(&om)) == string(s.new.name(&nm))
		if inStep && s.equal(om.value, nm.value) {
			continue
		}
		if !inStep && o0.ord+n0.ord == 0 {
			return s.samePairs(o0, n0, r)
		}
		if !distinct {
			if !s.distinct(s.old, a) || !s.distinct(s.new, b) {
				return s.samePairs(s.old.cursor(a), s.new.cursor(b), r)
			}
			distinct = true
		}
		if !inStep {
			return s.samePairs(o0, n0, r)
		}
		if !s.same(om.value, nm.value, r.member(s.new.name(&nm))) {
			return false
		}
	}
}

// samePairs is sameMembers for what is left of two objects, by name.
func (s *patcher) samePairs(oc, nc cursor, r *rule) bool {
	base, mid := s.pairMembers(oc, nc)
	defer func() { s.sides = s.sides[:base] }()
	for i, end := base, len(s.sides); i < end; i++ {
		m, mate := s.sides[i].member, s.sides[i].mate
		rule := r.member(s.sideName(i, mid))
		switch {
		case mate == alone && !rule.ignored():
			return false
		case mate >= 0 && i < mid && !s.same(m.value, s.sides[mate].value, rule):
			return false
		}
	}
	return true
}

// pairSame pairs elements that say the same and stand at the same position, where
// it seems that all do: somebody writes them otherwise now. Then there is no need
// to look for their identity. It returns the new mid.
//
// It has a budget, and leaves the largest elements alone: of arrays in arrays the
// inner ones would be read again and again.
func (s *patcher) pairSame(a value, base, mid, first int) int {
	n, most := mid-base, (a.end-a.start)/4
	same := func(i int) bool {
		x, y := &s.sides[base+i], &s.sides[mid+i]
		size := x.end - x.start
		if x.ord != y.ord || size > most || s.effort < 4*size {
			return false
		}
		s.effort -= 4 * size
		return s.same(x.value, y.value, nil)
	}
	if n < 8 || len(s.sides)-mid != n || !same(n/2) && !same(n-1) {
		return mid
	}
	for i, others := 0, 0; i < n && others <= 8+i/8; i++ {
		if same(i) {
			s.pair(base+i, mid+i)
		} else {
			others++
		}
	}
	added := len(s.arrays.items)
	mid = s.itemize(base, mid)
	s.arrays.merge(first, added)
	return mid
}
