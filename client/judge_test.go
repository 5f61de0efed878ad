package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// The judge of Apply is github.com/evanphx/json-patch. judge compares them
// on one input, and leaves out where they are known to differ for a reason.
func judge(t *testing.T, doc, patch []byte) (applied bool) {
	t.Helper()
	got, err := Apply(doc, patch)
	want, judgeErr, known := askJudge(doc, patch)
	if known {
		return false
	}
	if (err == nil) != (judgeErr == nil) {
		t.Fatalf("doc %s\npatch %s\ngot %s, %v\njudge says %s, %v", doc, patch, got, err, want, judgeErr)
	}
	if err == nil && !reflect.DeepEqual(decode(t, got), decode(t, want)) {
		t.Fatalf("doc %s\npatch %s\ngot %s\njudge says %s", doc, patch, got, want)
	}
	return err == nil
}

// askJudge also tells whether the input is one that the judge is wrong about,
// or sees otherwise for a stated reason.
func askJudge(doc, patch []byte) (result []byte, err error, known bool) {
	defer func() {
		if recover() != nil {
			known = true // it panics on some input
		}
	}()
	doc, patch = bytes.Trim(doc, " \t\r\n"), bytes.Trim(patch, " \t\r\n") // it looks at the first byte to see what they are
	if !json.Valid(doc) || !json.Valid(patch) || peculiar(doc) || peculiar(patch) {
		return nil, nil, true
	}
	if c := doc[0]; c != '{' && c != '[' {
		return nil, nil, true // it takes objects and arrays only
	}
	if patch[0] != '[' {
		return nil, nil, true // it takes null for a patch
	}
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err, true // it decodes into a type of its own first
	}
	for _, o := range p {
		if known := differs(o); known {
			return nil, nil, true
		}
	}
	options := jsonpatch.NewApplyOptions()
	options.SupportNegativeIndices = false
	options.EscapeHTML = false
	result, err = p.ApplyWithOptions(doc, options)
	return result, err, false
}

// peculiar texts are those that encoding/json, on which the judge is built,
// reads otherwise than JSON.parse: escapes in names (it compares them as
// written), members that occur twice (it merges them), invalid UTF-8.
func peculiar(text []byte) bool {
	if bytes.ContainsAny(text, "\\") || !bytes.Equal(text, bytes.ToValidUTF8(text, nil)) {
		return true
	}
	n, err := scan(text)
	return err != nil || doubled(&n)
}

func doubled(n *node) bool {
	t := n.open()
	if t == nil {
		return false
	}
	for i := range t.nodes {
		if t.names != nil && t.find(unquote(t.names[i].written)) != i || doubled(&t.nodes[i]) {
			return true
		}
	}
	return false
}

func differs(o jsonpatch.Operation) bool {
	path, err := o.Path()
	from, fromErr := o.From()
	switch {
	case err != nil || (fromErr != nil && (o.Kind() == "move" || o.Kind() == "copy")):
		return true // it may find that out too late, or never
	case o.Kind() == "test" || o["value"] == nil && o.Kind() != "remove" && o.Kind() != "move" && o.Kind() != "copy":
		return true // it compares numbers as written, null with absent as equal, and takes a missing value for null
	case strings.Contains(path+"/", "//") || path == "" || fromErr == nil && strings.Contains(from+"/", "//") || from == "" && fromErr == nil:
		return true // it has its own idea of the whole document and of the empty name
	case strings.Contains(path+from, "~") || path[0] != '/' || fromErr == nil && from[0] != '/':
		return true // it takes any tilde, and any beginning
	case o.Kind() == "move" && strings.HasPrefix(path, from):
		return true // it moves values into themselves
	}
	return strings.Contains(path+from, "+") || hasLeadingZero(path) || hasLeadingZero(from) // it parses indices with Atoi
}

func hasLeadingZero(pointer string) bool {
	for _, token := range strings.Split(pointer, "/") {
		if len(token) > 1 && token[0] == '0' {
			return true
		}
	}
	return false
}

// TestJudge applies random patches to random small trees over few names, so
// that most pointers hit something.
func TestJudge(t *testing.T) {
	r := rand.New(rand.NewPCG(6902, 7396))
	applied := 0
	const rounds = 4_000
	for range rounds {
		doc := randomValue(r, 3)
		if judge(t, []byte(doc), []byte(randomPatch(r, decode(t, []byte(doc))))) {
			applied++
		}
	}
	if applied < rounds/5 {
		t.Errorf("only %d of %d patches applied", applied, rounds)
	}
	t.Logf("%d of %d patches applied", applied, rounds)
}

func randomValue(r *rand.Rand, depth int) string {
	if depth == 0 || depth < 3 && r.IntN(4) == 0 {
		return []string{`1`, `1.0`, `"a"`, `null`, `true`, `""`}[r.IntN(6)]
	}
	var parts []string
	if r.IntN(2) == 0 {
		for range r.IntN(5) {
			parts = append(parts, randomValue(r, depth-1))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	for _, name := range r.Perm(4)[:r.IntN(5)] {
		parts = append(parts, fmt.Sprintf("%q:%s", names[name], randomValue(r, depth-1)))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

var names = []string{"a", "0", "1", "b"}

// randomPointer mostly follows the document.
func randomPointer(r *rand.Rand, doc any) (p string) {
	for range 1 + r.IntN(3) {
		token := []string{"a", "0", "1", "b", "2", "-"}[r.IntN(6)]
		switch v := doc.(type) {
		case []any:
			if i := r.IntN(len(v) + 1); r.IntN(8) > 0 {
				token, doc = strconv.Itoa(i), append(v, nil)[i]
			}
		case map[string]any:
			if keys := slices.Sorted(maps.Keys(v)); len(keys) > 0 && r.IntN(8) > 0 {
				token = keys[r.IntN(len(keys))]
				doc = v[token]
			}
		default:
			if p != "" {
				return p
			}
		}
		p += "/" + token
	}
	return p
}

func randomPatch(r *rand.Rand, doc any) string {
	var ops []string
	for range 1 + r.IntN(3) {
		o := map[string]any{"op": []string{"add", "add", "remove", "replace", "move", "copy"}[r.IntN(6)], "path": randomPointer(r, doc)}
		switch o["op"] {
		case "add", "replace":
			o["value"] = json.RawMessage(randomValue(r, 2))
		case "move", "copy":
			o["from"] = randomPointer(r, doc)
		}
		text, _ := json.Marshal(o)
		ops = append(ops, string(text))
	}
	return "[" + strings.Join(ops, ",") + "]"
}

// FuzzApply: never a panic, always valid JSON, and what the judge says.
func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":2}],"c":null}`), []byte(`[{"op":"add","path":"/a/0","value":1.0},{"op":"move","from":"/a/2/b","path":"/d"}]`))
	f.Add([]byte(`[[1],[2],3]`), []byte(`[{"op":"copy","from":"/0","path":"/1/0"},{"op":"remove","path":"/2"},{"op":"replace","path":"/0/0","value":{}}]`))
	f.Add([]byte(`{"a":1,"a":2,"\u0061":3}`), []byte(`[{"op":"test","path":"/a","value":3e0},{"op":"remove","path":"/a"}]`))
	f.Add([]byte("\n[]"), []byte(" []"))
	f.Add([]byte("\v[]"), []byte("[]"))
	f.Add([]byte(`1`), []byte(`[{"op":"replace","path":"","value":[]},{"op":"add","path":"/-","value":"\ud800"}]`))
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		got, err := Apply(doc, patch)
		if err == nil && !json.Valid(got) {
			t.Fatalf("doc %q\npatch %q\ngot %q, which is not JSON", doc, patch, got)
		}
		judge(t, doc, patch)
		if got, err = ApplyMerge(doc, patch); err == nil && !json.Valid(got) {
			t.Fatalf("doc %q\nmerge patch %q\ngot %q, which is not JSON", doc, patch, got)
		}
	})
}

// TestMergeJudge does the same for merge patches.
func TestMergeJudge(t *testing.T) {
	r := rand.New(rand.NewPCG(7396, 6902))
	for range 2_000 {
		doc, patch := objectAround(randomValue(r, 3)), objectAround(randomValue(r, 3))
		got, err := ApplyMerge([]byte(doc), []byte(patch))
		if err != nil {
			t.Fatal(err)
		}
		if want := mergeModel(decode(t, []byte(doc)), decode(t, []byte(patch))); !reflect.DeepEqual(decode(t, got), want) {
			t.Fatalf("doc %s\npatch %s\ngot %s\nwant %v", doc, patch, got, want)
		}
	}
}

func objectAround(value string) string { return `{"a":` + value + `,"b":` + value + `}` }

// mergeModel is the pseudocode of RFC 7396 section 2 on decoded values.
func mergeModel(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for name, value := range p {
		if value == nil {
			delete(t, name)
		} else {
			t[name] = mergeModel(t[name], value)
		}
	}
	return t
}
