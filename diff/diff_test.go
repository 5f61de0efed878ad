package diff

import (
	"math/rand/v2"
	"testing"
)

// checkPatch holds what Next and Diff say of a pair against the judge.
func checkPatch(t *testing.T, d *Differ, ignore [][]string, old, new []byte) {
	t.Helper()
	o, err := d.Parse(old)
	if err != nil {
		t.Fatalf("old %s\n%v", old, err)
	}
	n, patch, err := d.Next(o, new)
	if err != nil {
		t.Fatalf("old %s\nnew %s\n%v", old, new, err)
	}
	same := readTree(old).without(ignore).String() == readTree(new).without(ignore).String()
	if same != (n == o) {
		t.Fatalf("old %s\nnew %s\nsame %v, Next says %v", old, new, same, n == o)
	}
	if n == o {
		if patch != nil {
			t.Fatalf("old %s\nnew %s\nno change, but patch %s", old, new, patch)
		}
		if n, err = d.Parse(new); err != nil {
			t.Fatal(err)
		}
	} else if patch != nil {
		if err := judge(old, new, patch); err != nil {
			t.Fatalf("old %s\nnew %s\npatch %s\n%v", old, new, patch, err)
		}
	}
	again := d.Diff(o, n)
	if n != o && patch != nil && string(again) != string(patch) {
		t.Fatalf("old %s\nnew %s\nNext %s\nDiff %s", old, new, patch, again)
	}
	if again != nil {
		if err := judge(old, new, again); err != nil {
			t.Fatalf("old %s\nnew %s\npatch %s\n%v", old, new, again, err)
		}
	}
	if len(again) >= len(n.AppendCompact(nil)) && again != nil {
		t.Fatalf("old %s\nnew %s\npatch %s is not smaller", old, new, again)
	}
}

func TestPatchesOfGeneratedTrees(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(3, 4))}
	for range 40000 {
		old, new := g.pair()
		checkPatch(t, nil, nil, old, new)
	}
}
