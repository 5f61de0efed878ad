package diff

import (
	"bytes"
	"slices"
)

// A finder looks for identity: a member, at most one object deep, that is a
// scalar and different in every element. What is left of the two arrays makes a
// table of hashes, an element a row, a member a column. Columns are read one by
// one, as the first row has them, until one will do.
type finder struct {
	old, new *Document
	rows     []row // of old, of new, and some that are there for comparison
	olds     int   // how many are of old
	whole    bool  // all elements are objects
	columns  []column
	cells    []uint64 // column by column, stride each; 0: the row has no such member
	stride   int
}

// A row is an element that is read up to some member.
type row struct {
	side       int32 // number in sides; -1 for those that are there for comparison
	element    int32 // node
	node       int32 // what is being read: the element, or a member of it
	pos, child int32 // in node
	outer      int32 // and where the element goes on, behind node
	key0, key1 int32 // the name of node as a member
	searched   int32 // how often it has been read again from the beginning
	isOld      bool
}

// A column is a scalar member, or one of a member that is an object.
type column struct {
	object, name []byte // as written; object is nil for a member of the element
	whole, text  bool   // all rows have it; all have a string there
}

const (
	maxColumns = 24
	maxContext = 4 // elements for comparison
	maxLead    = 8 // columns that may do before all are read
	detour     = 4 // members that a row may have before the one looked for
	searches   = 8 // of a row for members that come in another order
)

// begin takes up the elements that have no counterpart.
func (f *finder) begin(s *patcher, base, mid int) {
	*f = finder{old: s.old, new: s.new, rows: f.rows[:0], columns: f.columns[:0], cells: f.cells[:0], whole: true}
	for i := base; i < len(s.sides); i++ {
		e := &s.sides[i]
		if e.mate != alone {
			continue
		}
		if doc := s.docOf(i, mid); e.node >= 0 && doc.raw[e.start] == '{' {
			f.rows = append(f.rows, newRow(e.value, i, i < mid))
		} else {
			f.whole = false
		}
		if i < mid {
			f.olds = len(f.rows)
		}
	}
	f.stride = len(f.rows) + maxContext
}

func newRow(v value, side int, isOld bool) row {
	k := int32(v.node)
	return row{side: int32(side), element: k, node: k, pos: int32(v.start) + 1, child: k + 1, isOld: isOld}
}

// end lets go of the documents.
func (f *finder) end() {
	f.old, f.new = nil, nil
	clear(f.columns)
}

func (f *finder) doc(r *row) *Document {
	if r.isOld {
		return f.old
	}
	return f.new
}

// drop drops the rows that have found a counterpart.
func (f *finder) drop(sides []side, mid int) {
	kept, olds := 0, 0
	for i := range f.rows {
		side := int(f.rows[i].side)
		if sides[side].mate != alone {
			continue
		}
		for c := range f.columns {
			f.cells[c*f.stride+kept] = f.cell(i, c)
		}
		f.rows[kept] = f.rows[i]
		if kept++; side < mid {
			olds = kept
		}
	}
	f.rows, f.olds = f.rows[:kept], olds
}

// context adds a few elements of old that are among the rows' neighbours.
func (f *finder) context(s *patcher, a value, base, mid int) {
	at := base
	for c, n := s.old.cursor(a), 0; n < maxContext; {
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
		f.rows = append(f.rows, newRow(m.value, -1, true))
		for i := range f.columns {
			f.cells[i*f.stride+len(f.rows)-1] = f.read(len(f.rows)-1, &f.columns[i])
		}
		n++
	}
}

func (f *finder) cell(row, column int) uint64 { return f.cells[column*f.stride+row] }

// next reads the next scalar of a row. It reports whether there is one.
func (f *finder) next(r *row, m *member) bool {
	doc := f.doc(r)
	for c := newCursor(doc, int(r.node)); ; {
		c.pos, c.child = int(r.pos), int(r.child)
		if !c.read(m) {
			if r.node == r.element {
				return false
			}
			r.child = r.node + int32(doc.nodes[r.node].span)
			r.node, r.pos = r.element, r.outer
			c = newCursor(doc, int(r.node))
			continue
		}
		r.pos, r.child = int32(c.pos), int32(c.child)
		if m.node < 0 {
			return true
		}
		if r.node == r.element && doc.raw[m.start] == '{' {
			r.key0, r.key1 = int32(m.key0), int32(m.key1)
			r.enter(doc, m.node)
			c = newCursor(doc, m.node)
		}
	}
}

// enter enters node k, the next one in the element.
func (r *row) enter(doc *Document, k int) {
	n := &doc.nodes[k]
	r.node, r.outer, r.pos, r.child = int32(k), int32(n.end()), int32(n.start)+1, int32(k)+1
}

// object is the name of the member that is being read, nil for the element.
func (f *finder) object(r *row) []byte {
	if r.node == r.element {
		return nil
	}
	return f.doc(r).raw[r.key0:r.key1]
}

// extend reads another column. It reports whether there is one.
func (f *finder) extend() bool {
	if len(f.columns) == maxColumns || len(f.rows) == 0 {
		return false
	}
	first := &f.rows[0]
	before, doc := *first, f.doc(first)
	var m member
	if !f.next(first, &m) {
		return false
	}
	c := column{f.object(first), doc.name(&m), true, doc.raw[m.start] == '"'}
	base := len(f.cells)
	f.cells = slices.Grow(f.cells, f.stride)[:base+f.stride]
	clear(f.cells[base:])
	f.cells[base] = sketch(doc.bytes(m.value)) | 1
	var lead []byte // what stands before the value, where nothing has been passed over
	level := before.node - before.element
	enters := first.node != before.node && first.node == before.child && first.child == first.node+1
	if enters || first.node == before.node && first.child == before.child {
		lead = doc.raw[before.pos:m.start]
	}
	for i := 1; i < len(f.rows); i++ {
		r := &f.rows[i]
		raw := f.doc(r).raw
		if p := int(r.pos) + len(lead); lead != nil && r.node-r.element == level && p < len(raw) && string(raw[r.pos:p]) == string(lead) && begins(raw[p]) {
			if enters {
				r.key0 = r.pos + first.key0 - before.pos
				r.key1 = r.key0 + first.key1 - first.key0
				r.enter(f.doc(r), int(r.child))
			}
			r.pos = int32(skipScalar(raw, p))
			f.cells[base+i] = sketch(raw[p:r.pos]) | 1
			c.text = c.text && raw[p] == '"'
			continue
		}
		f.cells[base+i] = f.read(i, &c)
	}
	f.columns = append(f.columns, c)
	return true
}

// begins reports whether a scalar begins with b.
func begins(b byte) bool { return b > ' ' && b != '{' && b != '[' }

// read reads a row up to a column and returns the cell.
func (f *finder) read(i int, c *column) uint64 {
	r := &f.rows[i]
	before := *r
	for tries := detour; ; tries = 1 << 30 {
		for ; tries > 0; tries-- {
			var m member
			if !f.next(r, &m) {
				break
			}
			if doc := f.doc(r); bytes.Equal(doc.name(&m), c.name) && bytes.Equal(f.object(r), c.object) {
				c.text = c.text && doc.raw[m.start] == '"'
				return sketch(doc.bytes(m.value)) | 1
			}
		}
		if r.searched == searches || r.searched > before.searched {
			break
		}
		n := &f.doc(r).nodes[r.element]
		r.node, r.pos, r.child = r.element, int32(n.start)+1, r.element+1
		r.searched++
	}
	searched := r.searched
	*r = before
	r.searched = searched
	c.whole = false
	return 0
}

// lead returns one of the first columns, if it will do: a text of the elements
// themselves that is different in all of old and all of new, and has the name of
// an identity or is the same in half of them; or anything with such a name that
// is, and pairs elements which have most of the other columns in common. It is
// -1 where there is none. Most feeds have one, and it is quickly found.
//
// Strangers are all elements to each other where what has the name of an identity
// pairs none of them, and nothing else pairs a quarter.
func (f *finder) lead(t *table) (c int, strangers bool) {
	fewer := min(f.olds, len(f.rows)-f.olds)
	if !f.whole || fewer == 0 {
		return -1, false
	}
	mostPairs := 0
	for c := 0; c < maxLead && (c < len(f.columns) || f.extend()); c++ {
		col := &f.columns[c]
		if !col.whole || !f.distinct(t, c, 0, f.olds) || !f.distinct(t, c, f.olds, len(f.rows)) {
			continue
		}
		named, plain := namesIdentity(col.name), col.text && col.object == nil
		pairs := 0
		f.pairs(t, c, func(int, int) { pairs++ })
		if mostPairs = max(mostPairs, pairs); named && pairs == 0 {
			strangers = true
		}
		if plain && named && pairs > 0 || 2*pairs >= fewer && (plain || named && f.agree(t, c)) {
			return c, false
		}
	}
	return -1, strangers && 4*mostPairs < fewer
}

// pairs visits the rows of old and of new that have the same in column c; the
// table holds those of new.
func (f *finder) pairs(t *table, c int, visit func(old, new int)) {
	for i := range f.olds {
		h := f.cell(i, c)
		if at := t.probe(h, h); t.slots[at].item != 0 {
			visit(i, int(t.slots[at].item)-1)
		}
	}
}

// agree reports whether the pairs by column c have half of the columns before
// it, and of the next few, in common.
func (f *finder) agree(t *table, c int) bool {
	for len(f.columns) < c+4 && f.extend() {
	}
	same, all := 0, 0
	f.pairs(t, c, func(old, new int) {
		for k := range f.columns {
			if k != c {
				all++
				if f.cell(old, k) == f.cell(new, k) {
					same++
				}
			}
		}
	})
	return 2*same >= all
}

// namesIdentity reports whether a name is such as identities have.
func namesIdentity(name []byte) bool {
	n := len(name)
	if n >= 2 && name[n-2]|0x20 == 'i' && name[n-1]|0x20 == 'd' {
		return true
	}
	if n < 3 {
		return false
	}
	switch string([]byte{name[n-3] | 0x20, name[n-2] | 0x20, name[n-1] | 0x20}) {
	case "hex", "key", "url":
		return true
	}
	return false
}

// choose reads all columns and returns the one that identifies the elements,
// or -1: distinct in old and in new; of those, the one whose pairs have most in
// common.
func (f *finder) choose(t *table) int {
	for f.extend() {
	}
	news := len(f.rows)
	for news > 0 && f.rows[news-1].side < 0 {
		news--
	}
	best, bestScore := -1, 0
	for c := range f.columns {
		if !f.distinct(t, c, 0, f.olds) || !f.distinctToo(t, c, news, len(f.rows)) || !f.distinct(t, c, f.olds, news) {
			continue
		}
		score := 0
		f.pairs(t, c, func(old, new int) {
			for k := range f.columns {
				if f.cell(old, k) == f.cell(new, k) {
					score++
				}
			}
		})
		if score > bestScore {
			best, bestScore = c, score
		}
	}
	return best
}

// distinct reports whether the rows [i, j) all differ in column c, and puts
// them into the table.
func (f *finder) distinct(t *table, c, i, j int) bool {
	t.reset(j - i + maxContext)
	return f.distinctToo(t, c, i, j)
}

// distinctToo is distinct together with what is in the table.
func (f *finder) distinctToo(t *table, c, i, j int) bool {
	for row := i; row < j; row++ {
		h := f.cell(row, c)
		at := t.probe(h, h)
		if h == 0 || t.slots[at].item != 0 {
			return false
		}
		t.slots[at] = slot{h, int32(row + 1)}
	}
	return true
}
