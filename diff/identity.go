package diff

import (
	"bytes"
	"hash/maphash"
	"strings"
)

// Identity: which element of an old array is which of the new one, although it
// changed. The options may say; else it is found.

// pairLeft pairs what is left of two arrays, as far as elements are the same
// or have the same identity: the one that the rule gives, or one that is found.
func (s *patcher) pairLeft(a value, base, mid int, r *rule) {
	s.arrays.mid = mid
	if mid-base == 1 && len(s.sides)-mid == 1 && s.sides[base].ord == s.sides[mid].ord {
		return // by place
	}
	if r != nil && r.keys != nil {
		s.pairAlike(base, mid)
		for i := base; i < len(s.sides); i++ {
			if e := &s.sides[i]; e.mate == alone {
				e.hash = identity(s.docOf(i, mid), e.value, r.keys)
			}
		}
		s.pairByHash(base, mid, false)
		return
	}
	if s.pairByLead(base, mid) {
		return // distinct: what is alike has the same lead
	}
	s.clearHashes(base)
	s.pairAlike(base, mid)
	f := &s.arrays.finder
	if !f.collect(s, a, base, mid) {
		return
	}
	best := f.choose(&s.table)
	if best < 0 {
		return
	}
	s.clearHashes(base)
	for row, i := range f.rows {
		if i >= 0 {
			s.sides[i].hash = f.cell(row, best)
		}
	}
	s.pairByHash(base, mid, false)
}

func (s *patcher) clearHashes(base int) {
	for i := range s.sides[base:] {
		s.sides[base+i].hash = 0
	}
}

// pairByLead pairs the elements of old and new by one of their first members,
// where that is a text, different in all of old and all of new, and has the name
// of an identity or is the same in half of them. That is what most feeds look
// like, and quickly found.
func (s *patcher) pairByLead(base, mid int) bool {
	for skip := range maxLead {
		if !s.leads(base, mid, skip) {
			continue
		}
		named := namesIdentity(s.arrays.lead)
		if s.leads(mid, len(s.sides), skip) && (named || 2*s.wouldPair(base, mid) >= min(mid-base, len(s.sides)-mid)) {
			s.pairByHash(base, mid, false)
			return true
		}
	}
	return false
}

// namesIdentity reports whether a name is such as identities have.
func namesIdentity(name []byte) bool {
	for _, end := range []string{"id", "hex", "key"} {
		if n := len(name) - len(end); n >= 0 && strings.EqualFold(string(name[n:]), end) {
			return true
		}
	}
	return false
}

// maxLead is how many members are tried.
const maxLead = 6

// leads hashes the member after the first skip ones of the sides [i, j). It
// reports whether all have it under one name and different.
func (s *patcher) leads(i, j, skip int) bool {
	var name []byte
	s.table.reset(j - i)
	for ; i < j; i++ {
		e := &s.sides[i]
		if e.mate != alone {
			continue
		}
		doc := s.docOf(i, s.arrays.mid)
		if e.node < 0 || doc.raw[e.start] != '{' {
			return false
		}
		c := doc.cursor(e.value)
		m, ok := c.next()
		for n := 0; n < skip && ok; n++ {
			m, ok = c.next()
		}
		if !ok || m.node >= 0 || doc.raw[m.start] != '"' || name != nil && !bytes.Equal(name, doc.name(&m)) {
			return false
		}
		name = doc.name(&m)
		e.hash = sketch(doc.bytes(m.value)) | 1
		at := s.table.probe(e.hash, e.hash)
		if s.table.slots[at].item != 0 {
			return false
		}
		s.table.slots[at] = slot{e.hash, int32(i + 1)}
	}
	s.arrays.lead = name
	return true
}

// wouldPair counts the elements of old whose hash the table, which holds those
// of new, knows.
func (s *patcher) wouldPair(base, mid int) (n int) {
	for i := base; i < mid; i++ {
		if e := &s.sides[i]; e.mate == alone && s.table.slots[s.table.probe(e.hash, e.hash)].item != 0 {
			n++
		}
	}
	return n
}

func (s *patcher) docOf(i, mid int) *Document {
	if i < mid {
		return s.old
	}
	return s.new
}

// identity hashes what identifies an element. It is 0 where one of the paths
// leads nowhere.
func identity(doc *Document, v value, keys [][]string) uint64 {
	h := uint64(1)
	for _, path := range keys {
		at, ok := v, true
		for _, name := range path {
			if at, ok = lookup(doc, at, name); !ok {
				return 0
			}
		}
		h = (h ^ hashValue(doc, at)) * 0x9E3779B97F4A7C15
		h ^= h >> 29
	}
	return h | 1
}

// hashValue hashes a scalar by value, and anything else as written.
func hashValue(doc *Document, v value) uint64 {
	if v.node >= 0 {
		return maphash.Bytes(seed, doc.bytes(v))
	}
	return hashScalar(doc.bytes(v))
}

// lookup finds a member or, by its index, an element.
func lookup(doc *Document, v value, name string) (value, bool) {
	if v.node < 0 {
		return value{}, false
	}
	object := doc.raw[v.start] == '{'
	for c := doc.cursor(v); ; {
		i := c.ord
		m, ok := c.next()
		switch {
		case !ok:
			return value{}, false
		case object:
			if written := doc.name(&m); string(written) == name || escaped(written) && string(appendUnescaped(nil, written)) == name {
				return m.value, true
			}
		case isIndex(name, i):
			return m.value, true
		}
	}
}

func isIndex(name string, i int) bool {
	n := 0
	for _, c := range []byte(name) {
		if c < '0' || c > '9' || n > 1<<30 {
			return false
		}
		n = 10*n + int(c-'0')
	}
	return n == i && len(name) > 0
}

// A finder looks for identity: a member, at most one object deep, that is a
// scalar and different in every element. What is left of the two arrays makes a
// table of hashes, an element a row, a member a column; some elements that have
// not changed are there for comparison only.
type finder struct {
	columns []column
	rows    []int // numbers in sides; -1 for those that are there for comparison
	olds    int   // how many rows are of old
	cells   []uint64
}

// A column is a member, or a member of a member, by name as written.
type column struct{ outer, inner []byte }

const (
	maxColumns = 24
	maxContext = 4 // elements for comparison
)

// collect fills the table. It reports whether there is anything to choose.
func (f *finder) collect(s *patcher, a value, base, mid int) bool {
	f.columns, f.rows, f.cells = f.columns[:0], f.rows[:0], f.cells[:0]
	for i := base; i < len(s.sides); i++ {
		e := &s.sides[i]
		doc := s.docOf(i, mid)
		if e.mate != alone || e.node < 0 || doc.raw[e.start] != '{' {
			continue
		}
		if len(f.columns) == 0 {
			f.name(doc, e.value)
			if len(f.columns) == 0 {
				return false
			}
		}
		f.row(doc, e.value, i)
	}
	f.olds = 0
	for f.olds < len(f.rows) && f.rows[f.olds] < mid {
		f.olds++
	}
	if f.olds == 0 || f.olds == len(f.rows) {
		return false
	}
	f.context(s, a, base, mid)
	return true
}

// context adds a few elements of old that are among the rows' neighbours.
func (f *finder) context(s *patcher, a value, base, mid int) {
	c := s.old.cursor(a)
	at := base
	for n := 0; n < maxContext; {
		ord := int32(c.ord)
		m, ok := c.next()
		if !ok {
			return
		}
		for at < mid && s.sides[at].ord < ord {
			at++
		}
		if m.node < 0 || s.old.raw[m.start] != '{' || at < mid && s.sides[at].ord == ord && s.sides[at].mate == alone {
			if ord > 4*maxContext {
				return
			}
			continue
		}
		f.row(s.old, m.value, -1)
		n++
	}
}

// name makes columns of the scalars in an element.
func (f *finder) name(doc *Document, v value) {
	f.scalars(doc, v, func(outer, inner []byte, _ value) {
		if len(f.columns) < maxColumns {
			f.columns = append(f.columns, column{outer, inner})
		}
	})
}

// scalars calls visit for the scalars of an element, at most one object deep.
func (f *finder) scalars(doc *Document, v value, visit func(outer, inner []byte, v value)) {
	for c := doc.cursor(v); ; {
		m, ok := c.next()
		if !ok {
			return
		}
		name := doc.name(&m)
		switch {
		case m.node < 0:
			visit(name, nil, m.value)
		case doc.raw[m.start] == '{':
			for d := doc.cursor(m.value); ; {
				n, ok := d.next()
				if !ok {
					break
				}
				if n.node < 0 {
					visit(name, doc.name(&n), n.value)
				}
			}
		}
	}
}

// row adds an element. A cell is 0 where the element has no such scalar.
func (f *finder) row(doc *Document, v value, side int) {
	n := len(f.columns)
	from := len(f.cells)
	f.rows = append(f.rows, side)
	f.cells = append(f.cells, make([]uint64, n)...)
	cells := f.cells[from:]
	next := 0 // elements mostly have their members in the same order
	f.scalars(doc, v, func(outer, inner []byte, v value) {
		for range n {
			if c := &f.columns[next]; bytes.Equal(c.inner, inner) && bytes.Equal(c.outer, outer) {
				cells[next] = sketch(doc.bytes(v)) | 1
				next = (next + 1) % n
				return
			}
			next = (next + 1) % n
		}
	})
}

func (f *finder) cell(row, column int) uint64 { return f.cells[row*len(f.columns)+column] }

// choose returns the column that identifies the elements, or -1: distinct in
// old and in new; of those, the one whose pairs have most in common.
func (f *finder) choose(t *table) int {
	best, bestScore := -1, 0
	for c := range f.columns {
		if !f.distinct(t, c, 0, f.olds, true) || !f.distinct(t, c, f.olds, len(f.rows), false) {
			continue
		}
		if score := f.score(t, c); score > bestScore {
			best, bestScore = c, score
		}
	}
	return best
}

// distinct reports whether the rows [i, j) all differ in a column, and, with
// context, from those that are there for comparison.
func (f *finder) distinct(t *table, c, i, j int, context bool) bool {
	t.reset(j - i + maxContext)
	insert := func(row int) bool {
		h := f.cell(row, c)
		at := t.probe(h, h)
		if h == 0 || t.slots[at].item != 0 {
			return false
		}
		t.slots[at] = slot{h, int32(row + 1)}
		return true
	}
	for row := i; row < j; row++ {
		if f.rows[row] >= 0 && !insert(row) {
			return false
		}
	}
	for row := len(f.rows) - 1; context && row >= 0 && f.rows[row] < 0; row-- {
		if !insert(row) {
			return false
		}
	}
	return true
}

// score pairs the rows by a column and counts what the pairs have in common.
func (f *finder) score(t *table, c int) (score int) {
	f.distinct(t, c, 0, f.olds, false)
	for row := f.olds; row < len(f.rows); row++ {
		if f.rows[row] < 0 {
			break
		}
		h := f.cell(row, c)
		old := int(t.slots[t.probe(h, h)].item) - 1
		if old < 0 {
			continue
		}
		for k := range f.columns {
			if f.cell(old, k) == f.cell(row, k) {
				score++
			}
		}
	}
	return score
}
