package diff

// A run is a stretch of bytes that old and new have in common.
type run struct{ old, new, n uint32 }

// A follower indexes a new document along an old one. What the two have in
// common is not read at all: it is valid because the old document is, and its
// nodes are the old ones shifted. Only what differs is scanned. The guide is a
// hint: a wrong one costs time, and nothing else.
type follower struct {
	indexer
	alignment
	old     *Document
	pending []delta // of steps that are not at their end
	spare   []node  // working memory for an index that does not stay
	guess   bool    // what is at hand is in an element that may be another one in old
	astray  int     // how many objects in succession have got out of step
}

// An alignment is what is known of two documents before they are compared.
type alignment struct {
	runs   []run   // in the order of new
	steps  []step  // in the order of new
	deltas []delta // of the steps
}

// root reads the whole new document. It reports whether it is valid.
func (f *follower) root() bool {
	p := f.skipSpace(0)
	on := f.old.nodes
	if len(on) > 0 && p < len(f.raw) && f.raw[p] == f.old.raw[on[0].start] {
		p = f.follow(0, p, 0, 0)
	} else {
		p = f.value(p, 0, 0)
	}
	return p >= 0 && f.skipSpace(p) == len(f.raw)
}

// follow reads the container at p along node k of old, which begins with the
// same bracket.
func (f *follower) follow(k, p int, parent, ord uint32) int {
	o := &f.old.nodes[k]
	same := commonPrefix(o.within(f.old.raw), f.raw[p:])
	if same == int(o.size) {
		f.repeat(k, p, parent, ord)
		return p + same
	}
	return f.descend(k, p, same, parent, ord)
}

// repeat notes that new has node k of old at p, all of it.
func (f *follower) repeat(k, p int, parent, ord uint32) {
	o := &f.old.nodes[k]
	f.same(int(o.start), p, int(o.size))
	f.copyNodes(k, k+int(o.span), uint32(p)-o.start, uint32(f.blank)-o.before, parent, ord-o.ord)
	f.blank += int(o.blank)
}

// same adds a run.
func (f *follower) same(old, new, n int) {
	if last := len(f.runs) - 1; last >= 0 {
		if r := &f.runs[last]; int(r.old+r.n) == old && int(r.new+r.n) == new {
			r.n += uint32(n)
			return
		}
	}
	f.runs = append(f.runs, run{uint32(old), uint32(new), uint32(n)})
}

// copyNodes appends nodes [i, j) of old, which are one child of a node or
// several side by side, moved by shift bytes and blank bytes of white space.
// They become children of parent, and move by ord places there.
func (f *follower) copyNodes(i, j int, shift, blank, parent, ord uint32) {
	if i == j {
		return
	}
	base := len(f.nodes)
	up := uint32(base) - parent - f.old.nodes[i].up
	f.nodes = append(f.nodes, f.old.nodes[i:j]...)
	nodes := f.nodes[base:]
	if shift|blank != 0 {
		for i := range nodes {
			n := &nodes[i]
			n.start += shift
			n.before += blank
		}
	}
	if up|ord != 0 {
		for i := 0; i < len(nodes); {
			n := &nodes[i]
			n.up += up
			n.ord += ord
			i += int(n.span)
		}
	}
}

// A level is one container of new on its way along a container of old.
type level struct {
	cursor        // in old
	n      int    // the node in new
	p      int    // in new: after the opening bracket or after a value
	count  uint32 // members or elements of new so far
	flag   uint32 // hasScalar, or 0
	names  uint32 // distinct, if old's names are and no other has been found; or 0
	guess  int    // array: the old node that the next element may resemble
	misses int    // object: members in succession that were not found in old
	differ int    // offset in old up to which, from pos on, new is the same
	shift  int    // and how much further on it is in new
}

// deep is how deep documents are compared; what is deeper is taken as a whole.
const deep = 256

// descend reads the container at p along node k of old, of which the first
// same bytes are alike and not all.
func (f *follower) descend(k, p, same int, parent, ord uint32) int {
	if f.depth >= deep {
		return f.value(p, parent, ord)
	}
	if o := &f.old.nodes[k]; o.size <= small && !f.old.isList(k) {
		return f.inStep(&lockstep{}, k, p, same, parent, ord)
	}
	n := f.open(p, parent, ord)
	if n < 0 {
		return -1
	}
	o := f.old.nodes[k]
	l := level{cursor: newCursor(f.old, k), n: n, p: p + 1, guess: -1, names: o.count & distinct}
	object := f.raw[p] == '{'
	for x := int(o.start) + same; ; {
		if f.skipAlike(&l, x) {
			return f.close(n, l.p, l.count|l.flag|l.names)
		}
		l.differ, l.shift = x, l.p-l.pos
		p := f.skipSpace(l.p)
		if p >= len(f.raw) {
			return -1
		}
		if f.raw[p] == f.raw[f.nodes[n].start]+2 { // ] is [ + 2, } is { + 2
			return f.close(n, p+1, l.count|l.flag|l.names)
		}
		if l.count > 0 {
			if f.raw[p] != ',' {
				return -1
			}
			p = f.skipSpace(p + 1)
		}
		inStep := false
		if object {
			inStep = f.member(&l, p)
		} else {
			inStep = f.element(&l, p)
		}
		if l.p < 0 {
			return -1
		}
		l.count++
		x = l.pos
		if inStep && l.ord > 0 { // both stand after a value
			x += commonPrefix(f.old.raw[x:o.end()], f.raw[l.p:])
		}
	}
}

// skipAlike moves both sides over what is alike up to offset x of old. It
// reports whether that was the rest of the container.
func (f *follower) skipAlike(l *level, x int) bool {
	o := &l.nodes[l.k]
	from, child, ord := l.pos, l.child, l.ord
	whole := x >= int(o.end())
	if whole {
		l.pos, l.child, l.ord = int(o.end()), l.last, o.len()
	} else {
		l.seek(x)
	}
	if l.pos == from {
		return false
	}
	f.copyAlike(l, from, child, l.count-uint32(ord))
	f.same(from, l.p, l.pos-from)
	l.p += l.pos - from
	l.count += uint32(l.ord - ord)
	l.flag |= o.count & hasScalar
	return whole
}

// copyAlike appends the nodes of old from child on that are before the level's
// position, and counts the white space since offset from: between nodes they
// know of it, and before the first and behind the last it is read.
func (f *follower) copyAlike(l *level, from, child int, ord uint32) {
	if f.old.blank == 0 || child == l.child {
		f.copyNodes(child, l.child, uint32(l.p-from), uint32(f.blank), uint32(l.n), ord)
		f.blank += f.old.countBlank(from, l.pos)
		return
	}
	end := l.child - 1
	for end-int(l.nodes[end].up) != l.k {
		end -= int(l.nodes[end].up)
	}
	first, last := &l.nodes[child], &l.nodes[end]
	f.blank += f.old.countBlank(from, int(first.start))
	f.copyNodes(child, l.child, uint32(l.p-from), uint32(f.blank)-first.before, uint32(l.n), ord)
	f.blank += int(last.before+last.blank-first.before) + f.old.countBlank(int(last.end()), l.pos)
}

const (
	lookahead = 4 // how many members or elements of old are tried
	lost      = 8 // after so many in succession that were not found, only one is; for objects out of step, none
)

// member reads a member of an object at p. It looks among the next few old
// members for the same name, so that what was inserted or removed does not
// upset the rest, and reports whether there was one.
func (f *follower) member(l *level, p int) bool {
	l.flag = hasScalar
	v := f.key(p)
	l.p = v
	if v < 0 {
		return false
	}
	name := f.raw[p+1 : skipString(f.raw, p+1)-1]
	before := l.cursor
	tries := lookahead
	if l.misses >= lost {
		tries = 1
	}
	for range tries {
		m, ok := l.next()
		if !ok {
			break
		}
		if string(l.raw[m.key0:m.key1]) == string(name) {
			l.misses = 0
			if m.node >= 0 && v < len(f.raw) && f.raw[v] == l.raw[m.start] {
				l.p = f.readAlong(l, m.node, v)
			} else {
				l.p = f.value(v, uint32(l.n), l.count)
			}
			return true
		}
	}
	l.cursor = before
	l.misses++
	l.names = 0
	l.p = f.value(v, uint32(l.n), l.count)
	return true
}

// readAlong reads the container at p of new, in the level l, along node k.
func (f *follower) readAlong(l *level, k, p int) int {
	same := f.alike(l, k, p)
	if same == int(l.nodes[k].size) {
		f.repeat(k, p, uint32(l.n), l.count)
		return p + same
	}
	return f.descend(k, p, same, uint32(l.n), l.count)
}

// alike is how many bytes of node k are at p of new, too. At the place where
// the two documents are known to differ it need not look: else every level of
// a deep document would.
func (f *follower) alike(l *level, k, p int) int {
	o := &l.nodes[k]
	if start := int(o.start); start < l.differ && start+l.shift == p {
		return min(l.differ-start, int(o.size))
	}
	return commonPrefix(o.within(l.raw), f.raw[p:])
}

// element reads an element of an array at p. A scalar stands for the next
// scalar of old. An array or object may be found among those of old (it
// reports true and goes on from there), or else is read along the one that it
// begins most like.
func (f *follower) element(l *level, p int) bool {
	if p >= len(f.raw) || f.raw[p] != '{' && f.raw[p] != '[' {
		l.p, l.flag = scanScalar(f.raw, p), hasScalar
		before := l.cursor
		if m, ok := l.next(); !ok || m.node >= 0 {
			l.cursor = before
		}
		return true
	}
	best, same := f.resemble(l, p)
	if best < 0 {
		l.p = f.value(p, uint32(l.n), l.count)
	} else if same == int(l.nodes[best].size) {
		f.repeat(best, p, uint32(l.n), l.count)
		l.p = p + same
		l.found(best)
		return true
	} else {
		before := f.guess
		f.guess = true
		l.p = f.descend(best, p, same, uint32(l.n), l.count)
		f.guess = before
		l.guess = best + int(l.nodes[best].span)
	}
	return false
}

// found goes on behind node j of old.
func (l *level) found(j int) {
	l.behind(j)
	l.guess = -1
}

// resemble returns the old element that the bytes at p begin most like and how
// many they share: one of those that follow the last one found, or that follow
// the last one resembled.
func (f *follower) resemble(l *level, p int) (best, same int) {
	best = -1
	next := func(j int) bool { // the best by far
		o := &l.nodes[j]
		n, was := f.alike(l, j, p), same
		if n > same {
			best, same = j, n
		}
		return n == int(o.size) || j != best && n < was
	}
	j := l.guess
	for tries := lookahead / 2; tries > 0 && j >= 0 && j < l.last; tries-- {
		if next(j) {
			return
		}
		j += int(l.nodes[j].span)
	}
	j = l.child
	for tries := lookahead; tries > 0 && j < l.last; tries-- {
		if next(j) && same == int(l.nodes[best].size) {
			return
		}
		j += int(l.nodes[j].span)
	}
	return
}
