package diff

import "slices"

// stepOf returns the step of two values that were read in step, or nil.
func (s *patcher) stepOf(a, b value) *step {
	i := s.stepAt
	for last := i + 4; i < last && i < len(s.steps) && int(s.steps[i].new) < b.node; i++ { // mostly soon after
	}
	if i >= len(s.steps) || int(s.steps[i].new) != b.node {
		i, _ = slices.BinarySearchFunc(s.steps, int32(b.node), func(st step, n int32) int { return int(st.new - n) })
	}
	if i == len(s.steps) || int(s.steps[i].new) != b.node || int(s.steps[i].old) != a.node {
		return nil
	}
	s.stepAt = i
	return &s.steps[i]
}

// writeDeltas writes the operations for what differs in step.
func (s *patcher) writeDeltas(st *step, r *rule, object bool) bool {
	deltas := s.deltas[st.first:st.end]
	if s.changed || s.quiet > 0 {
		room := s.limit - s.size()
		for i := range deltas {
			d := &deltas[i]
			if d.new.absent() {
				room -= len(opRemove) + len(s.path) + len(`/"}`)
			} else if d.new.node < 0 {
				room -= s.replaceLen() + 1 + int(d.new.end-d.new.start)
			} else {
				continue
			}
			if object {
				room -= int(d.key1 - d.key0)
			}
		}
		if room < 0 {
			return false
		}
	}
	for i := range deltas {
		d, mark := &deltas[i], 0
		element := r
		if object {
			name := d.name(s.old, s.new)
			mark, element = s.enter(name), r.member(name)
		} else {
			mark, element = s.enterIndex(int(d.key0)), r.element(int(d.key0))
		}
		ok := false
		switch {
		case d.new.absent():
			ok = s.remove(d.old.value(), element)
		case d.old.absent():
			ok = s.add(d.new.value(), int(st.old), element)
		case d.old.node < 0 || d.new.node < 0:
			ok = s.replace(d.new.value(), element)
		default:
			ok = s.value(d.old.value(), d.new.value(), element)
		}
		if s.path = s.path[:mark]; !ok {
			return false
		}
	}
	return true
}
