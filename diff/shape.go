package diff

// Records are alike: what stands between two values of an object (comma, name,
// colon, white space) is mostly what stood there in the record before. So it is
// compared with that first and read only where it differs; what is written like
// validated text is valid. What was there is kept from one document to the next:
// it is nothing but a guess, and changes only how long reading takes.

// A lead is what stands before a member's value: in the first member after the
// bracket, in the others after the value before.
type lead struct {
	text       []byte // a copy
	key0, key1 uint32 // the name without its quotes, in text
	blank      uint32 // bytes of white space
	hash       uint64 // of the name, where the shape knows it to be distinct
	plain      bool   // the name has no escape
}

// A shape is the leads of an object that came before.
type shape struct {
	leads    []lead
	distinct int // how many are known to have different names and no escape
}

const (
	maxLeads    = 64  // of a shape
	longestLead = 256 // bytes; what is longer is in no shape, nor is what follows it
	shapeDeep   = 16  // objects deeper than that have no shape
	shapeWide   = 4
)

// shapes are the latest shapes, by how deep they are and by where in the object
// around them. Their memory is bounded: 1 MiB of text.
type shapes [shapeDeep * shapeWide]shape

// slot is by which the shapes of one depth are told apart: where in the object
// around it an object is, or 0 in an array.
func (x *indexer) slot(parent, ord uint32) uint32 {
	if int(parent) < len(x.nodes) && x.raw[x.nodes[parent].start] == '{' {
		return ord % shapeWide
	}
	return 0
}

// shape returns the shape for the object that was opened last, or nil.
func (x *indexer) shape(slot uint32) *shape {
	if x.depth > shapeDeep {
		return nil
	}
	return &x.shapes[uint32(x.depth-1)*shapeWide+slot]
}

// lead returns what is expected before member number count; nil: nothing is.
func (s *shape) lead(count uint32) *lead {
	if s == nil || int(count) >= len(s.leads) {
		return nil
	}
	return &s.leads[count]
}

// standsAt reports whether there is a lead, and it is at offset p with something
// behind it.
func (l *lead) standsAt(raw []byte, p int) bool {
	if l == nil {
		return false
	}
	end := p + len(l.text)
	return end < len(raw) && string(raw[p:end]) == string(l.text)
}

// readLead reads on from p to the value of member number count and returns its
// offset. Where there is none, it returns the offset after the closing bracket
// and false; -1 is an error.
func (x *indexer) readLead(s *shape, p int, count uint32) (at int, more bool) {
	raw, from, blank := x.raw, p, x.blank
	if p = x.skipSpace(p); p >= len(raw) {
		return -1, false
	}
	if raw[p] == '}' {
		return p + 1, false
	}
	if count > 0 {
		if raw[p] != ',' {
			return -1, false
		}
		p = x.skipSpace(p + 1)
	}
	key := p
	if p >= len(raw) || raw[p] != '"' {
		return -1, false
	}
	if p = plainEnd(raw, p+1); p >= len(raw) {
		return -1, false
	}
	plain := raw[p] == '"'
	if plain {
		p++
	} else if p = scanString(raw, p); p < 0 {
		return -1, false
	}
	end := p
	if p = x.skipSpace(p); p >= len(raw) || raw[p] != ':' {
		return -1, false
	}
	if p = x.skipSpace(p + 1); p >= len(raw) {
		return -1, false
	}
	if s != nil && int(count) <= len(s.leads) {
		l := s.set(int(count), raw[from:p])
		if l != nil {
			l.key0, l.key1, l.blank, l.plain = uint32(key+1-from), uint32(end-1-from), uint32(x.blank-blank), plain
		}
	}
	return p, true
}

// set makes text the lead of member i, and returns what the caller is to complete;
// nil where it is not to be in the shape.
func (s *shape) set(i int, text []byte) *lead {
	s.distinct = min(s.distinct, i)
	if i == maxLeads || len(text) > longestLead {
		s.leads = s.leads[:i]
		return nil
	}
	if i == cap(s.leads) {
		s.leads = append(s.leads, lead{})
	}
	s.leads = s.leads[:max(len(s.leads), i+1)]
	l := &s.leads[i]
	l.text = append(l.text[:0], text...)
	return l
}

// known reports whether the names of the first members, up to number count,
// are known to be different and to have no escape. It may say no where it would
// have to look closely.
func (x *indexer) known(s *shape, count uint32) bool {
	for s.distinct <= int(count) {
		if s.distinct == len(s.leads) || !s.leads[s.distinct].plain {
			return false
		}
		l := &s.leads[s.distinct]
		l.hash = sketch(l.text[l.key0:l.key1])
		for i := range s.leads[:s.distinct] {
			if s.leads[i].hash == l.hash {
				return false
			}
		}
		s.distinct++
	}
	return true
}
