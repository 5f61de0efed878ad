package diff

import (
	"bytes"
	"math/rand/v2"
)

// A generator makes small JSON texts over a tiny alphabet, so that equal
// members, equal elements and near misses are frequent.
type generator struct{ *rand.Rand }

// A tree is a value of the generator's: a scalar's text, or members.
type gen struct {
	text string // of a scalar
	kind byte   // '[', '{' or 0
	kids []*gen
	keys []string
}

var scalars = []string{"0", "1", "12", "123", "-1", "1.0", "1e0", "10e-1", "9007199254740993", "9007199254740992",
	`""`, `"a"`, `"b"`, `"\u0061"`, `"é"`, `"\u00e9"`, `"\/"`, `"/"`, `"\ud800"`, `"\ud801"`, `"x\\"`, "true", "false", "null", "-0", "0e5", "0e16", "-0.5", "-0.50", "0.05e1", "1e400", "0.10"}

var names = []string{`a`, `b`, `c`, `id`, `\u0061`, ``, `~`, `/`, `-`, `0`, `1`, `__proto__`, `~1`, `é`, `\ud800`}

func (g generator) text(list []string, few int) string {
	if g.IntN(3) > 0 {
		return list[g.IntN(few)]
	}
	return list[g.IntN(len(list))]
}

func (g generator) value(depth int) *gen {
	r := g.IntN(6)
	if depth <= 0 || r < 2 {
		return &gen{text: g.text(scalars, 4)}
	}
	v := &gen{kind: '['}
	if r < 4 {
		v.kind = '{'
	}
	like := g.value(depth - 1)
	for n := g.IntN(7); n > 0; n-- {
		kid := g.value(depth - 1)
		if g.IntN(2) == 0 {
			kid = g.edit(like.clone(), depth-2)
		}
		v.kids = append(v.kids, kid)
		v.keys = append(v.keys, g.text(names, 4))
	}
	return v
}

func (v *gen) clone() *gen {
	w := &gen{text: v.text, kind: v.kind, keys: append([]string{}, v.keys...)}
	for _, k := range v.kids {
		w.kids = append(w.kids, k.clone())
	}
	return w
}

// change edits v in place, or replaces it, n times.
func (g generator) change(v *gen, n int) *gen {
	for ; n > 0; n-- {
		v = g.edit(v, 2)
	}
	return v
}

func (g generator) edit(v *gen, depth int) *gen {
	if v.kind == 0 || g.IntN(20) == 0 {
		return g.value(depth)
	}
	i := 0
	if len(v.kids) > 0 {
		i = g.IntN(len(v.kids))
	}
	switch r := g.IntN(10); {
	case r < 2 || len(v.kids) == 0:
		v.kids = append(v.kids[:i], append([]*gen{g.value(depth)}, v.kids[i:]...)...)
		v.keys = append(v.keys[:i], append([]string{g.text(names, 4)}, v.keys[i:]...)...)
	case r < 4:
		v.kids = append(v.kids[:i], v.kids[i+1:]...)
		v.keys = append(v.keys[:i], v.keys[i+1:]...)
	case r < 6:
		j := g.IntN(len(v.kids))
		kid, key := v.kids[i], v.keys[i]
		v.kids = append(v.kids[:i], v.kids[i+1:]...)
		v.keys = append(v.keys[:i], v.keys[i+1:]...)
		v.kids = append(v.kids[:j], append([]*gen{kid}, v.kids[j:]...)...)
		v.keys = append(v.keys[:j], append([]string{key}, v.keys[j:]...)...)
	default:
		v.kids[i] = g.edit(v.kids[i], depth-1)
	}
	return v
}

// write prints v; with space, white space is strewn in.
func (g generator) write(b *bytes.Buffer, v *gen, space bool) {
	ws := func() {
		if space && g.IntN(4) == 0 {
			b.WriteString([]string{" ", "\n", "\n        ", "\t", "\r\n"}[g.IntN(5)])
		}
	}
	ws()
	if v.kind == 0 {
		b.WriteString(v.text)
		ws()
		return
	}
	b.WriteByte(v.kind)
	ws()
	for i, k := range v.kids {
		if i > 0 {
			b.WriteByte(',')
		}
		if v.kind == '{' {
			ws()
			b.WriteString(`"` + v.keys[i] + `"`)
			ws()
			b.WriteByte(':')
		}
		g.write(b, k, space)
	}
	b.WriteByte(v.kind + 2)
	ws()
}

// pair returns a document and one that came of it by a few edits.
func (g generator) pair() (old, new []byte) {
	v := g.value(1 + g.IntN(4))
	var a, b bytes.Buffer
	space := g.IntN(4)
	g.write(&a, v, space&1 != 0)
	g.write(&b, g.change(v, g.IntN(5)), space&2 != 0)
	return a.Bytes(), b.Bytes()
}

// damage makes a text invalid, mostly.
func (g generator) damage(text []byte) []byte {
	b := bytes.Clone(text)
	if len(b) == 0 {
		return b
	}
	i := g.IntN(len(b))
	const bytes = `{}[]",:0 e-.\tn`
	switch g.IntN(4) {
	case 0:
		return b[:i]
	case 1:
		return append(b[:i], b[i+1:]...)
	case 2:
		return []byte(string(b[:i]) + string(bytes[g.IntN(len(bytes))]) + string(b[i:]))
	}
	b[i] = bytes[g.IntN(len(bytes))]
	return b
}
