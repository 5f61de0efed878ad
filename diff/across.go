package diff

import (
	"bytes"
	"hash/maphash"
	"strconv"
)

// What is removed from one array or object and added to another, as it was
// written, is moved there instead. These moves come first in the patch, when
// everything is still where it is in old. Of what follows only the positions at
// which elements are removed depend on them: whatever is added or changed then is
// where it belongs in new.
//
// Which operations belong together is known only when the patch is written:
// before that any of them may be taken back.

// wander is the working memory for moves across.
type wander struct {
	transfers []transfer
	touched   uint64 // a set of 6-bit hashes: the containers of the transfers
	effort    int    // steps that may yet be taken
	sizes     table  // of what is removed
	links     []int32
	chain     []int32
	out       []byte
	inserts   []insert
}

// A transfer is a value that moves across. All is as in old, but for ord.
type transfer struct {
	from, place int32 // the array or object that the value leaves, and its position there
	to, before  int32 // the one that it comes to, and the element that it stands before
	ord         int32 // its position in new
}

// mostTransfers is how many values move across. Each must know of all before it.
const mostTransfers = 256

// moveAcross makes moves of the removals and inserts that belong together.
func (s *patcher) moveAcross() {
	if len(s.removals) == 0 || len(s.inserts) == 0 || !s.indexRemovals() {
		return
	}
	w := &s.wander
	w.transfers, w.touched, w.out = w.transfers[:0], 0, w.out[:0]
	most := min(mostTransfers, w.effort/(len(s.removals)+len(s.inserts)))
	d := destination{node: nowhere}
	for i := range s.inserts {
		in := &s.inserts[i]
		if in.in == nowhere {
			continue
		}
		if in.in != d.node {
			d.enter(s, i)
		}
		if len(w.transfers) >= most || w.effort < 0 {
			break
		}
		if !d.open {
			continue
		}
		if r := s.removalOf(in); r != nil {
			r.moved, in.moved = true, true
			s.writeTransfer(r, in, d.place(s, i))
		}
	}
	if len(w.transfers) > 0 {
		s.rewrite()
	}
}

// indexRemovals puts the removals that may have an insert into the table, and
// reports whether there are any. It hashes only what has the size of another.
func (s *patcher) indexRemovals() (any bool) {
	w, t := &s.wander, &s.table
	w.effort = 1<<16 + 8*len(s.new.raw)
	w.sizes.reset(len(s.removals))
	for i := range s.removals {
		if r := &s.removals[i]; r.end > r.at {
			h := s.old.sizeHash(r.node)
			w.sizes.slots[w.sizes.probe(h, h)] = slot{h, removed}
		}
	}
	for i := range s.inserts {
		if in := &s.inserts[i]; in.in != nowhere {
			h := s.new.sizeHash(int32(in.node))
			if at := w.sizes.probe(h, h); w.sizes.slots[at].item != 0 {
				w.sizes.slots[at].item, any = both, true
			}
		}
	}
	if !any {
		return false
	}
	t.reset(len(s.removals))
	w.links = resize(w.links, len(s.removals))
	for i := len(s.removals) - 1; i >= 0; i-- {
		r := &s.removals[i]
		h := s.old.sizeHash(r.node)
		if r.end == r.at || w.sizes.slots[w.sizes.probe(h, h)].item != both || !s.listed(s.old, s.old.parent(r.node)) {
			continue
		}
		h = maphash.Bytes(seed, s.old.nodes[r.node].within(s.old.raw))
		at := t.probe(h, h)
		w.links[i] = t.slots[at].item
		t.slots[at] = slot{h, int32(i + 1)}
	}
	return true
}

// What wander.sizes says of a size.
const (
	removed = 1 + iota // something of it is removed
	both               // and something is added
)

func (doc *Document) sizeHash(k int32) uint64 { return uint64(doc.nodes[k].size) * 0x9E3779B97F4A7C15 }

// parent returns the array or object around node k, which is not the root.
func (doc *Document) parent(k int32) int32 { return k - int32(doc.nodes[k].up) }

func (doc *Document) isArray(k int32) bool { return doc.raw[doc.nodes[k].start] == '[' }

// listed reports whether all that comes to or leaves node k of a document is
// among the inserts and removals, or has no position.
func (s *patcher) listed(doc *Document, k int32) bool {
	return !doc.isArray(k) || doc.nodes[k].allNodes()
}

// removalOf returns a removal of what is inserted, or nil. It is used up.
func (s *patcher) removalOf(in *insert) *removal {
	w, t := &s.wander, &s.table
	h := s.new.sizeHash(int32(in.node))
	if w.sizes.slots[w.sizes.probe(h, h)].item != both {
		return nil
	}
	h = maphash.Bytes(seed, s.new.bytes(in.value))
	at := t.probe(h, h)
	i := int(t.slots[at].item) - 1
	if i < 0 {
		return nil
	}
	r := &s.removals[i]
	if !bytes.Equal(s.old.nodes[r.node].within(s.old.raw), s.new.bytes(in.value)) {
		return nil
	}
	if t.slots[at].item = w.links[i]; t.slots[at].item == 0 {
		t.slots[at].item = -1 // used up; others may lie behind
	}
	return r
}

// A destination is an array or object of old that inserts come to.
type destination struct {
	node    int32
	open    bool // for transfers
	first   int  // the first of its inserts
	behind  int  // the number after that of the last removal before those
	removed int  // elements that are removed before the place of the last insert
}

// enter takes up the destination of insert i.
func (d *destination) enter(s *patcher, i int) {
	in := &s.inserts[i]
	d.node, d.first, d.removed = in.in, i, 0
	for d.behind < len(s.removals) && s.removals[d.behind].at < in.op {
		d.behind++
	}
	d.open = s.listed(s.old, d.node) && s.listed(s.new, s.new.parent(int32(in.node)))
	if d.behind > 0 {
		last := &s.removals[d.behind-1]
		d.open = d.open && (last.end > last.at || last.node != d.node) // its elements do not move
	}
}

// place returns the element of the destination that insert i is to stand before:
// the one that does in new, of those that are in both.
func (d *destination) place(s *patcher, i int) int32 {
	if !s.old.isArray(d.node) {
		return 0
	}
	kept := int32(s.new.nodes[s.inserts[i].node].ord) - int32(i-d.first)
	for d.removed < d.behind { // they are listed from the last to the first
		r := &s.removals[d.behind-1-d.removed]
		if s.old.parent(r.node) != d.node || int32(s.old.nodes[r.node].ord) > kept+int32(d.removed) {
			break
		}
		d.removed++
	}
	return kept + int32(d.removed)
}

// writeTransfer appends a transfer and its operation.
func (s *patcher) writeTransfer(r *removal, in *insert, before int32) {
	w := &s.wander
	from, place := s.old.parent(r.node), int32(s.old.nodes[r.node].ord)
	out := s.appendPath(append(w.out, opMove...), from, place, s.out[r.at+len(opRemove):r.end-len(`"}`)])
	w.transfers = append(w.transfers, transfer{from, place, nowhere, 0, 0})
	w.touched |= 1<<(from&63) | 1<<(in.in&63)
	out = s.appendPath(append(out, `","path":"`...), in.in, before, s.out[in.op+len(opAdd):in.at-len(pathValue)])
	t := &w.transfers[len(w.transfers)-1]
	t.to, t.before, t.ord = in.in, before, int32(s.new.nodes[in.node].ord)
	w.out = append(out, `"}`...)
}

// appendPath appends the pointer to a member or element of node k of old, behind
// all transfers so far. path is what is written there for new: names are the
// same, positions perhaps not.
func (s *patcher) appendPath(out []byte, k, place int32, path []byte) []byte {
	w := &s.wander
	w.chain = w.chain[:0]
	for at := k; at > 0; at = s.old.parent(at) {
		w.chain = append(w.chain, at)
	}
	w.effort -= len(w.chain)
	for i := len(w.chain); i >= 0; i-- {
		end := bytes.IndexByte(path[1:], '/') + 1
		if end == 0 {
			end = len(path)
		}
		in, ord := k, place // at last
		if i > 0 {
			at := w.chain[i-1]
			in, ord = s.old.parent(at), int32(s.old.nodes[at].ord)
		}
		if s.old.isArray(in) {
			out = strconv.AppendInt(append(out, '/'), int64(ord+s.shift(in, ord)), 10)
		} else {
			out = append(out, path[:end]...)
		}
		path = path[end:]
	}
	return out
}

// shift is how much further on the transfers so far have moved element ord of
// array k of old, or a place before it.
func (s *patcher) shift(k, ord int32) (by int32) {
	w := &s.wander
	if w.touched>>(k&63)&1 == 0 {
		return 0
	}
	w.effort -= len(w.transfers)
	for i := range w.transfers {
		t := &w.transfers[i]
		if t.from == k && t.place < ord {
			by--
		}
		if t.to == k && t.before <= ord {
			by++
		}
	}
	return by
}

// rewrite writes the patch anew, the transfers first, where it gets shorter.
func (s *patcher) rewrite() {
	w, at, r, size := &s.wander, 0, 0, s.size()
	w.inserts = w.inserts[:0]
	held := s.held
	for i := range s.inserts {
		in := s.inserts[i]
		for ; r < len(s.removals) && s.removals[r].at < in.op; r++ {
			at = s.rewriteRemoval(&s.removals[r], at)
		}
		if in.moved {
			w.out = append(w.out, s.out[at:in.op]...)
			at = in.at + len("}")
			held -= s.new.compactSize(in.value)
			continue
		}
		if path := in.at - len(pathValue); s.atEnd(&in) {
			w.out = append(w.out, s.out[at:path-len("-")]...)
			w.out = strconv.AppendInt(w.out, int64(s.new.nodes[in.node].ord), 10)
			at = path
		}
		w.out = append(w.out, s.out[at:in.at]...)
		at, in.at = in.at, len(w.out)
		w.inserts = append(w.inserts, in)
	}
	for ; r < len(s.removals); r++ {
		at = s.rewriteRemoval(&s.removals[r], at)
	}
	if w.out = append(w.out, s.out[at:]...); len(w.out)+held < size {
		s.out, w.out = w.out, s.out
		s.inserts, w.inserts = w.inserts, s.inserts
		s.held = held
	}
}

// rewriteRemoval writes a removal anew, and what is before it, from offset at of
// patcher.out on. It returns the offset behind it.
func (s *patcher) rewriteRemoval(r *removal, at int) int {
	out := s.wander.out
	if r.end == r.at {
		return at
	}
	if in, ord := s.old.parent(r.node), int32(s.old.nodes[r.node].ord); r.moved {
		out = append(out, s.out[at:r.at]...)
		at = r.end
	} else if s.old.isArray(in) {
		if by := s.shift(in, ord); by != 0 {
			token := r.at + bytes.LastIndexByte(s.out[r.at:r.end], '/') + 1
			out = strconv.AppendInt(append(out, s.out[at:token]...), int64(ord+by), 10)
			at = r.end - len(`"}`)
		}
	}
	s.wander.out = out
	return at
}

// atEnd reports whether an insert is written to be at the end of its array, and
// a transfer comes behind it.
func (s *patcher) atEnd(in *insert) bool {
	w := &s.wander
	if in.in == nowhere || w.touched>>(in.in&63)&1 == 0 || !s.old.isArray(in.in) || !bytes.HasSuffix(s.out[in.op:in.at], []byte("/-"+pathValue)) {
		return false
	}
	for i := range w.transfers {
		if t := &w.transfers[i]; t.to == in.in && t.ord > int32(s.new.nodes[in.node].ord) {
			return true
		}
	}
	return false
}
