package diff

import "strconv"

// writeArray writes what makes the old elements the new ones. The order makes
// the indexes simple: elements are removed from the last to the first, so each
// at its old index; those that are left move into the order of new; elements
// are added from the first to the last, so each at its new index; then every
// element is where it belongs and is changed there.
func (s *patcher) writeArray(a, b value, r *rule, base, mid, first int, moves bool) bool {
	items := s.arrays.items[first:]
	for i := mid - 1; i >= base; i-- {
		if e := &s.sides[i]; e.mate == alone {
			mark := s.enterIndex(int(e.ord))
			ok := s.remove(e.value, r.element(int(e.ord)))
			s.path = s.path[:mark]
			if !ok {
				return false
			}
		}
	}
	if moves {
		s.removals = append(s.removals, removal{len(s.out), len(s.out), int32(a.node), false})
		if !s.writeMoves(items, s.old.nodes[a.node].len()) {
			return false
		}
	}
	count := 0 // elements so far
	for _, it := range items {
		count += int(it.n)
	}
	for i, end := mid, len(s.sides); i < end; i++ {
		e := s.sides[i]
		if e.mate != alone {
			continue
		}
		mark := 0
		if count >= 10 && int(e.ord) == count {
			mark = len(s.path)
			s.path = append(s.path, "/-"...)
		} else {
			mark = s.enterIndex(int(e.ord))
		}
		ok := s.add(e.value, a.node, r.element(int(e.ord)))
		s.path = s.path[:mark]
		if count++; !ok {
			return false
		}
	}
	for i := range items {
		it := s.arrays.items[first+i]
		if it.pair == alone {
			continue
		}
		n := s.sides[it.pair]
		o := s.sides[n.mate]
		mark := s.enterIndex(int(it.new))
		ok := false
		if element := r.element(int(it.new)); it.strangers {
			ok = s.exchange(o.value, n.value, element)
		} else {
			ok = s.value(o.value, n.value, element)
		}
		s.path = s.path[:mark]
		if !ok {
			return false
		}
	}
	return true
}

// exchange replaces a value by another that has nothing in common with it,
// other than perhaps all of it, in another spelling.
func (s *patcher) exchange(a, b value, r *rule) bool {
	if s.settle(a, b, r); !s.changed && s.quiet == 0 {
		return s.value(a, b, r)
	}
	return s.writeReplace(b)
}

// enterIndex appends an element's position to path and returns the length to
// go back to.
func (s *patcher) enterIndex(i int) int {
	mark := len(s.path)
	s.path = strconv.AppendInt(append(s.path, '/'), int64(i), 10)
	return mark
}

// writeMoves moves the moved items, each behind the one it follows in new,
// from the first to the last. n is how many elements old has.
func (s *patcher) writeMoves(items []item, n int) bool {
	m := &s.arrays.moves
	m.order = m.order[:0]
	for _, it := range items {
		for i := range it.n {
			m.order = append(m.order, it.old+i)
		}
	}
	m.tree = resize(m.tree, n+2)
	p := places(m.tree)
	p.fill(m.order)
	at := int32(0) // the place of the last element that stays
	for _, it := range items {
		if !it.moved {
			at = it.old + it.n
			continue
		}
		for i := range it.n {
			from := p.before(it.old + i + 1)
			p.add(it.old+i+1, -1)
			to := p.before(at + 1)
			p.add(at, 1)
			if from != to && !s.move(from, to) {
				return false
			}
		}
	}
	return true
}

// move writes a move within the array at path.
func (s *patcher) move(from, to int) bool {
	out := append(append(append(s.out, opMove...), s.path...), '/')
	out = append(strconv.AppendInt(out, int64(from), 10), `","path":"`...)
	out = append(append(out, s.path...), '/')
	s.out = append(strconv.AppendInt(out, int64(to), 10), `"}`...)
	return s.size() <= s.limit
}
