package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// tree is a JSON value; numbers are *big.Rat or, when huge, their text.
type tree struct {
	raw  json.RawMessage
	kind byte
	obj  map[string]*tree
	arr  []*tree
	val  string
}

func parseTree(raw []byte) *tree {
	raw = bytes.TrimSpace(raw)
	t := &tree{raw: raw, kind: raw[0]}
	switch raw[0] {
	case '{':
		var m map[string]json.RawMessage
		json.Unmarshal(raw, &m)
		t.obj = map[string]*tree{}
		for k, v := range m {
			t.obj[k] = parseTree(v)
		}
	case '[':
		var a []json.RawMessage
		json.Unmarshal(raw, &a)
		for _, v := range a {
			t.arr = append(t.arr, parseTree(v))
		}
	case '"':
		t.val = string(raw)
	default:
		t.val = string(raw)
		if r, ok := new(big.Rat).SetString(t.val); ok && len(t.val) < 30 && !strings.ContainsAny(t.val, "eE") {
			t.kind, t.val = '0', r.String()
		}
	}
	return t
}

func (a *tree) equal(b *tree) bool {
	if a.kind != b.kind || a.val != b.val || len(a.arr) != len(b.arr) || len(a.obj) != len(b.obj) {
		return false
	}
	for i := range a.arr {
		if !a.arr[i].equal(b.arr[i]) {
			return false
		}
	}
	for k, v := range a.obj {
		if w, ok := b.obj[k]; !ok || !v.equal(w) {
			return false
		}
	}
	return true
}

type slowDiff struct {
	d       *Differ
	ops     []string
	changed bool
}

func (w *slowDiff) ignored(path []string) bool {
	if w.d == nil {
		return false
	}
	for _, p := range w.d.ignore {
		if len(p) <= len(path) && !slices.ContainsFunc(seq(len(p)), func(i int) bool { return p[i] != "*" && p[i] != path[i] }) {
			return true
		}
	}
	return false
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func (w *slowDiff) op(name string, path []string, value []byte) {
	if !w.ignored(path) {
		w.changed = true
	}
	p := ""
	for _, t := range path {
		p += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(t)
	}
	q, _ := json.Marshal(p)
	s := fmt.Sprintf(`{"op":%q,"path":%s`, name, q)
	if value != nil {
		var b bytes.Buffer
		json.Compact(&b, value)
		s += `,"value":` + b.String()
	}
	w.ops = append(w.ops, s+"}")
}

func (w *slowDiff) value(path []string, a, b *tree) {
	switch {
	case a.equal(b):
	case a.obj != nil && b.obj != nil:
		for _, k := range slices.Sorted(maps.Keys(a.obj)) {
			if v, ok := b.obj[k]; ok {
				w.value(append(path[:len(path):len(path)], k), a.obj[k], v)
			} else {
				w.op("remove", append(path[:len(path):len(path)], k), nil)
			}
		}
		for _, k := range slices.Sorted(maps.Keys(b.obj)) {
			if _, ok := a.obj[k]; !ok {
				w.op("add", append(path[:len(path):len(path)], k), b.obj[k].raw)
			}
		}
	case a.kind == '[' && b.kind == '[':
		for i := range min(len(a.arr), len(b.arr)) {
			w.value(append(path[:len(path):len(path)], strconv.Itoa(i)), a.arr[i], b.arr[i])
		}
		for i := len(a.arr) - 1; i >= len(b.arr); i-- {
			w.op("remove", append(path[:len(path):len(path)], strconv.Itoa(i)), nil)
		}
		for i := len(a.arr); i < len(b.arr); i++ {
			w.op("add", append(path[:len(path):len(path)], strconv.Itoa(i)), b.arr[i].raw)
		}
	default:
		w.op("replace", path, b.raw)
	}
}

func (w *slowDiff) patch(doc *Document) []byte {
	p := []byte("[" + strings.Join(w.ops, ",") + "]")
	if len(p) >= len(doc.AppendCompact(nil)) {
		return nil
	}
	return p
}
