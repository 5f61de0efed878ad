package diff

import (
	"slices"
	"strings"
)

// A Survey says what two answers to one request have in common and what not,
// for a person who is to write a rule for them. In its pointers (RFC 6901) `*`
// stands for any element of an array.
type Survey struct {
	Changes []Change
	Arrays  []Array
}

// A Change is a value that is not the same in both, ignored ones aside.
type Change struct {
	Pointer  string
	Old, New string // of the first such value, as written; "" where there is none
	Count    int    // how many values of this pointer have changed
}

// An Array is an array that has elements in one of the two documents. Arrays of
// one pointer are counted together.
type Array struct {
	Pointer        string
	Old, New, Kept int // elements, and how many of old were found in new

	// Identity is a member, or the pointer of one, that tells the elements
	// apart; "" where the options have keys for the array, or nothing was found.
	Identity string
}

// Survey compares two documents for a person. Other than Next it looks into
// everything, whatever that costs.
func (d *Differ) Survey(old, new *Document) Survey {
	s := scratches.Get().(*scratch)
	defer s.release()
	s.follower.alignOnly(old, new.raw)
	s.patcher.begin(d.root(), old, new, s.follower.alignment)
	v := surveyor{patcher: &s.patcher, changeAt: map[string]int{}, arrayAt: map[string]int{}}
	v.value(old.root(), new.root(), "", d.root())
	return v.found
}

type surveyor struct {
	*patcher
	found             Survey
	changeAt, arrayAt map[string]int // index in found, by pointer
}

func (v *surveyor) value(a, b value, pointer string, r *rule) {
	switch {
	case r.ignored():
	case a.node < 0 && b.node < 0 && equalScalars(v.old.bytes(a), v.new.bytes(b)):
	case a.node < 0, b.node < 0, v.old.raw[a.start] != v.new.raw[b.start]:
		v.changed(pointer, string(v.old.bytes(a)), string(v.new.bytes(b)))
	case v.new.raw[b.start] == '{':
		v.members(a, b, pointer, r)
	default:
		v.elements(a, b, pointer, r)
	}
}

func (v *surveyor) changed(pointer, old, new string) {
	i, known := v.changeAt[pointer]
	if !known {
		i = len(v.found.Changes)
		v.changeAt[pointer] = i
		v.found.Changes = append(v.found.Changes, Change{Pointer: pointer, Old: old, New: new})
	}
	v.found.Changes[i].Count++
}

func (v *surveyor) members(a, b value, pointer string, r *rule) {
	base, mid := v.pairMembers(v.old.cursor(a), v.new.cursor(b))
	sides := slices.Clone(v.sides[base:]) // the stack is used on the way down
	v.sides = v.sides[:base]
	for i, side := range sides {
		doc := v.new
		if i < mid-base {
			doc = v.old
		}
		written := doc.raw[side.key0:side.key1]
		child := pointer + "/" + token(written)
		switch rule := r.member(written); {
		case side.mate >= 0 && i < mid-base:
			v.value(side.value, sides[int(side.mate)-base].value, child, rule)
		case side.mate != alone || rule.ignored():
		case i < mid-base:
			v.changed(child, string(doc.bytes(side.value)), "")
		default:
			v.changed(child, "", string(doc.bytes(side.value)))
		}
	}
}

// token is a member's name, given as written in JSON, as a reference token.
func token(written []byte) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(string(appendUnescaped(nil, written)))
}

// elements compares arrays, paired as patches pair them.
func (v *surveyor) elements(a, b value, pointer string, r *rule) {
	base := len(v.sides)
	v.push(v.old, a)
	mid := len(v.sides)
	v.push(v.new, b)
	v.count(pointer, func(array *Array) {
		array.Old += mid - base
		array.New += len(v.sides) - mid
		if array.Identity == "" && (r == nil || r.keys == nil) {
			array.Identity = v.identify(a, base, mid)
		}
	})
	v.clearHashes(base)
	v.pairLeft(a, base, mid, r)
	sides := slices.Clone(v.sides[base:])
	v.sides = v.sides[:base]
	olds, news := sides[:mid-base], sides[mid-base:]
	placed := len(olds) == len(news)
	for j, side := range news {
		child, rule := pointer+"/*", r.element(j)
		switch {
		case side.mate >= 0:
			v.count(pointer, func(array *Array) { array.Kept++ })
			v.value(olds[int(side.mate)-base].value, side.value, child, rule)
		case placed && olds[j].mate == alone:
			v.value(olds[j].value, side.value, child, rule)
		case !rule.ignored():
			v.changed(child, "", string(v.new.bytes(side.value)))
		}
	}
	for i, side := range olds {
		if side.mate == alone && !(placed && news[i].mate == alone) && !r.element(i).ignored() {
			v.changed(pointer+"/*", string(v.old.bytes(side.value)), "")
		}
	}
}

// push puts the elements of an array on the stack.
func (v *surveyor) push(doc *Document, a value) {
	for c := doc.cursor(a); ; {
		ord := int32(c.ord)
		m, ok := c.next()
		if !ok {
			return
		}
		v.sides = append(v.sides, side{member: m, ord: ord, mate: alone})
	}
}

// count changes the entry of the arrays of a pointer.
func (v *surveyor) count(pointer string, change func(*Array)) {
	i, known := v.arrayAt[pointer]
	if !known {
		i = len(v.found.Arrays)
		v.arrayAt[pointer] = i
		v.found.Arrays = append(v.found.Arrays, Array{Pointer: pointer})
	}
	change(&v.found.Arrays[i])
}

// identify returns what tells the elements of two arrays apart: of the scalars
// that are different in every element one that is called like an identity, or
// else the one by which pairs have most in common. "" is none.
func (v *surveyor) identify(a value, base, mid int) string {
	f := &v.arrays.finder
	f.begin(v.patcher, base, mid)
	defer f.end()
	if mid-base < 2 || f.olds == 0 || f.olds == len(f.rows) {
		return ""
	}
	news := len(f.rows)
	f.context(v.patcher, a, base, mid)
	best := f.choose(&v.table)
	for c := range f.columns {
		if namesIdentity(f.columns[c].name) && f.distinct(&v.table, c, 0, f.olds) && f.distinct(&v.table, c, f.olds, news) {
			paired := false
			f.pairs(&v.table, c, func(int, int) { paired = true })
			if paired {
				best = c
				break
			}
		}
	}
	if best < 0 {
		return ""
	}
	c := f.columns[best]
	if c.object != nil {
		return "/" + token(c.object) + "/" + token(c.name)
	}
	return string(appendUnescaped(nil, c.name))
}
