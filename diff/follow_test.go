package diff

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// scratchIndex indexes raw from scratch; nil where it is invalid.
func scratchIndex(raw []byte) *Document {
	x := indexer{raw: raw, shapes: new(shapes)}
	if !x.root() {
		return nil
	}
	return &Document{raw: raw, nodes: append([]node{}, x.nodes...), blank: x.blank}
}

// checkFollow holds what a follower finds against an indexer, json.Valid and
// the judge's trees, there and back again.
func checkFollow(t *testing.T, old, text []byte) {
	t.Helper()
	if doc := followed(t, scratchIndex(old), text); doc != nil {
		followed(t, doc, old)
	}
}

func followed(t *testing.T, doc *Document, text []byte) *Document {
	t.Helper()
	f := follower{indexer: indexer{raw: text, shapes: new(shapes)}, old: doc}
	valid, old := f.root(), doc.raw
	if valid != json.Valid(text) {
		t.Fatalf("old %s\nnew %s\nvalid: %v", old, text, valid)
	}
	if !valid {
		return nil
	}
	got := &Document{raw: text, nodes: slices.Clone(f.nodes), blank: f.blank}
	fresh := scratchIndex(text)
	if len(f.nodes) != len(fresh.nodes) {
		t.Fatalf("old %s\nnew %s\ngot  %v\nwant %v", old, text, f.nodes, fresh.nodes)
	}
	for i, want := range fresh.nodes {
		n := f.nodes[i]
		if n.count&distinct != 0 && !differentNames(n.within(text)) {
			t.Fatalf("old %s\nnew %s\n%s: two members of one name, or an escape", old, text, n.within(text))
		}
		flags := n.count &^ want.count & (hasScalar | distinct) // may be set where the other has not
		if n.count &^= flags; n.count|distinct != want.count|distinct {
			t.Fatalf("old %s\nnew %s\ngot  %v\nwant %v", old, text, n, want)
		}
		if n.count = want.count; n != want {
			t.Fatalf("old %s\nnew %s\ngot  %v\nwant %v", old, text, n, want)
		}
	}
	if f.blank != fresh.blank || len(fresh.AppendCompact(nil)) != len(text)-f.blank {
		t.Fatalf("old %s\nnew %s\n%d bytes of white space, want %d", old, text, f.blank, fresh.blank)
	}
	at := uint32(0)
	for _, r := range f.runs {
		if r.new < at || string(old[r.old:r.old+r.n]) != string(text[r.new:r.new+r.n]) {
			t.Fatalf("old %s\nnew %s\nrun %v", old, text, r)
		}
		at = r.new + r.n
	}
	if !utf8.Valid(old) || !utf8.Valid(text) {
		return got // what is not UTF-8 is all one character to the judges of values
	}
	for _, st := range f.steps {
		if st.end == whole {
			o, n := doc.nodes[st.old].within(old), got.nodes[st.new].within(text)
			if readTree(o).String() == readTree(n).String() {
				t.Fatalf("not to be replaced: %s\nand %s", o, n)
			}
		} else if st.old >= 0 {
			checkStep(t, doc, got, st, f.deltas[st.first:st.end])
		}
	}
	return got
}

// differentNames reports whether the members of an object have different names,
// written without escapes.
func differentNames(text []byte) bool {
	r := &reader{text: string(text)}
	r.pos++
	names := map[string]bool{}
	for r.space(); r.text[r.pos] != '}'; r.space() {
		from := r.pos
		r.str()
		name := r.text[from:r.pos] // as written: what is not UTF-8 is not all one character
		if names[name] || strings.Contains(name, `\`) {
			return false
		}
		names[name] = true
		r.space()
		r.pos++
		r.value()
		if r.text[r.pos] == ',' {
			r.pos++
		}
	}
	return true
}

// checkStep holds what is said of two values in step against their trees: but
// for the deltas they are the same, and a scalar in the deltas is not.
func checkStep(t *testing.T, a, b *Document, st step, deltas []delta) {
	t.Helper()
	o, n := a.nodes[st.old].within(a.raw), b.nodes[st.new].within(b.raw)
	if n[0] == '{' && !differentNames(n) {
		t.Fatalf("in step: %s\nand %s", o, n)
	}
	x, y := readTree(o), readTree(n)
	for _, d := range deltas {
		if n[0] == '{' && (d.old.absent() || d.new.absent()) {
			name := (&reader{text: `"` + string(d.name(a, b)) + `"`}).str()
			if d.old.absent() {
				if y.object[name] == nil || x.object[name] != nil || y.object[name].String() != readTree(b.bytes(d.new.value())).String() {
					t.Fatalf("%s is not new: %s\nand %s", name, o, n)
				}
				x.object[name] = y.object[name]
			} else if x.object[name] == nil || y.object[name] != nil {
				t.Fatalf("%s is not gone: %s\nand %s", name, o, n)
			} else {
				delete(x.object, name)
			}
			continue
		}
		old, new := readTree(a.bytes(d.old.value())), readTree(b.bytes(d.new.value()))
		if d.old.node < 0 && d.new.node < 0 && old.String() == new.String() {
			t.Fatalf("no delta: %s\nand %s", a.bytes(d.old.value()), b.bytes(d.new.value()))
		}
		if n[0] == '{' {
			name := (&reader{text: `"` + string(b.raw[d.key0:d.key1]) + `"`}).str()
			if x.object[name].String() != old.String() || y.object[name].String() != new.String() {
				t.Fatalf("delta of %s: %s\nand %s", b.raw[d.key0:d.key1], o, n)
			}
			x.object[name] = y.object[name]
		} else {
			if x.array[d.key0].String() != old.String() || y.array[d.key0].String() != new.String() {
				t.Fatalf("delta of %d: %s\nand %s", d.key0, o, n)
			}
			x.array[d.key0] = y.array[d.key0]
		}
	}
	if x.String() != y.String() {
		t.Fatalf("in step: %s\nand %s", o, n)
	}
}

func TestFollowFindsWhatAnIndexerFinds(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	for range 12000 / slow {
		old, new := g.pair()
		if g.IntN(3) == 0 {
			new = g.damage(new)
		}
		checkFollow(t, old, new)
	}
}
