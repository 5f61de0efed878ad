package diff

import "bytes"

// A finder looks for identity: a member, at most one object deep, that is a
// scalar and different in every element. What is left of the two arrays makes a
// table of hashes, an element a row, a member a column. Columns are read one by
// one, as the first row has them, until one will do.
type finder struct {
	rows    []row // of old, of new, and some that are there for comparison
	olds    int   // how many are of old
	whole   bool  // all elements are objects
	columns []column
	cells   []uint64 // column by column, stride each; 0: the row has no such member
	stride  int
}

// A row is an element that is read up to some member.
type row struct {
	cursor
	side   int    // number in sides; -1 for those that are there for comparison
	inside bool   // the cursor is in a member of the element,
	name   []byte // which has this name,
	outer  cursor // and this is behind it
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
)

// begin takes up the elements that have no counterpart.
func (f *finder) begin(s *patcher, base, mid int) {
	*f = finder{rows: f.rows[:0], columns: f.columns[:0], cells: f.cells[:0], whole: true}
	for i := base; i < len(s.sides); i++ {
		e := &s.sides[i]
		if e.mate != alone {
			continue
		}
		if doc := s.docOf(i, mid); e.node >= 0 && doc.raw[e.start] == '{' {
			f.rows = append(f.rows, row{cursor: doc.cursor(e.value), side: i})
		} else {
			f.whole = false
		}
		if i < mid {
			f.olds = len(f.rows)
		}
	}
	f.stride = len(f.rows) + maxContext
}

// end lets go of the documents.
func (f *finder) end() {
	clear(f.rows[:min(cap(f.rows), f.stride)])
	clear(f.columns)
}

// drop drops the rows that have found a counterpart.
func (f *finder) drop(sides []side, mid int) {
	kept, olds := 0, 0
	for i := range f.rows {
		side := f.rows[i].side
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
		f.rows = append(f.rows, row{cursor: s.old.cursor(m.value), side: -1})
		for i := range f.columns {
			f.cells[i*f.stride+len(f.rows)-1] = f.read(len(f.rows)-1, &f.columns[i])
		}
		n++
	}
}

func (f *finder) cell(row, column int) uint64 { return f.cells[column*f.stride+row] }

// next reads the next scalar. It reports whether there is one.
func (r *row) next(m *member) bool {
	for {
		if !r.read(m) {
			if !r.inside {
				return false
			}
			r.cursor, r.inside, r.name = r.outer, false, nil
			continue
		}
		if m.node < 0 {
			return true
		}
		if !r.inside && r.raw[m.start] == '{' {
			r.child = m.node
			r.enter(r.Document.name(m))
		}
	}
}

// enter enters the next node, a member of this name.
func (r *row) enter(name []byte) {
	k := r.child
	r.behind(k)
	r.outer, r.inside, r.name = r.cursor, true, name
	r.cursor = newCursor(r.Document, k)
}

// extend reads another column. It reports whether there is one.
func (f *finder) extend() bool {
	if len(f.columns) == maxColumns || len(f.rows) == 0 {
		return false
	}
	first := &f.rows[0]
	from, child, inside := first.pos, first.child, first.inside
	enters := func() bool { return !inside && first.inside && first.k == child && first.child == child+1 }
	var m member
	if !first.next(&m) {
		return false
	}
	c := column{first.name, first.Document.name(&m), true, first.raw[m.start] == '"'}
	base := len(f.cells)
	for range f.stride {
		f.cells = append(f.cells, 0)
	}
	f.cells[base] = sketch(first.Document.bytes(m.value)) | 1
	var lead []byte // what stands before the value, where it is known to be members only
	if first.inside == inside && first.child == child || enters() {
		lead = first.raw[from:m.start]
	}
	for i := 1; i < len(f.rows); i++ {
		r := &f.rows[i]
		if p := r.pos + len(lead); lead != nil && r.inside == inside && p < len(r.raw) && string(r.raw[r.pos:p]) == string(lead) && begins(r.raw[p]) {
			if enters() {
				r.enter(first.name)
			}
			r.pos = skipScalar(r.raw, p)
			r.ord++
			f.cells[base+i] = sketch(r.raw[p:r.pos]) | 1
			c.text = c.text && r.raw[p] == '"'
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
	var m member
	for range detour {
		if !r.next(&m) {
			break
		}
		if bytes.Equal(r.Document.name(&m), c.name) && bytes.Equal(r.name, c.object) {
			c.text = c.text && r.raw[m.start] == '"'
			return sketch(r.Document.bytes(m.value)) | 1
		}
	}
	*r = before
	c.whole = false
	return 0
}

// lead returns one of the first columns, if it will do: a text of the elements
// themselves that is different in all of old and all of new, and has the name of
// an identity or is the same in half of them; or anything with such a name that
// is, and pairs elements which have most of the other columns in common. It is
// -1 where there is none. Most feeds have one, and it is quickly found.
func (f *finder) lead(t *table) int {
	if !f.whole || f.olds == 0 || f.olds == len(f.rows) {
		return -1
	}
	for c := 0; c < maxLead && (c < len(f.columns) || f.extend()); c++ {
		col := &f.columns[c]
		named, plain := namesIdentity(col.name), col.text && col.object == nil
		if !col.whole || !named && !plain || !f.distinct(t, c, 0, f.olds) || !f.distinct(t, c, f.olds, len(f.rows)) {
			continue
		}
		pairs := 0
		f.pairs(t, c, func(int, int) { pairs++ })
		half := 2*pairs >= min(f.olds, len(f.rows)-f.olds)
		if plain && (named || half) || half && f.agree(t, c) {
			return c
		}
	}
	return -1
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
