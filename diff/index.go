package diff

import (
	"encoding/binary"
	"math/bits"
)

// maxDepth is how many arrays and objects may nest, as in encoding/json.
const maxDepth = 10000

// A node is one array or object of a document. The nodes of a document, in the
// order of their opening brackets, are its index: where everything is that
// a comparison may want to skip. Scalars have none; they lie between. But for
// start and before, all is relative: what moves as a whole stays as it is.
type node struct {
	start  uint32 // offset of the opening bracket
	size   uint32 // bytes up to and with the closing one
	span   uint32 // nodes: this one and all in it
	up     uint32 // how many nodes before this one is the one around it; the root's is 0
	ord    uint32 // position among the elements or members of that one
	count  uint32 // number of its own elements or members, and hasScalar
	before uint32 // bytes of insignificant white space before start
	blank  uint32 // and in size
}

const (
	hasScalar = 1 << 31 // in count: perhaps not all elements are containers
	distinct  = 1 << 30 // in count: no two members have one name, and none has an escape
)

func (n *node) len() int                 { return int(n.count &^ (hasScalar | distinct)) }
func (n *node) allNodes() bool           { return n.count&hasScalar == 0 }
func (n *node) end() uint32              { return n.start + n.size }
func (n *node) within(raw []byte) []byte { return raw[n.start:n.end()] }

// An indexer validates a document and lists its nodes in the same pass.
type indexer struct {
	raw    []byte
	nodes  []node
	depth  int
	blank  int // bytes of insignificant white space so far
	shapes *shapes
}

// root reads a whole document from scratch. It reports whether it is valid.
func (x *indexer) root() bool {
	p := x.skipSpace(0)
	if p = x.value(p, 0, 0); p < 0 {
		return false
	}
	return x.skipSpace(p) == len(x.raw)
}

func (x *indexer) skipSpace(p int) int {
	if p < len(x.raw) && x.raw[p] <= ' ' {
		return x.space(p)
	}
	return p
}

func (x *indexer) space(p int) int {
	q := skipSpace(x.raw, p)
	x.blank += q - p
	return q
}

// value reads the value at p, the ord-th in parent, and returns the offset
// after it, or -1 where it is invalid.
func (x *indexer) value(p int, parent, ord uint32) int {
	if p < len(x.raw) {
		switch x.raw[p] {
		case '{':
			return x.object(p, parent, ord, x.slot(parent, ord))
		case '[':
			return x.array(p, parent, ord)
		}
	}
	return scanScalar(x.raw, p)
}

// open appends the node of the container at p. It returns the node's number,
// or -1 where containers nest too deep.
func (x *indexer) open(p int, parent, ord uint32) int {
	if x.depth++; x.depth > maxDepth {
		return -1
	}
	k := len(x.nodes)
	if k < cap(x.nodes) { // close sets the rest
		x.nodes = x.nodes[:k+1]
	} else {
		x.nodes = append(x.nodes, node{})
	}
	n := &x.nodes[k]
	n.start, n.up, n.ord, n.before = uint32(p), uint32(k)-parent, ord, uint32(x.blank)
	return k
}

// close completes a node whose closing bracket is before p, and returns p.
func (x *indexer) close(n, p int, count uint32) int {
	x.depth--
	o := &x.nodes[n]
	o.size, o.span, o.count = uint32(p)-o.start, uint32(len(x.nodes)-n), count
	o.blank = uint32(x.blank) - o.before
	return p
}

func (x *indexer) object(p int, parent, ord, slot uint32) int {
	n := x.open(p, parent, ord)
	if n < 0 {
		return -1
	}
	return x.members(x.trail(slot), n, p+1, 0)
}

// members reads the rest of the object of node n, p being after its opening
// bracket or after its member number count.
func (x *indexer) members(t trail, n, p int, count uint32) int {
	raw := x.raw
	for ; ; count++ {
		l := t.last.next
		at := p
		if l.standsAt(raw, p) {
			x.blank += int(l.blank)
			if at += len(l.text); raw[at] <= ' ' {
				if at = x.space(at); at >= len(raw) {
					return -1
				}
			}
			t.last = l
			t.names |= l.bit
		} else {
			more := false
			if at, more, l = x.readLead(t, p, count); !more {
				if at < 0 {
					return -1
				}
				flag := uint32(hasScalar)
				if count > 0 && t.distinct(count) {
					flag |= distinct
				}
				return x.close(n, at, count|flag)
			}
			t = t.pass(l)
		}
		switch raw[at] {
		case '"': // as scanString has it; by hand it is faster
			stop := uint64(0)
			for p = at + 1; p <= len(raw)-8; p += 8 {
				if stop = specials(binary.LittleEndian.Uint64(raw[p : p+8])); stop != 0 {
					p += bits.TrailingZeros64(stop) / 8
					break
				}
			}
			if stop != 0 && raw[p] == '"' {
				p++
			} else {
				p = scanSpecialString(raw, p)
			}
		case '{':
			p = x.object(at, uint32(n), count, count%shapeWide)
		case '[':
			p = x.array(at, uint32(n), count)
		case 't', 'f', 'n':
			p = scanScalar(raw, at)
		default:
			p = scanNumber(raw, at)
		}
		if p < 0 {
			return -1
		}
	}
}

// key reads a member's name and colon and returns the offset of its value.
func (x *indexer) key(p int) int {
	if p >= len(x.raw) || x.raw[p] != '"' {
		return -1
	}
	if p = scanString(x.raw, p+1); p < 0 {
		return -1
	}
	if p = x.skipSpace(p); p >= len(x.raw) || x.raw[p] != ':' {
		return -1
	}
	return x.skipSpace(p + 1)
}

func (x *indexer) array(p int, parent, ord uint32) int {
	n := x.open(p, parent, ord)
	if n < 0 {
		return -1
	}
	return x.elements(n, p+1, 0, 0)
}

// elements reads the rest of the array of node n, p being after its opening
// bracket or after its element number count. flag is hasScalar where one of
// those was a scalar.
func (x *indexer) elements(n, p int, count, flag uint32) int {
	raw := x.raw
	for ; ; count++ {
		if p = x.skipSpace(p); p >= len(raw) {
			return -1
		}
		if raw[p] == ']' {
			return x.close(n, p+1, count|flag)
		}
		if count > 0 {
			if raw[p] != ',' {
				return -1
			}
			if p = x.skipSpace(p + 1); p >= len(raw) {
				return -1
			}
		}
		switch raw[p] {
		case '{':
			p = x.object(p, uint32(n), count, 0)
		case '[':
			p = x.array(p, uint32(n), count)
		default:
			p, flag = scanScalar(raw, p), hasScalar
		}
		if p < 0 {
			return -1
		}
	}
}
