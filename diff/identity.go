package diff

import "hash/maphash"

// Identity: which element of an old array is which of the new one, although it
// changed. The options may say; else it is found.

// pairLeft pairs what is left of two arrays, as far as elements are the same
// or have the same identity: the one that the rule gives, or one that is found.
// It reports whether old and new are known to have no element in common.
func (s *patcher) pairLeft(a value, base, mid int, r *rule) (strangers bool) {
	if mid-base == 1 && len(s.sides)-mid == 1 && s.sides[base].ord == s.sides[mid].ord {
		return false // by place
	}
	if r != nil && r.keys != nil {
		s.pairAlike(base, mid)
		for i := base; i < len(s.sides); i++ {
			if e := &s.sides[i]; e.mate == alone {
				e.hash = identity(s.docOf(i, mid), e.value, r.keys)
			}
		}
		s.pairByHash(base, mid, false)
		return false
	}
	f := &s.arrays.finder
	f.begin(s, base, mid)
	defer f.end()
	c, strangers := f.lead(&s.table)
	if c >= 0 {
		s.pairByColumn(c, base, mid) // what is alike has the same identity
	}
	if c >= 0 || strangers {
		return strangers
	}
	s.clearHashes(base)
	s.pairAlike(base, mid)
	f.drop(s.sides, mid)
	if f.olds == 0 || f.olds == len(f.rows) {
		return false
	}
	f.context(s, a, base, mid)
	if c := f.choose(&s.table); c >= 0 {
		s.clearHashes(base)
		s.pairByColumn(c, base, mid)
	}
	return false
}

// pairByColumn pairs the elements that have the same in a column.
func (s *patcher) pairByColumn(c, base, mid int) {
	f := &s.arrays.finder
	for i := range f.rows {
		if side := f.rows[i].side; side >= 0 {
			s.sides[side].hash = f.cell(i, c)
		}
	}
	s.pairByHash(base, mid, false)
}

func (s *patcher) clearHashes(base int) {
	for i := range s.sides[base:] {
		s.sides[base+i].hash = 0
	}
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
