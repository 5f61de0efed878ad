package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// box returns an array or object of others, and of things to move about.
func (g generator) box(depth int) *gen {
	v := &gen{kind: '['}
	if g.IntN(3) == 0 {
		v.kind = '{'
	}
	for n := g.IntN(9); n > 0; n-- {
		kid := g.thing()
		if depth > 0 && g.IntN(3) > 0 {
			kid = g.box(depth - 1)
		}
		v.put(len(v.kids), kid, g.newName())
	}
	return v
}

// thing returns what is worth to be moved, or now and then a scalar.
func (g generator) thing() *gen {
	text := strings.Repeat("t", 30+g.IntN(3))
	switch g.IntN(12) {
	case 0:
		return &gen{text: strconv.Itoa(g.IntN(9))}
	case 1:
		return &gen{kind: '[', kids: []*gen{{text: strconv.Itoa(g.IntN(9))}, {text: `"` + text + `"`}}, keys: []string{"", ""}}
	}
	return &gen{kind: '{', kids: []*gen{{text: strconv.Itoa(g.IntN(60))}, {text: `"` + text + `"`}}, keys: []string{"id", "t"}}
}

func (g generator) newName() string { return names[g.IntN(4)] + strconv.Itoa(g.IntN(1000)) }

func (v *gen) put(i int, kid *gen, key string) {
	v.kids = append(v.kids[:i:i], append([]*gen{kid}, v.kids[i:]...)...)
	v.keys = append(v.keys[:i:i], append([]string{key}, v.keys[i:]...)...)
}

func (v *gen) take(i int) *gen {
	kid := v.kids[i]
	v.kids = append(v.kids[:i:i], v.kids[i+1:]...)
	v.keys = append(v.keys[:i:i], v.keys[i+1:]...)
	return kid
}

// boxes lists v and all arrays and objects in it that are no things.
func (v *gen) boxes(list []*gen) []*gen {
	if v.kind == 0 || len(v.keys) > 1 && (v.keys[1] == "t" || v.keys[1] == "") {
		return list
	}
	list = append(list, v)
	for _, k := range v.kids {
		list = k.boxes(list)
	}
	return list
}

// wander takes something out of one box and puts it into another, or only does
// one of the two.
func (g generator) wander(v *gen) {
	boxes := v.boxes(nil)
	from := boxes[g.IntN(len(boxes))]
	kid := g.thing()
	if g.IntN(5) > 0 && len(from.kids) > 0 {
		kid = from.take(g.IntN(len(from.kids)))
		if g.IntN(6) == 0 {
			return
		}
	}
	boxes = v.boxes(nil)
	to := boxes[g.IntN(len(boxes))]
	i := len(to.kids)
	if g.IntN(3) > 0 {
		i = g.IntN(i + 1)
	}
	to.put(i, kid, g.newName())
}

// across counts the moves of a patch from one array or object to another.
func across(patch []byte) (n int) {
	var operations []struct{ Op, Path, From string }
	json.Unmarshal(patch, &operations)
	for _, o := range operations {
		if o.Op == "move" && o.Path[:strings.LastIndexByte(o.Path, '/')] != o.From[:strings.LastIndexByte(o.From, '/')] {
			n++
		}
	}
	return n
}

// What wanders from one array or object to another moves there.
func TestPatchesOfWanderers(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(13, 14))}
	moves, d := 0, (*Differ)(nil)
	for range 1200 / slow {
		old, new := g.wanderers()
		checkPatch(t, Options{}, old, new)
		patch, _ := d.Diff(old, new)
		moves += across(patch)
	}
	if moves < 1/slow {
		t.Errorf("%d moves across", moves)
	}
}

// wanderers returns a document and one in which things have wandered.
func (g generator) wanderers() (old, new []byte) {
	v := g.box(1 + g.IntN(3))
	var a, b bytes.Buffer
	pad := fmt.Sprintf(`{"pad":"%s","x":`, strings.Repeat("p", 500))
	a.WriteString(pad)
	b.WriteString(pad)
	g.write(&a, v, false)
	for n := 1 + g.IntN(8); n > 0; n-- {
		g.wander(v)
	}
	g.write(&b, v, false)
	a.WriteByte('}')
	b.WriteByte('}')
	return a.Bytes(), b.Bytes()
}

// Of many only some move, and what is left is added and removed where it belongs.
func TestPatchesOfManyWanderers(t *testing.T) {
	var a, b [3][]string
	for i := range 4 * mostTransfers {
		s := fmt.Sprintf(`{"id":%d,"text":"%s"}`, i, strings.Repeat("t", 50))
		a[0] = append(a[0], s)
		stays := fmt.Sprintf(`{"id":%d,"text":"%s"}`, 10_000+i, strings.Repeat("t", 200))
		a[2], b[2] = append(a[2], stays), append(b[2], stays)
		if to := i * 7 % 3; to != 1 {
			b[to] = append(b[to], s)
		}
	}
	write := func(l [3][]string) []byte {
		return fmt.Appendf(nil, `{"pad":"%s","a":[%s],"b":[[],[%s]]}`, strings.Repeat("p", 100_000), strings.Join(l[0], ","), strings.Join(l[2], ","))
	}
	checkPatch(t, Options{}, write(a), write(b))
	var d *Differ
	old, _ := d.Parse(write(a))
	if _, patch, _ := d.Next(old, write(b)); across(patch) != mostTransfers {
		t.Errorf("%d moves across", across(patch))
	}
}
