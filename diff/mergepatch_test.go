package diff

import (
	"math/rand/v2"
	"testing"
)

// merged is RFC 7396's own function, on the judge's trees.
func merged(target, patch *tree) *tree {
	if patch.object == nil {
		return patch
	}
	if target == nil || target.object == nil {
		target = &tree{object: map[string]*tree{}}
	}
	for name, v := range patch.object {
		if v.scalar == "null" {
			delete(target.object, name)
		} else {
			target.object[name] = merged(target.object[name], v)
		}
	}
	return target
}

func TestMergePatches(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(13, 14))}
	var d *Differ
	made := 0
	for range 5000 / slow {
		old, new := g.pair()
		a, _ := d.Parse(old)
		b, _ := d.Parse(new)
		patch := d.MergePatch(a, b)
		if patch == nil {
			continue
		}
		made++
		if got, want := merged(readTree(old), readTree(patch)).String(), readTree(new).String(); got != want {
			t.Fatalf("old %s\nnew %s\npatch %s\ngot  %s\nwant %s", old, new, patch, got, want)
		}
		if len(patch) >= len(b.AppendCompact(nil)) {
			t.Fatalf("new %s\npatch %s is not smaller", new, patch)
		}
	}
	if made < 500/slow {
		t.Errorf("only %d merge patches", made)
	}
}

func TestMergePatchRefuses(t *testing.T) {
	const pad = `,"pad":"pppppppppppppppppppppppppppppppppppppppppppppppppppp"}`
	var d *Differ
	for _, c := range []struct{ old, new, patch string }{
		{`{"a":1`, `{"a":2`, `{"a":2}`},
		{`{"a":1,"b":1`, `{"b":1`, `{"a":null}`},
		{`{"a":1`, `{"a":null`, ``},
		{`{"a":1`, `{"a":{"b":null}`, ``},
		{`{"a":1`, `{"a":[null]`, `{"a":[null]}`},
		{`{"a":null,"b":1`, `{"a":null,"b":2`, `{"b":2}`},
		{`{"a":{"x":1.0},"b":1`, `{"a":{"x": 1},"b":2`, `{"b":2}`},
	} {
		a, _ := d.Parse([]byte(c.old + pad))
		b, _ := d.Parse([]byte(c.new + pad))
		if got := string(d.MergePatch(a, b)); got != c.patch {
			t.Errorf("%s to %s: %s, want %s", c.old, c.new, got, c.patch)
		}
	}
}
