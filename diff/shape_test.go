package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestShapesChangeNothing holds that what was read before has no part in what is
// found in a document: neither whether it is valid, nor its index, nor what is in
// step with the document before.
func TestShapesChangeNothing(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(21, 22))
	g := generator{r}
	kept := new(shapes)
	invalid := 0
	for i := range 6000 / slow {
		old, text := g.pair()
		switch i % 5 {
		case 0: // cut off, also where something is expected
			text = text[:r.IntN(len(text)+1)]
			text = append(bytes.Clone(text), strings.Repeat(" ", r.IntN(3))...)
		case 1:
			text = bytes.Clone(text)
			text[r.IntN(len(text))] = `{}[]",: 1`[r.IntN(9)]
		case 2: // something is missing in the middle
			if from := r.IntN(len(text)); bytes.ContainsAny(text[from:], `{}[]",:`) {
				at := from + bytes.IndexAny(text[from:], `{}[]",:`)
				text = slices.Delete(bytes.Clone(text), at, at+1)
			}
		case 3:
			old, text = []byte("["+strings.Repeat(string(old)+",", 3)+string(text)+"]"), []byte("["+strings.Repeat(string(text)+",", 3)+string(old)+"]")
		}
		parsed := indexer{raw: old, shapes: kept}
		doc := scratchIndex(old)
		if !parsed.root() || !slices.Equal(parsed.nodes, doc.nodes) || parsed.blank != doc.blank {
			t.Fatalf("%s\ngot  %v\nwant %v", old, parsed.nodes, doc.nodes)
		}
		f := follower{indexer: indexer{raw: text, shapes: kept}, old: doc}
		fresh := follower{indexer: indexer{raw: text, shapes: new(shapes)}, old: doc}
		got, want := f.root(), fresh.root()
		if got != want || got != json.Valid(text) {
			t.Fatalf("old %s\nnew %s\nvalid: %v, want %v", old, text, got, want)
		}
		if !got {
			invalid++
			continue
		}
		if !slices.Equal(f.nodes, fresh.nodes) || f.blank != fresh.blank || !slices.Equal(f.runs, fresh.runs) ||
			!slices.Equal(f.steps, fresh.steps) || !slices.Equal(f.deltas, fresh.deltas) {
			t.Fatalf("old %s\nnew %s\ngot  %v\nwant %v", old, text, f.alignment, fresh.alignment)
		}
	}
	if invalid < 500/slow {
		t.Errorf("%d invalid texts only", invalid)
	}
}

// TestShapesAreBounded holds that names of any length leave little behind, and
// that objects with such names are read and compared like others.
func TestShapesAreBounded(t *testing.T) {
	t.Parallel()
	x := indexer{shapes: new(shapes)}
	for i := range 200 {
		n := 1 << (i % 20)
		name := strings.Repeat("n", n)
		old := []byte(`[{"a":1,"` + name + `":2,"b":[3]},{"a":1,"` + name + `":2,"b":[3]}]`)
		x.raw, x.nodes, x.blank = old, nil, 0
		if !x.root() {
			t.Fatalf("a name of %d bytes: invalid", n)
		}
		if n <= 2*longestLead { // the judge takes its time
			checkPatch(t, Options{}, old, bytes.Replace(old, []byte(":2"), []byte(":4"), 1))
			checkPatch(t, Options{}, old, bytes.Replace(old, []byte("[3]"), []byte("[5]"), 1))
		}
	}
	size := 0
	for i := range x.shapes {
		if s := x.shapes[i]; s != nil {
			for _, l := range append(s.leads[:], s.first) {
				size += cap(l.text)
			}
		}
	}
	if size > 64<<10 {
		t.Errorf("%d bytes are kept", size)
	}
}

// TestLeadsNeedCommas: a name that comes first is written as it is later, and so is
// a name that comes twice; what is between is looked for all the same.
func TestLeadsNeedCommas(t *testing.T) {
	long := `{"` + strings.Repeat("n", longestLead) + `":1`
	texts := []string{long + `,"a":1}`, long + `"a":1}`, `{"a":1,"a":1}`, `{"a":1}`, `{"a":1"a":1}`, `{"a":1,}`, `{,"a":1}`, `{"a":1,,"a":1}`, `{"a":1 ,"a":1}`, `{"b":1,"a":1}`, `{"a":1"b":1}`, `{"b":1"a":1}`}
	x := indexer{shapes: new(shapes)}
	for _, before := range texts {
		for _, text := range texts {
			for _, text := range []string{before, text} {
				x.raw, x.nodes, x.blank, x.depth = []byte(text), nil, 0, 0
				if got, want := x.root(), json.Valid(x.raw); got != want {
					t.Fatalf("%s after %s: valid is %v", text, before, got)
				}
			}
			doc, err := (*Differ)(nil).Parse([]byte(before))
			if err != nil {
				continue
			}
			f := follower{indexer: indexer{raw: []byte(text), shapes: x.shapes}, old: doc}
			if got, want := f.root(), json.Valid(f.raw); got != want {
				t.Fatalf("%s along %s: valid is %v", text, before, got)
			}
		}
	}
}

// TestDistinct: whether the names of an object are known to be distinct depends on
// nothing but that they are, and that a shape has room for them, whatever came before.
func TestDistinct(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	x := indexer{shapes: new(shapes)}
	both := [2]int{}
	for range 20_000 / slow {
		names := r.Perm(150)[:r.IntN(75)]
		if len(names) > 1 && r.IntN(2) == 0 {
			names[r.IntN(len(names))] = names[r.IntN(len(names))]
		}
		want := len(names) > 0 && len(names) < maxLeads-1
		var members []string
		if r.IntN(4) == 0 { // one that is not kept comes first
			members, want = append(members, `"`+strings.Repeat("n", longestLead)+`":0`), false
		}
		for i, name := range names {
			want = want && name%50 != 49 && !slices.Contains(names[:i], name)
			members = append(members, fmt.Sprintf(`"%d%s":0`, name, map[bool]string{true: `\n`}[name%50 == 49]))
		}
		x.raw, x.nodes, x.blank, x.depth = []byte("{"+strings.Join(members, ",")+"}"), nil, 0, 0
		if !x.root() {
			t.Fatalf("%s: invalid", x.raw)
		}
		if got := x.nodes[0].count&distinct != 0; got != want {
			t.Fatalf("%s: distinct is %v", x.raw, got)
		}
		both[map[bool]int{true: 1}[want]]++
	}
	if both[0] < 1000/slow || both[1] < 1000/slow {
		t.Errorf("%d are distinct, %d not", both[1], both[0])
	}
}
