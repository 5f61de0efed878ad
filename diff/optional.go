package diff

import "bytes"

// Records of one array need not have the same members. Where one of two objects
// in step has a member that the other has not, they get back into step behind
// it. Of old it is known then that all names are different, and have no escape.

// maxAdded is how many members of an object in step may not be in old: for each
// the text of both objects is searched.
const maxAdded = 12

// absent reports whether there is no such member; none begins at 0.
func (p part) absent() bool { return p.start == 0 }

// name returns the name of a member that differs.
func (d *delta) name(old, new *Document) []byte {
	if d.new.absent() {
		return old.raw[d.key0:d.key1]
	}
	return new.raw[d.key0:d.key1]
}

// behind is where old stands when new is after the value that ends at p.
func (f *follower) behind(l *lockstep, p int) cursor {
	k := int(f.steps[l.step].old)
	return cursor{Document: f.old, k: k, last: k + int(f.old.nodes[k].span), pos: p - l.shift, child: l.child, named: true}
}

// drop looks among the next members of old for the name of the member of new
// whose value is at offset at. If it is there, those before it are gone.
func (f *follower) drop(l *lockstep, p, at int) bool {
	name, pending := f.raw[l.key0:l.key1], len(f.pending)
	c := f.behind(l, p)
	var m member
	for range lookahead {
		child := c.child
		if !c.read(&m) {
			break
		}
		if string(c.name(&m)) == string(name) {
			l.child = child
			l.meet(f, m.start, at)
			return true
		}
		f.pending = append(f.pending, delta{newPart(m.value), part{node: -1}, uint32(m.key0), uint32(m.key1)})
	}
	f.pending = f.pending[:pending]
	return false
}

// dropRest notes that the members of old that are left are gone. It reports
// whether they are few.
func (f *follower) dropRest(l *lockstep, p int) bool {
	c := f.behind(l, p)
	var m member
	for range maxAdded {
		if !c.read(&m) {
			return true
		}
		f.pending = append(f.pending, delta{newPart(m.value), part{node: -1}, uint32(m.key0), uint32(m.key1)})
	}
	return !c.read(&m)
}

// isNew reports whether the member of new behind p has a name that is nowhere in
// the text of old, and nowhere before in new.
func (f *follower) isNew(l *lockstep, p int) bool {
	if l.added++; l.added > maxAdded {
		return false
	}
	name := f.raw[l.key0-1 : l.key1+1]
	k := f.steps[l.step].old
	return !bytes.Contains(f.old.nodes[k].within(f.old.raw), name) && !bytes.Contains(f.raw[f.nodes[l.node].start:p], name)
}

// add reads a member that old has not; its value is at offset at. It returns
// the offset after it.
func (f *follower) add(l *lockstep, p, at int, count uint32) (end int) {
	v := value{start: at, node: -1}
	if f.raw[at] == '{' || f.raw[at] == '[' {
		v.node = len(f.nodes)
	}
	if v.end = f.value(at, uint32(l.node), count); v.end < 0 {
		return -1
	}
	f.pending = append(f.pending, delta{part{node: -1}, newPart(v), l.key0, l.key1})
	l.meet(f, p-l.shift, v.end)
	return v.end
}

// meet notes that offset p of new belongs to offset q of old.
func (l *lockstep) meet(f *follower, q, p int) {
	l.shift = p - q
	l.x = q + commonPrefix(f.old.raw[q:l.end], f.raw[p:])
}
