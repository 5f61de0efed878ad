package diff

import (
	"encoding/binary"
	"slices"
)

// name returns a member's name as written, without the quotes.
func (doc *Document) name(m *member) []byte { return doc.raw[m.key0:m.key1] }

// object compares two objects: member by member as long as their names come
// in the same order, and by name from where they do not.
func (s *patcher) object(a, b value, r *rule) bool {
	oc, nc := s.old.cursor(a), s.new.cursor(b)
	if b.end-b.start <= small && a.end-a.start <= small {
		return s.members(oc, nc, r)
	}
	mark, changed, distinct := s.mark(), s.changed, false
	for alike := 2; ; {
		if alike >= 2 { // it seems worth a look how far that goes on
			if s.passAlike(&oc, &nc) {
				return true
			}
			alike = 0
		}
		o0, n0 := oc, nc
		om, ok := oc.next()
		nm, ok2 := nc.next()
		if !ok && !ok2 {
			return true
		}
		if !ok || !ok2 || string(s.old.name(&om)) != string(s.new.name(&nm)) {
			if o0.ord+n0.ord > 0 && !(s.distinct(s.old, a) && (distinct || s.distinct(s.new, b))) {
				s.takeBack(mark)
				s.changed = changed
				o0, n0 = s.old.cursor(a), s.new.cursor(b)
			}
			return s.members(o0, n0, r)
		}
		if s.equal(om.value, nm.value) {
			alike++
			continue
		}
		alike = 0
		if !distinct {
			if !s.distinct(s.new, b) {
				return s.members(s.old.cursor(a), s.new.cursor(b), r)
			}
			distinct = true // and old's names too, as long as they are the same
		}
		if s.memberValue(&om, &nm, r) {
			continue
		}
		if s.distinct(s.old, a) {
			return false
		}
		s.takeBack(mark)
		s.changed = changed
		return s.members(s.old.cursor(a), s.new.cursor(b), r)
	}
}

// memberValue compares the values of two members of one name.
func (s *patcher) memberValue(om, nm *member, r *rule) bool {
	name := s.new.name(nm)
	mark := s.enter(name)
	ok := s.value(om.value, nm.value, r.member(name))
	s.path = s.path[:mark]
	return ok
}

// members compares what is left of two objects, in whatever order the members
// come. Of members of one name the last counts, as for JSON.parse.
func (s *patcher) members(oc, nc cursor, r *rule) bool {
	base := len(s.sides)
	ok, inStep := s.membersInStep(oc, nc, r)
	if !inStep {
		_, mid := s.pairMembers(oc, nc)
		ok = !s.hopeless(base, mid, r) && s.writeMembers(base, mid, oc.k, r)
	}
	s.sides = s.sides[:base]
	return ok
}

// hopeless reports whether so much differs between two paired objects, members
// that are arrays or objects aside, that to replace the new one is shorter. It
// marks scalars that do not differ as dead.
func (s *patcher) hopeless(base, mid int, r *rule) bool {
	room := s.limit - s.size()
	for i := base; i < len(s.sides) && room >= 0; i++ {
		e := &s.sides[i]
		cost := len(s.path) + len("/")
		if name := s.sideName(i, mid); !escaped(name) {
			cost += len(name)
		}
		if e.mate == alone && !s.changed && s.quiet == 0 {
			s.counts(r.member(s.sideName(i, mid)))
		}
		switch {
		case e.mate == alone && i < mid:
			room -= cost + len(opRemove) + len(`"}`)
		case e.mate == alone:
			room -= cost + len(opAdd) + len(pathValue) + s.new.compactSize(e.value) + len("}")
		case e.mate >= 0 && i >= mid && e.node < 0 && s.sides[e.mate].node < 0:
			if o := &s.sides[e.mate]; equalScalars(s.old.bytes(o.value), s.new.bytes(e.value)) {
				e.mate, o.mate = dead, dead
			} else {
				room -= cost + len(opReplace) + len(pathValue) + e.end - e.start + len("}")
			}
		}
	}
	return room < 0
}

// writeMembers writes the operations for paired members of object in of old.
func (s *patcher) writeMembers(base, mid, in int, r *rule) bool {
	end := len(s.sides)
	for i := base; i < mid; i++ {
		if o := &s.sides[i]; o.mate == alone {
			name := s.old.name(&o.member)
			mark := s.enter(name)
			ok := s.remove(o.value, r.member(name))
			s.path = s.path[:mark]
			if !ok {
				return false
			}
		}
	}
	for i := mid; i < end; i++ {
		n := s.sides[i].member
		switch mate := s.sides[i].mate; mate {
		case dead:
		case alone:
			name := s.new.name(&n)
			mark := s.enter(name)
			ok := s.add(n.value, in, r.member(name))
			s.path = s.path[:mark]
			if !ok {
				return false
			}
		default:
			o := s.sides[mate].member
			if o.node < 0 && n.node < 0 { // they differ, or hopeless had marked them
				name := s.new.name(&n)
				mark := s.enter(name)
				ok := s.replace(n.value, r.member(name))
				if s.path = s.path[:mark]; !ok {
					return false
				}
			} else if !s.memberValue(&o, &n, r) {
				return false
			}
		}
	}
	return true
}

// A side is a member or an element of old or new, and its counterpart.
type side struct {
	member
	hash uint64
	mate int32 // number of the counterpart in patcher.sides, or alone or dead
	ord  int32 // of an element
}

const (
	alone = -1 // has no counterpart
	dead  = -2 // does not count: a later member has the same name
)

// pairMembers appends the remaining members of two objects to sides, those of
// old at [base, mid), those of new from mid on, and pairs them by name.
func (s *patcher) pairMembers(oc, nc cursor) (base, mid int) {
	base = len(s.sides)
	s.collectMembers(oc)
	s.dropRepeated(base, s.old)
	mid = len(s.sides)
	s.collectAlong(nc, base)
	s.dropRepeated(mid, s.new)
	if s.pairFew(base, mid) {
		return base, mid
	}
	for i := base; i < len(s.sides); i++ {
		s.sides[i].hash = hashString(s.sideName(i, mid))
	}
	s.table.reset(len(s.sides) - base)
	for i := len(s.sides) - 1; i >= mid; i-- {
		if j, at := s.find(i, mid); j >= 0 {
			s.sides[i].mate = dead
		} else {
			s.table.slots[at] = slot{s.sides[i].hash, int32(i + 1)}
		}
	}
	for i := mid - 1; i >= base; i-- {
		j, at := s.find(i, mid)
		switch {
		case j < 0:
			s.table.slots[at] = slot{s.sides[i].hash, int32(i + 1)}
		case j < mid || s.sides[j].mate >= 0:
			s.sides[i].mate = dead
		default:
			s.pair(i, j)
		}
	}
	return base, mid
}

// few is how many members are paired without a table.
const few = 64

// pairFew pairs the members of small objects whose names are all different at a
// glance. It looks for each from where the last one was: mostly they come in the
// same order.
func (s *patcher) pairFew(base, mid int) bool {
	if mid-base > few || len(s.sides)-mid > few || !s.differAtAGlance(base, mid, s.old) || !s.differAtAGlance(mid, len(s.sides), s.new) {
		return false
	}
	i := base
	for j := mid; j < len(s.sides); j++ {
		n := &s.sides[j]
		for range mid - base {
			o := &s.sides[i]
			found := o.hash == n.hash && string(s.old.name(&o.member)) == string(s.new.name(&n.member))
			if found {
				s.pair(i, j)
			}
			if i++; i == mid {
				i = base
			}
			if found {
				break
			}
		}
	}
	return true
}

// differAtAGlance hashes the names of the sides [i, j). It reports whether they
// differ, and none has an escape.
func (s *patcher) differAtAGlance(i, j int, doc *Document) bool {
	seen := uint64(0) // a set of 6-bit hashes
	for k := i; k < j; k++ {
		name := doc.name(&s.sides[k].member)
		h := sketch(name)
		s.sides[k].hash = h
		bit := uint64(1) << (h >> 58)
		if seen&bit != 0 && slices.ContainsFunc(s.sides[i:k], func(e side) bool { return e.hash == h }) || escaped(name) {
			return false
		}
		seen |= bit
	}
	return true
}

// find looks for a member of the same name as side i. It returns its number,
// or -1 and the free slot for it.
func (s *patcher) find(i, mid int) (int, uint64) {
	h := s.sides[i].hash
	name := s.sideName(i, mid)
	for at := s.table.probe(h, h); ; at = s.table.probe(at+1, h) {
		j := int(s.table.slots[at].item) - 1
		if j < 0 || equalStrings(name, s.sideName(j, mid)) {
			return j, at
		}
	}
}

func (s *patcher) sideName(i, mid int) []byte {
	if i < mid {
		return s.old.name(&s.sides[i].member)
	}
	return s.new.name(&s.sides[i].member)
}

func (s *patcher) collectMembers(c cursor) {
	for {
		m, ok := c.next()
		if !ok {
			return
		}
		s.sides = append(s.sides, side{member: m, mate: alone})
	}
}

// dropRepeated drops, of the sides from base on, the scalars right before a member
// of the same name: they do not count. Where there are few it is not worth it.
func (s *patcher) dropRepeated(base int, doc *Document) {
	sides := s.sides[base:]
	if len(sides) <= few {
		return
	}
	kept := 0
	for i := range sides {
		last := i+1 == len(sides)
		if last || sides[i].node >= 0 || string(doc.name(&sides[i].member)) != string(doc.name(&sides[i+1].member)) {
			sides[kept] = sides[i]
			kept++
		}
	}
	s.sides = s.sides[:base+kept]
}

// collectAlong is collectMembers for new, along the members of old from base
// on: a member that is written as its counterpart is not read.
func (s *patcher) collectAlong(c cursor, base int) {
	old, mid := s.old.raw, len(s.sides)
	for i := base; ; i++ {
		if i < mid {
			o := s.sides[i].member
			from := o.key0
			if i > base {
				from = s.sides[i-1].end
			} else {
				from--
				c.pos = skipSpace(c.raw, c.pos)
			}
			if n := c.pos + o.end - from; o.node < 0 && n < len(c.raw) && !numeric[c.raw[n]] &&
				string(c.raw[c.pos:n]) == string(old[from:o.end]) {
				by := c.pos - from
				o.start, o.end, o.key0, o.key1 = o.start+by, o.end+by, o.key0+by, o.key1+by
				c.pos = n
				c.ord++
				s.sides = append(s.sides, side{member: o, mate: alone})
				continue
			}
		}
		m, ok := c.next()
		if !ok {
			return
		}
		s.sides = append(s.sides, side{member: m, mate: alone})
	}
}

// distinct reports whether no two members of an object have the same name. It
// may say no where it would have to look closely.
func (s *patcher) distinct(doc *Document, v value) bool {
	if n := &doc.nodes[v.node]; n.count&distinct != 0 || n.len() < 2 {
		return true
	}
	base := len(s.sketches)
	defer func() { s.sketches = s.sketches[:base] }()
	seen := uint64(0) // a set of 6-bit hashes: most names are new at a glance
	for c := doc.cursor(v); ; {
		m, ok := c.next()
		if !ok {
			return true
		}
		name := doc.name(&m)
		h := sketch(name)
		bit := uint64(1) << (h >> 58)
		if seen&bit != 0 && slices.Contains(s.sketches[base:], h) || escaped(name) {
			return false
		}
		seen |= bit
		s.sketches = append(s.sketches, h)
		if len(s.sketches)-base > 64 {
			return s.distinctHashed(doc, v)
		}
	}
}

// distinctHashed is distinct for objects of many members.
func (s *patcher) distinctHashed(doc *Document, v value) bool {
	s.table.reset(doc.nodes[v.node].len())
	for c := doc.cursor(v); ; {
		m, ok := c.next()
		if !ok {
			return true
		}
		h := hashString(doc.name(&m))
		at := s.table.probe(h, h)
		if s.table.slots[at].item != 0 {
			return false
		}
		s.table.slots[at] = slot{h, 1}
	}
}

// sketch is a quick hash of a name.
func sketch(name []byte) uint64 {
	const mix = 0x9E3779B97F4A7C15
	n := len(name)
	h, w := uint64(n)*mix, uint64(0)
	switch {
	case n >= 8:
		for i := 0; i < n-8; i += 8 {
			h = (h ^ binary.LittleEndian.Uint64(name[i:])) * mix
			h ^= h >> 32
		}
		w = binary.LittleEndian.Uint64(name[n-8:])
	case n >= 4:
		w = uint64(binary.LittleEndian.Uint32(name))<<32 | uint64(binary.LittleEndian.Uint32(name[n-4:]))
	case n > 0:
		w = uint64(name[0])<<16 | uint64(name[n/2])<<8 | uint64(name[n-1])
	}
	h = (h ^ w) * mix
	return h ^ h>>31*mix
}
