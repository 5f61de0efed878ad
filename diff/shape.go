package diff

import "math/bits"

// Records are alike: what stands between two values of an object (comma, name,
// colon, white space) is mostly what stood there in a record before. So it is
// compared first with what last stood behind the same member, and read only where
// it differs; what is written like validated text is valid. A member that is missing,
// or that others have not, makes one guess wrong, or two. All this is kept from one
// document to the next: it changes how long reading takes, and nothing else.

// A lead is what stands before a member's value: after the value before, comma and
// all; or, in the first member, after the bracket, where there is no comma. The two
// are never taken for each other.
type lead struct {
	text       []byte // a copy
	next       *lead  // what stood behind the value, when it last was there
	bit        uint64 // for the name: no two leads of a shape have the same; all where it has an escape
	hash       uint64 // of the name
	key0, key1 uint16 // the name without its quotes, in text
	blank      uint16 // bytes of white space
	chain      uint8  // the next lead in its bucket
}

// A shape is the leads of objects that came before, one for each name.
type shape struct {
	bracket lead           // nothing but first is next to it
	first   lead           // of the member that last came first
	leads   [maxLeads]lead // of all others; number 0 stands for those that are not kept
	n       int            // how many there are, but for that
	buckets [64]uint8
	evicted int // the lead that was last replaced
}

const (
	maxLeads    = 64  // of a shape
	longestLead = 256 // bytes; what is longer is in no shape
	shapeDeep   = 16  // objects deeper than that have no shape
	shapeWide   = 4

	allNames = ^uint64(0)
)

// shapes are the latest shapes, by how deep they are and by where in the object
// around them. Their memory is bounded: 1 MiB of text, and a quarter for the rest.
type shapes [shapeDeep * shapeWide]*shape

// slot is by which the shapes of one depth are told apart: where in the object
// around it an object is, or 0 in an array.
func (x *indexer) slot(parent, ord uint32) uint32 {
	if int(parent) < len(x.nodes) && x.raw[x.nodes[parent].start] == '{' {
		return ord % shapeWide
	}
	return 0
}

// A trail is the way through the leads of an object so far.
type trail struct {
	shape *shape // nil: none
	last  *lead  // of the member before
	names uint64 // the bits of the members so far, and that of the bracket
}

// noLead is where objects begin that have no shape. Nothing is ever expected there.
var noLead lead

// trail returns the beginning of one, for the object that was opened last.
func (x *indexer) trail(slot uint32) trail {
	if x.depth > shapeDeep {
		return trail{nil, &noLead, allNames}
	}
	s := &x.shapes[uint32(x.depth-1)*shapeWide+slot]
	if *s == nil {
		*s = new(shape)
	}
	return trail{*s, &(*s).bracket, 1}
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

// pass is the trail behind a member; l is nil where its lead is not kept.
func (t trail) pass(l *lead) trail {
	switch {
	case l != nil:
		return trail{t.shape, l, t.names | l.bit}
	case t.shape != nil:
		return trail{t.shape, &t.shape.leads[0], allNames}
	}
	return t
}

// distinct reports whether the names of count members are known to be all
// different, and to have no escape.
func (t trail) distinct(count uint32) bool {
	return t.names != allNames && bits.OnesCount64(t.names) == int(count)+1
}

// readLead reads on from p to the value of member number count. It returns the
// value's offset, and the lead: nil where it is not kept. Where there is no such
// member, it returns the offset after the closing bracket and false; -1 is an error.
func (x *indexer) readLead(t trail, p int, count uint32) (at int, more bool, l *lead) {
	raw, from, spaces := x.raw, p, x.blank
	if p = x.skipSpace(p); p >= len(raw) {
		return -1, false, nil
	}
	if raw[p] == '}' {
		return p + 1, false, nil
	}
	if count > 0 {
		if raw[p] != ',' {
			return -1, false, nil
		}
		p = x.skipSpace(p + 1)
	}
	key := p
	if p >= len(raw) || raw[p] != '"' {
		return -1, false, nil
	}
	if p = plainEnd(raw, p+1); p >= len(raw) {
		return -1, false, nil
	}
	plain := raw[p] == '"'
	if plain {
		p++
	} else if p = scanString(raw, p); p < 0 {
		return -1, false, nil
	}
	end := p
	if p = x.skipSpace(p); p >= len(raw) || raw[p] != ':' {
		return -1, false, nil
	}
	if p = x.skipSpace(p + 1); p >= len(raw) {
		return -1, false, nil
	}
	if t.shape == nil || p-from > longestLead {
		return p, true, nil
	}
	l = t.shape.find(raw[key+1:end-1], t.names)
	if l == nil {
		return p, true, nil
	}
	if !plain {
		l.bit = allNames
	}
	if count == 0 {
		l.set(",", raw[from:p], key+1-from, end-1-from, x.blank-spaces) // as it would be later
		t.shape.first.bit, t.shape.first.next = l.bit, nil
		l = &t.shape.first
	}
	l.set("", raw[from:p], key+1-from, end-1-from, x.blank-spaces)
	t.last.next = l
	return p, true, l
}

func (l *lead) set(comma string, text []byte, key0, key1, blank int) {
	l.text = append(append(l.text[:0], comma...), text...)
	l.key0, l.key1, l.blank = uint16(len(comma)+key0), uint16(len(comma)+key1), uint16(blank)
}

// find returns the lead with a name. Where there is none, it makes one, or takes
// one whose name is not among those of the object at hand; it returns nil where all
// are. The caller is to complete it.
func (s *shape) find(name []byte, names uint64) *lead {
	hash := sketch(name)
	bucket := &s.buckets[hash%uint64(len(s.buckets))]
	for i := *bucket; i > 0; i = s.leads[i].chain {
		if l := &s.leads[i]; l.hash == hash && string(l.text[l.key0:l.key1]) == string(name) {
			return l
		}
	}
	i := s.n + 1
	if i < maxLeads {
		s.n = i
	} else if i = s.evict(names); i == 0 {
		return nil
	}
	l := &s.leads[i]
	l.hash, l.bit, l.chain = hash, 1<<i, *bucket
	*bucket = uint8(i)
	return l
}

// evict takes a lead out of its bucket, each in turn but for those of the names, and
// returns its number; 0 where that leaves none, as when a member's lead is not kept.
// So the name of first keeps its bit for as long as first is in use.
func (s *shape) evict(names uint64) int {
	free := ^names
	if later := free &^ (1<<(s.evicted+1) - 1); later != 0 {
		free = later
	}
	if free == 0 {
		return 0
	}
	s.evicted = bits.TrailingZeros64(free)
	at := &s.buckets[s.leads[s.evicted].hash%uint64(len(s.buckets))]
	for int(*at) != s.evicted {
		at = &s.leads[*at].chain
	}
	*at = s.leads[s.evicted].chain
	return s.evicted
}
