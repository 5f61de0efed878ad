package diff

import (
	"bytes"
	"encoding/json"
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
		switch i % 4 {
		case 0: // cut off, also where something is expected
			text = text[:r.IntN(len(text)+1)]
			text = append(bytes.Clone(text), strings.Repeat(" ", r.IntN(3))...)
		case 1:
			text = bytes.Clone(text)
			text[r.IntN(len(text))] = `{}[]",: 1`[r.IntN(9)]
		case 2:
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
			for _, l := range s.leads {
				size += cap(l.text)
			}
		}
	}
	if size > 64<<10 {
		t.Errorf("%d bytes are kept", size)
	}
}
