package diff

import "sort"

// A patcher writes the JSON Patch (RFC 6902) from one document to another.
//
// Its functions that compare return false once the patch is longer than what
// it is worth: than a replacement of one of the containers around. That one
// then takes back what was written for it and is replaced. So the effort is
// bounded by the size of the documents, and the patch is never much larger
// than the new one.
type patcher struct {
	old, new *Document
	alignment
	runAt  int // the run looked at last
	stepAt int // the step looked at last
	last   run // what was compared last

	out      []byte // operations, each behind a comma, but for the inserts
	inserts  []insert
	held     int // bytes of the inserts
	removals []removal
	path     []byte // pointer to the values at hand, as written in JSON
	limit    int    // of size()
	ignores  bool   // some changes do not count
	changed  bool   // a change that counts has been found
	quiet    int    // > 0: no change here counts
	effort   int    // bytes that may yet be read to save some
	depth    int    // of the values at hand

	sides    []side // stack
	sketches []uint64
	table    table
	arrays   arrays
	wander   wander
}

// patch returns the patch, nil where it is not smaller than new, and whether
// anything but ignored members changed.
func (s *patcher) patch(r *rule, old, new *Document, known alignment) (patch []byte, changed bool) {
	s.begin(r, old, new, known)
	a, b := old.root(), new.root()
	ok := s.value(a, b, r)
	if !ok {
		s.settle(a, b, r)
	}
	switch {
	case len(s.out) == 0 || !s.changed && !s.ignores: // or it was written for members that do not count
		s.takeBack(mark{})
		s.out = append(s.out, "[]"...)
		return s.finish(), s.changed
	case !ok:
		return nil, s.changed
	}
	s.moveAcross()
	s.out[0] = '['
	s.out = append(s.out, ']')
	return s.finish(), s.changed
}

// begin sets the patcher up.
func (s *patcher) begin(r *rule, old, new *Document, known alignment) {
	s.old, s.new, s.alignment, s.runAt, s.stepAt = old, new, known, 0, 0
	s.out, s.path, s.sides, s.limit = s.out[:0], s.path[:0], s.sides[:0], len(new.raw)-new.blank
	s.inserts, s.held, s.removals = s.inserts[:0], 0, s.removals[:0]
	s.ignores, s.changed, s.quiet = r != nil && r.ignores, false, 0
	s.last, s.depth = run{}, 0
	s.effort = 1<<16 + 8*len(new.raw)
}

// An insert is an array or object of new that belongs at an offset of
// patcher.out. It is copied at the end only, as most may be taken back.
type insert struct {
	at int
	value
	op    int   // where its operation begins
	in    int32 // the array or object of old that it is added to, or nowhere
	moved bool  // it is in old, too, and need not be sent
}

const nowhere = -1

// A removal is an operation that removes an array or object of old. A later one
// may add the same elsewhere.
type removal struct {
	at, end int // of the operation in patcher.out; alike: the elements of array node move
	node    int32
	moved   bool
}

// size is the length of what has been written.
func (s *patcher) size() int { return len(s.out) + s.held }

// A mark is a place in what has been written.
type mark struct{ out, inserts, held, removals int }

func (s *patcher) mark() mark { return mark{len(s.out), len(s.inserts), s.held, len(s.removals)} }

// takeBack drops what has been written since the mark.
func (s *patcher) takeBack(m mark) {
	s.out, s.inserts, s.held, s.removals = s.out[:m.out], s.inserts[:m.inserts], m.held, s.removals[:m.removals]
}

// finish returns a copy of what has been written where it is smaller than new.
func (s *patcher) finish() []byte {
	if s.size() >= len(s.new.raw)-s.new.blank {
		return nil
	}
	patch, from := room(s.size()), 0
	for _, i := range s.inserts {
		patch = append(patch, s.out[from:i.at]...)
		patch = s.new.appendValue(patch, i.value)
		from = i.at
	}
	return append(patch, s.out[from:]...)
}

// settle finds out whether any change between a and b counts, where they have
// not been compared to the end.
func (s *patcher) settle(a, b value, r *rule) {
	if !s.changed && s.quiet == 0 && !s.same(a, b, r) {
		s.changed = true
	}
}

// value compares two values at path.
func (s *patcher) value(a, b value, r *rule) bool {
	if a.node < 0 || b.node < 0 || s.old.raw[a.start] != s.new.raw[b.start] {
		if a.node < 0 && b.node < 0 && equalScalars(s.old.bytes(a), s.new.bytes(b)) {
			return true
		}
		return s.replace(b, r)
	}
	st := s.stepOf(a, b)
	if st == nil && s.equal(a, b) {
		return true
	}
	if st != nil && st.end == whole {
		s.changed = s.changed || !s.ignores
	}
	if s.depth == deep || st != nil && st.end == whole {
		s.settle(a, b, r)
		return s.writeReplace(b)
	}
	s.depth++
	mark, before, outer := s.mark(), s.size(), s.limit
	s.limit = min(outer, before+s.replaceLen()+s.new.compactSize(b))
	var ok bool
	switch object := s.new.raw[b.start] == '{'; {
	case st != nil && (object || st.end-st.first == 1):
		ok = s.writeDeltas(st, r, object)
	case object:
		ok = s.object(a, b, r)
	default:
		ok = s.array(a, b, r)
	}
	s.limit = outer
	s.depth--
	if !ok {
		s.settle(a, b, r)
	}
	if !ok || len(s.path) > 0 && s.size()-before > s.replaceLen()+s.new.compactSize(b) {
		s.takeBack(mark)
		return s.writeReplace(b)
	}
	return s.size() <= s.limit
}

// tiny is the size, in bytes, of values that are quicker compared than looked
// up in the runs.
const tiny = 256

// equal reports whether two values are the same bytes.
func (s *patcher) equal(a, b value) bool {
	n := b.end - b.start
	if n <= tiny {
		return string(s.old.bytes(a)) == string(s.new.bytes(b))
	}
	return a.end-a.start == n && s.alike(a.start, b.start, a.end, b.end) == n
}

// alike is how many bytes old[q:qend] and new[p:pend] have in common at their
// beginnings. What the runs say need not be compared again.
func (s *patcher) alike(q, p, qend, pend int) int {
	n := min(qend-q, pend-p)
	known := s.last.from(q, p)
	if known < 0 {
		known = 0
		if r := s.runAround(p); r != nil {
			known = max(0, r.from(q, p))
		}
	}
	if known >= n {
		return n
	}
	known += commonPrefix(s.old.raw[q+known:qend], s.new.raw[p+known:pend])
	s.last = run{uint32(q), uint32(p), uint32(known)}
	return known
}

// from is how much of the run lies behind offset q of old and p of new, or -1
// where they are not in it, side by side.
func (r *run) from(q, p int) int {
	if at := p - int(r.new); at >= 0 && at <= int(r.n) && q-int(r.old) == at {
		return int(r.n) - at
	}
	return -1
}

// runAround returns the run that holds offset p of new, or nil.
func (s *patcher) runAround(p int) *run {
	holds := func(i int) bool {
		return i < len(s.runs) && int(s.runs[i].new) <= p && p < int(s.runs[i].new+s.runs[i].n)
	}
	if !holds(s.runAt) && !holds(s.runAt+1) {
		s.runAt = max(0, s.runAfter(p)-1)
	} else if !holds(s.runAt) {
		s.runAt++
	}
	if holds(s.runAt) {
		return &s.runs[s.runAt]
	}
	return nil
}

// runAfter returns the number of the first run that begins after offset p of
// new.
func (s *patcher) runAfter(p int) int {
	return sort.Search(len(s.runs), func(i int) bool { return int(s.runs[i].new) > p })
}

// passAlike moves two cursors that stand alike over what is alike. It reports
// whether that is all there is.
func (s *patcher) passAlike(oc, nc *cursor) bool {
	oend, nend := int(s.old.nodes[oc.k].end()), int(s.new.nodes[nc.k].end())
	n := s.alike(oc.pos, nc.pos, oend, nend)
	if n == oend-oc.pos {
		return true
	}
	pos, child, ord := oc.pos, oc.child, oc.ord
	oc.seek(oc.pos + n)
	nc.pos += oc.pos - pos
	nc.child += oc.child - child
	nc.ord += oc.ord - ord
	return false
}

// enter appends a member's name to path and returns the length to go back to.
func (s *patcher) enter(name []byte) int {
	mark := len(s.path)
	s.path = appendToken(append(s.path, '/'), name)
	return mark
}

// counts notes a change under rule r.
func (s *patcher) counts(r *rule) {
	if !s.changed && s.quiet == 0 && !r.ignored() {
		s.changed = true
	}
}

const (
	opAdd     = `,{"op":"add","path":"`
	opReplace = `,{"op":"replace","path":"`
	opRemove  = `,{"op":"remove","path":"`
	opMove    = `,{"op":"move","from":"`
	pathValue = `","value":`
)

// replaceLen is the length of a replace operation at path without its value.
func (s *patcher) replaceLen() int { return len(opReplace) + len(s.path) + len(pathValue) + 1 }

func (s *patcher) replace(b value, r *rule) bool {
	s.counts(r)
	return s.writeReplace(b)
}

func (s *patcher) writeReplace(b value) bool { return s.write(opReplace, b, nowhere) }

// add adds a value to the array or object in of old.
func (s *patcher) add(b value, in int, r *rule) bool {
	s.counts(r)
	return s.write(opAdd, b, in)
}

// write writes an operation with a value.
func (s *patcher) write(op string, b value, in int) bool {
	at := len(s.out)
	s.out = append(append(append(s.out, op...), s.path...), pathValue...)
	if b.node < 0 {
		s.out = append(append(s.out, s.new.bytes(b)...), '}')
		return s.size() <= s.limit
	}
	s.inserts = append(s.inserts, insert{len(s.out), b, at, int32(in), false})
	s.held += s.new.compactSize(b)
	s.out = append(s.out, '}')
	return s.size() <= s.limit
}

// remove removes a value of old.
func (s *patcher) remove(a value, r *rule) bool {
	s.counts(r)
	at := len(s.out)
	s.out = append(append(append(s.out, opRemove...), s.path...), `"}`...)
	if a.node >= 0 {
		s.removals = append(s.removals, removal{at, len(s.out), int32(a.node), false})
	}
	return s.size() <= s.limit
}
