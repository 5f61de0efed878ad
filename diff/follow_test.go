package diff

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
)

// scratchIndex indexes raw from scratch; nil where it is invalid.
func scratchIndex(raw []byte) *Document {
	x := indexer{raw: raw}
	if !x.root() {
		return nil
	}
	return &Document{raw: raw, nodes: append([]node{}, x.nodes...), blank: x.blank}
}

// checkFollow holds what a follower finds against an indexer and json.Valid.
func checkFollow(t *testing.T, old, new []byte) {
	t.Helper()
	f := follower{indexer: indexer{raw: new}, old: scratchIndex(old)}
	valid := f.root()
	if valid != json.Valid(new) {
		t.Fatalf("old %s\nnew %s\nvalid: %v", old, new, valid)
	}
	if !valid {
		return
	}
	fresh := scratchIndex(new)
	want := fresh.nodes
	for i := range want {
		if i < len(f.nodes) && f.nodes[i].count == want[i].count|hasScalar {
			f.nodes[i].count = want[i].count // the flag may be set too often
		}
	}
	if !slices.Equal(f.nodes, want) {
		t.Fatalf("old %s\nnew %s\ngot  %v\nwant %v", old, new, f.nodes, want)
	}
	if f.blank != fresh.blank || len(fresh.AppendCompact(nil)) != len(new)-f.blank {
		t.Fatalf("old %s\nnew %s\n%d bytes of white space, want %d", old, new, f.blank, fresh.blank)
	}
	at := uint32(0)
	for _, r := range f.runs {
		if r.new < at || string(old[r.old:r.old+r.n]) != string(new[r.new:r.new+r.n]) {
			t.Fatalf("old %s\nnew %s\nrun %v", old, new, r)
		}
		at = r.new + r.n
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
