package diff

import "math/bits"

// Records are alike: what stands between two values of an object (comma, name,
// colon, white space) is mostly what stood there in the record before. So it is
// compared with that first and read only where it differs; what is written like
// validated text is valid.

// A lead is what stands before a member's value: in the first member after the
// bracket, in the others after the value before.
type lead struct {
	start, size uint32 // where in the document
	key0, key1  uint32 // the name without its quotes, from start on
	blank       uint32 // bytes of white space
	hash        uint64 // of the name, where the shape knows it to be distinct
	plain       bool   // the name has no escape
}

// A shape is the leads of an object that came before.
type shape struct {
	leads    []lead
	distinct int // how many are known to have different names and no escape
}

const (
	maxLeads  = 64 // of a shape
	shapeDeep = 16 // objects deeper than that have no shape
	shapeWide = 4
)

// shapes are the latest shapes, by how deep they are and by where in the object
// around them.
type shapes struct {
	list [shapeDeep * shapeWide]shape
	used uint64 // a set of numbers in list
}

func (s *shapes) reset() {
	for ; s.used != 0; s.used &= s.used - 1 {
		o := &s.list[bits.TrailingZeros64(s.used)]
		o.leads, o.distinct = o.leads[:0], 0
	}
}

// shape returns the shape for the object of node n, or nil.
func (x *indexer) shape(n int) *shape {
	if x.depth > shapeDeep {
		return nil
	}
	i, o := (x.depth-1)*shapeWide, &x.nodes[n]
	if o.up != 0 && x.raw[x.nodes[n-int(o.up)].start] == '{' {
		i += int(o.ord % shapeWide)
	}
	x.shapes.used |= 1 << i
	return &x.shapes.list[i]
}

// lead reads on from p to the value of member number count and returns its
// offset. Where there is none, it returns the offset after the closing bracket
// and false; -1 is an error.
func (x *indexer) lead(s *shape, p int, count uint32) (at int, more bool) {
	if s == nil {
		return x.readLead(nil, p, count)
	}
	if int(count) < len(s.leads) {
		l := &s.leads[count]
		if end := p + int(l.size); end < len(x.raw) && string(x.raw[p:end]) == string(x.raw[l.start:l.start+l.size]) {
			x.blank += int(l.blank)
			if x.raw[end] <= ' ' {
				end = x.skipSpace(end)
			}
			return end, end < len(x.raw)
		}
	}
	return x.readLead(s, p, count)
}

// readLead is lead for what has not been there before.
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
	if s != nil && count < maxLeads && int(count) <= len(s.leads) {
		l := lead{uint32(from), uint32(p - from), uint32(key + 1 - from), uint32(end - 1 - from), uint32(x.blank - blank), 0, plain}
		if int(count) == len(s.leads) {
			s.leads = append(s.leads, l)
		} else {
			s.leads[count] = l
			s.distinct = min(s.distinct, int(count))
		}
	}
	return p, true
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
		l.hash = sketch(x.raw[l.start+l.key0 : l.start+l.key1])
		for i := range s.leads[:s.distinct] {
			if s.leads[i].hash == l.hash {
				return false
			}
		}
		s.distinct++
	}
	return true
}
