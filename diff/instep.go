package diff

import "slices"

// membersInStep compares two objects that have the same names in the same
// order, each once, as most have; inStep is false where they have not. What
// differs is collected first, so that it gives up as soon as the operations
// would be longer than what they are worth.
func (s *patcher) membersInStep(oc, nc cursor, r *rule) (ok, inStep bool) {
	if oc.left() != nc.left() {
		return false, false
	}
	base, sketches := len(s.sides), len(s.sketches)
	most := s.limit - s.size()
	seen := uint64(0) // a set of 6-bit hashes: most names are new at a glance
	var om, nm member
	for {
		found := nextInStep(&oc, &nc, &om, &nm)
		if found == atEnd {
			break
		}
		name := s.old.name(&om)
		h := sketch(name)
		bit := uint64(1) << (h >> 58)
		if found == outOfStep || escaped(name) || seen&bit != 0 && slices.Contains(s.sketches[sketches:], h) {
			s.sides, s.sketches = s.sides[:base], s.sketches[:sketches]
			return false, false
		}
		seen |= bit
		s.sketches = append(s.sketches, h)
		if found == alike || s.alikeMembers(&om, &nm) {
			continue
		}
		if om.node < 0 && nm.node < 0 {
			if most -= s.replaceLen() + 1 + len(name) + nm.end - nm.start; most < 0 && (s.changed || s.quiet > 0) {
				s.sketches = s.sketches[:sketches]
				return false, true
			}
		}
		s.sides = append(s.sides, side{member: om}, side{member: nm})
	}
	s.sketches = s.sketches[:sketches]
	for i, end := base, len(s.sides); i < end; i += 2 {
		om, nm := s.sides[i].member, s.sides[i+1].member
		if !s.memberValue(&om, &nm, r) {
			return false, true
		}
	}
	return true, true
}

// alikeMembers reports whether two members have the same value, as far as that
// is quickly said.
func (s *patcher) alikeMembers(om, nm *member) bool {
	if om.node >= 0 || nm.node >= 0 {
		return om.node >= 0 && nm.node >= 0 && s.equal(om.value, nm.value)
	}
	return equalScalars(s.old.bytes(om.value), s.new.bytes(nm.value))
}

const (
	differ    = iota // the names are the same, the values perhaps not
	alike            // the values are scalars and the same, too
	outOfStep        // the names differ, or only one of the two has a member left
	atEnd
)

// nextInStep moves two cursors over the next members. A member that is written
// as its counterpart is not read twice, and nm is then not set.
func nextInStep(oc, nc *cursor, om, nm *member) (found int) {
	from := oc.pos
	if !oc.read(om) {
		if nc.read(nm) {
			return outOfStep
		}
		return atEnd
	}
	old, new, p := oc.raw, nc.raw, nc.pos
	v := p + om.start - from
	if v >= len(new) || new[v] <= ' ' || string(old[from:om.start]) != string(new[p:v]) {
		if !nc.read(nm) || string(old[om.key0:om.key1]) != string(new[nm.key0:nm.key1]) {
			return outOfStep
		}
		return differ
	}
	if end := v + om.end - om.start; om.node < 0 && end < len(new) && !numeric[new[end]] && string(old[om.start:om.end]) == string(new[v:end]) {
		nc.pos = end
		nc.ord++
		return alike
	}
	nc.readValue(v, nm)
	nm.key0, nm.key1 = om.key0-from+p, om.key1-from+p
	return differ
}
