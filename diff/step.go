package diff

import "encoding/binary"

// A step is a small array or object of new that was read in step with one of
// old: both have as many elements, or names in the same order, each once and
// none with an escape, but for a few that only one of them has. What differs
// between the two are its deltas, and nothing else.
type step struct {
	new, old   int32 // nodes; old is -1 where the two have got out of step
	first, end int32 // its deltas; end is whole where so much differs that they are not worth it
}

const whole = -1

// A delta is a member or an element that differs in old and new: a scalar by
// its value, an array or object by how it is written. A member may also be
// absent from one of the two.
type delta struct {
	old, new   part
	key0, key1 uint32 // the name in new, or else in old; in arrays, key0 is the position
}

// A part is a value, more tightly.
type part struct {
	start, end uint32
	node       int32
}

func newPart(v value) part { return part{uint32(v.start), uint32(v.end), int32(v.node)} }

func (p part) value() value { return value{int(p.start), int(p.end), int(p.node)} }

// small is the size, in bytes, of arrays and objects that are read in step.
// Larger ones have a level each, which can find its way back.
const small = 4096

// leastReplace is what a replacement of a member takes at least, but for its
// name and its value.
const leastReplace = len(opReplace) + len("/") + len(pathValue) + len("}")

// isList reports whether node k is an array of several objects that begin with
// an identity. They come and go, and are found by how they begin.
func (doc *Document) isList(k int) bool {
	n := &doc.nodes[k]
	if n.size <= tiny || n.span <= 2 || n.len() < 2 || doc.raw[n.start] != '[' || doc.raw[doc.nodes[k+1].start] != '{' {
		return false
	}
	p := skipSpace(doc.raw, int(doc.nodes[k+1].start)+1)
	return doc.raw[p] == '"' && namesIdentity(doc.raw[p+1:skipString(doc.raw, p+1)-1])
}

// A lockstep is the way of two arrays or objects in step.
type lockstep struct {
	node  int // of new
	step  int // its number
	base  int // where its pending deltas begin
	x     int // in old: up to where new is the same
	shift int // and how much further on it is in new
	end   int // of old
	added int // members that old has not
	room  int // bytes that operations may yet have to be shorter than all of new
	child int // the next node of old
	flag  uint32
	other bool // these are two things, not one that has changed

	key0, key1 uint32 // as in delta
}

// inStep reads the array or object at p in step with node k of old, of which
// the first same bytes are alike. Of old nothing is read but what differs. Around
// it is another lockstep, or a new one.
func (f *follower) inStep(around *lockstep, k, p, same int, parent, ord uint32) int {
	n := f.open(p, parent, ord)
	if n < 0 {
		return -1
	}
	o := &f.old.nodes[k]
	number := len(f.steps)
	f.steps = append(f.steps, step{int32(n), int32(k), 0, 0})
	l := lockstep{node: n, step: number, base: len(f.pending), x: int(o.start) + same, shift: p - int(o.start), end: int(o.end()), child: k + 1}
	l.room = int(o.size-o.blank) + len(opReplace) + len(pathValue) + len("}")
	object, ok := f.raw[p] == '{', false
	if object {
		p, ok = f.membersInStep(f.trail(f.slot(parent, ord)), &l, p+1)
		around.other = l.other
	} else {
		p, ok = f.elementsInStep(&l, p+1)
	}
	st := &f.steps[number]
	if object && l.room < 0 {
		st.end = whole
	} else if ok {
		st.first = int32(len(f.deltas))
		f.deltas = append(f.deltas, f.pending[l.base:]...)
		st.end = int32(len(f.deltas))
	} else {
		st.old = -1
	}
	f.pending = f.pending[:l.base]
	return p
}

// membersInStep reads the members of an object, p being after the bracket. ok
// is false where they have got out of step. Where that happened time and again, as
// when members now come in another order, nothing is done to get back into it.
func (f *follower) membersInStep(t trail, l *lockstep, p int) (end int, ok bool) {
	if t.shape == nil {
		return f.members(t, l.node, p, 0), false
	}
	sure, guess := f.old.nodes[l.child-1].count&distinct != 0 && f.astray < lost, f.guess
	for count := uint32(0); ; count++ {
		at, e := p, t.last.next
		if e.standsAt(f.raw, p) {
			f.blank += int(e.blank)
			if at += len(e.text); f.raw[at] <= ' ' {
				if at = f.space(at); at >= len(f.raw) {
					return -1, false
				}
			}
		} else {
			more := false
			if at, more, e = f.readLead(t, p, count); at < 0 {
				return -1, false
			}
			if !more {
				f.astray = 0
				ok := at-l.shift <= l.x || sure && f.dropRest(l, p)
				return f.close(l.node, at, count|hasScalar|distinct), ok
			}
		}
		t = t.pass(e)
		if e == nil || !sure && !t.distinct(count+1) || guess && count == 4 && len(f.pending)-l.base > 2 {
			return f.outOfStep(t, l, at, count)
		}
		plain := e.bit != allNames
		l.key0, l.key1 = uint32(p)+uint32(e.key0), uint32(p)+uint32(e.key1)
		if !f.together(l, at) && !(sure && plain && f.drop(l, p, at)) {
			if !sure || !plain || !f.isNew(l, p) {
				return f.outOfStep(t, l, at, count)
			}
			if p = f.add(l, p, at, count); p < 0 {
				return -1, false
			}
			continue
		}
		pending := len(f.pending)
		if q := at - l.shift; q < l.x && begins(f.raw[at]) { // a scalar in both
			if p = scanScalar(f.raw, at); p < 0 {
				return -1, false
			}
			if p-l.shift < l.x {
				continue
			}
			f.scalars(l, q, at, p)
		} else if p = f.pair(l, at, count); p < 0 {
			return -1, false
		}
		if l.room < 0 {
			return f.members(t, l.node, p, count+1), false
		}
		if guess && count < 2 && len(f.pending) > pending {
			if l.other = l.other || namesIdentity(f.raw[l.key0:l.key1]); l.other {
				return f.members(t, l.node, p, count+1), false
			}
		}
	}
}

// outOfStep goes on without old, from member number count, whose value is at p.
func (f *follower) outOfStep(t trail, l *lockstep, p int, count uint32) (end int, ok bool) {
	f.astray++
	if p = f.value(p, uint32(l.node), count); p < 0 {
		return -1, false
	}
	return f.members(t, l.node, p, count+1), false
}

// elementsInStep reads the elements of an array.
func (f *follower) elementsInStep(l *lockstep, p int) (end int, ok bool) {
	for count := uint32(0); ; count++ {
		blank := f.blank
		at := f.skipSpace(p)
		if at >= len(f.raw) {
			return -1, false
		}
		if f.raw[at] == ']' {
			return f.close(l.node, at+1, count|l.flag), at-l.shift < l.x
		}
		if count > 0 {
			if f.raw[at] != ',' {
				return -1, false
			}
			at = f.skipSpace(at + 1)
		}
		if !f.together(l, at) {
			f.blank = blank
			return f.elements(l.node, p, count, l.flag), false
		}
		l.key0 = count
		if p = f.pair(l, at, count); p < 0 {
			return -1, false
		}
	}
}

// together reports whether old has a value where new has one, at offset p.
func (f *follower) together(l *lockstep, p int) bool {
	q := p - l.shift
	return q < l.x || q == l.x && f.old.raw[q] > ' ' && f.old.raw[q] != ']'
}

// pair reads the value of new at p beside that of old, and returns the offset
// after it.
func (f *follower) pair(l *lockstep, p int, count uint32) (end int) {
	q, k, node := p-l.shift, -1, -1
	old, n := f.old.raw, uint32(l.node)
	var oldEnd int
	if c := old[q]; c == '{' || c == '[' {
		k = l.child
		o := &f.old.nodes[k]
		oldEnd, l.child = int(o.end()), k+int(o.span)
		if oldEnd <= l.x {
			f.copyNodes(k, l.child, uint32(l.shift), uint32(f.blank)-o.before, n, count-o.ord)
			f.blank += int(o.blank)
			return oldEnd + l.shift
		}
	}
	if p < len(f.raw) && (f.raw[p] == '{' || f.raw[p] == '[') {
		if node = len(f.nodes); k >= 0 && q < l.x && f.old.isList(k) {
			end = f.descend(k, p, l.x-q, n, count)
		} else if k >= 0 && q < l.x {
			end = f.inStep(l, k, p, l.x-q, n, count)
		} else {
			end = f.value(p, n, count)
		}
	} else {
		l.flag = hasScalar
		if end = scanScalar(f.raw, p); end-l.shift < l.x {
			return end // or -1
		}
	}
	if end < 0 {
		return -1
	}
	if k < 0 && node < 0 {
		f.scalars(l, q, p, end)
		return end
	}
	if k < 0 {
		oldEnd = skipScalar(old, q)
	}
	f.pending = append(f.pending, delta{part{uint32(q), uint32(oldEnd), int32(k)}, part{uint32(p), uint32(end), int32(node)}, l.key0, l.key1})
	l.meet(f, oldEnd, end)
	return end
}

// scalars compares the scalar of old at q with that of new from p to end.
func (f *follower) scalars(l *lockstep, q, p, end int) {
	old := f.old.raw
	oldEnd := skipScalar(old, q)
	if !equalFrom(old[q:oldEnd], f.raw[p:end], l.x-q) {
		l.room -= leastReplace + int(l.key1-l.key0) + min(oldEnd-q, end-p)
		f.pending = append(f.pending, delta{part{uint32(q), uint32(oldEnd), -1}, part{uint32(p), uint32(end), -1}, l.key0, l.key1})
	}
	l.meet(f, oldEnd, end)
}

// equalFrom is equalScalars for two of which the first same bytes are alike and
// the next are not.
func equalFrom(a, b []byte, same int) bool {
	if same >= len(a) || same >= len(b) || a[0] != b[0] {
		return equalScalars(a, b)
	}
	if a[0] == '"' {
		return (escaped(a) || escaped(b)) && equalScalars(a, b)
	}
	c, d := a[same]-'0', b[same]-'0'
	if c > 9 || d > 9 {
		return equalScalars(a, b)
	}
	if !plainBefore(a, same) {
		return equalScalars(a, b)
	}
	counts := c > 0 && d > 0 // or another digit before does
	for i := 0; i < same && !counts; i++ {
		counts = a[i] > '0'
	}
	return !counts && equalScalars(a, b)
}

// plainBefore reports whether there is no exponent in the first n bytes of a number.
func plainBefore(a []byte, n int) bool {
	if n <= 8 && cap(a) >= 8 {
		w := binary.LittleEndian.Uint64(a[:8])
		return ((w+(0x7F-'9')*ones)|w)&highs&(1<<(8*n)-1) == 0
	}
	for _, c := range a[:n] {
		if c > '9' {
			return false
		}
	}
	return true
}
