package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// A vector is one case of a file under testdata/patch: the result is want,
// byte for byte, or an error that contains Error.
type vector struct {
	Comment          string
	Doc, Patch, Want json.RawMessage
	Error            string
}

func readVectors(t *testing.T, file string) (all []vector) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestVectors(t *testing.T) {
	files, _ := filepath.Glob("testdata/patch/*.json")
	if len(files) == 0 {
		t.Fatal("no vectors")
	}
	for _, file := range files {
		apply := Apply
		if filepath.Base(file) == "merge.json" {
			apply = ApplyMerge
		}
		for i, v := range readVectors(t, file) {
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(file), i), func(t *testing.T) {
				got, err := apply(v.Doc, v.Patch)
				switch {
				case v.Error == "" && err != nil:
					t.Errorf("%s: %v", v.Comment, err)
				case v.Error == "" && !bytes.Equal(got, v.Want):
					t.Errorf("%s: got  %s\nwant %s", v.Comment, got, v.Want)
				case v.Error != "" && (err == nil || !strings.Contains(err.Error(), v.Error)):
					t.Errorf("%s: got error %v, want one with %q", v.Comment, err, v.Error)
				case v.Error != "" && got != nil:
					t.Errorf("%s: got %s with the error", v.Comment, got)
				}
			})
		}
	}
}

// TestSuite runs github.com/json-patch/json-patch-tests.
func TestSuite(t *testing.T) {
	files, _ := filepath.Glob("../../shared/suites/json-patch-tests/*.json")
	if len(files) == 0 {
		t.Skip("../../shared/suites/json-patch-tests is not there")
	}
	run := 0
	for _, file := range files {
		var cases []struct {
			Comment, Error       string
			Doc, Patch, Expected json.RawMessage
			Disabled             bool
		}
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &cases)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range cases {
			if c.Error == "" && c.Expected == nil {
				c.Expected = c.Doc // a test operation alone
			}
			run++
			got, err := Apply(c.Doc, c.Patch)
			switch {
			case c.Error != "" && err == nil && !c.Disabled: // disabled: two "op" members, of which the last counts here
				t.Errorf("%s %d: got %s, want an error: %s", filepath.Base(file), i, got, c.Error)
			case c.Error == "" && err != nil:
				t.Errorf("%s %d (%s): %v", filepath.Base(file), i, c.Comment, err)
			case c.Error == "" && !reflect.DeepEqual(decode(t, got), decode(t, c.Expected)):
				t.Errorf("%s %d (%s): got %s, want %s", filepath.Base(file), i, c.Comment, got, c.Expected)
			}
		}
	}
	if run < 100 {
		t.Errorf("ran %d cases, want more than 100", run)
	}
	t.Logf("%d cases", run)
}

func decode(t *testing.T, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func TestInvalidText(t *testing.T) {
	for _, c := range []struct{ doc, patch, want string }{
		{``, `[]`, `the document: invalid JSON: it ends at byte 0, want a value`},
		{`{} x`, `[]`, `the document: invalid JSON: 'x' at byte 3, want the end`},
		{`{"a":01}`, `[]`, `the document: invalid JSON: '1' at byte 6, want "," or "}"`},
		{`[1,]`, `[]`, `the document: invalid JSON: ']' at byte 3, want a value`},
		{`[`, `[]`, `the document: invalid JSON: it ends at byte 1, want a value`},
		{`{}`, `[{"op":"add","path":"/a","value":tru}]`, `the patch: invalid JSON: '}' at byte 36, want true`},
		{strings.Repeat("[", maxDepth+1), `[]`, `the document: invalid JSON: nested deeper than 10000 at byte 10000`},
	} {
		for _, apply := range []func(_, _ []byte) ([]byte, error){Apply, ApplyMerge} {
			if _, err := apply([]byte(c.doc), []byte(c.patch)); err == nil || err.Error() != c.want {
				t.Errorf("%.40q, %q: got error %v, want %s", c.doc, c.patch, err, c.want)
			}
		}
	}
}

// TestApplyIsolated: neither slice is changed, nor kept in the result.
func TestApplyIsolated(t *testing.T) {
	doc, patch := []byte(`{"a":[1,2],"b":{}}`), []byte(`[{"op":"add","path":"/b/c","value":[3]}]`)
	for _, ops := range [][]byte{patch, []byte(`[]`)} {
		keptDoc, keptOps := bytes.Clone(doc), bytes.Clone(ops)
		got, err := Apply(doc, ops)
		if err != nil {
			t.Fatal(err)
		}
		want := string(got)
		if !bytes.Equal(doc, keptDoc) || !bytes.Equal(ops, keptOps) {
			t.Fatalf("changed its input: %s, %s", doc, ops)
		}
		clear(doc)
		clear(ops)
		if string(got) != want {
			t.Errorf("the result %q lives in the input, want %q", got, want)
		}
		copy(doc, keptDoc)
	}
}

// TestManyMembers takes the way by the index, with doubles and without.
func TestManyMembers(t *testing.T) {
	const n = 100
	for _, doubled := range []bool{false, true} {
		var doc, patch, want []string
		for i := range n {
			doc = append(doc, fmt.Sprintf(`"k%d":%d`, i, i))
			switch i % 3 {
			case 0:
				patch = append(patch, fmt.Sprintf(`{"op":"remove","path":"/k%d"}`, i))
			case 1:
				patch = append(patch, fmt.Sprintf(`{"op":"replace","path":"/k%d","value":"new"}`, i))
				want = append(want, fmt.Sprintf(`"k%d":"new"`, i))
			default:
				want = append(want, doc[i])
			}
		}
		if doubled {
			doc = append([]string{`"k0":"hidden"`}, doc...)
		}
		patch = append(patch, `{"op":"add","path":"/k0","value":"back"}`, `{"op":"replace","path":"/k0","value":"again"}`)
		want = append(want, `"k0":"again"`)
		join := func(open string, s []string, end string) []byte { return []byte(open + strings.Join(s, ",") + end) }
		got, err := Apply(join("{", doc, "}"), join("[", patch, "]"))
		if err != nil || !bytes.Equal(got, join("{", want, "}")) {
			t.Errorf("doubled %t: got %s, %v\nwant %s", doubled, got, err, join("{", want, "}"))
		}
	}
}

// TestGrowingObject removes a member before there are many.
func TestGrowingObject(t *testing.T) {
	patch := `[{"op":"add","path":"/a","value":1},{"op":"remove","path":"/a"}`
	for i := range manyMembers {
		patch += fmt.Sprintf(`,{"op":"add","path":"/k%d","value":%d}`, i, i)
	}
	if _, err := Apply([]byte(`{}`), []byte(patch+`,{"op":"remove","path":"/k5"},{"op":"add","path":"/k5","value":1},{"op":"test","path":"/k5","value":1}]`)); err != nil {
		t.Error(err)
	}
	if got, err := Apply([]byte(`{}`), []byte(patch+`,{"op":"replace","path":"/a","value":1}]`)); err == nil {
		t.Errorf("what was removed is still there: %s", got)
	}
}

// TestCopyBomb: a patch of a few hundred bytes does not fill the memory.
func TestCopyBomb(t *testing.T) {
	op := `{"op":"copy","from":"","path":"/-"}`
	patch := "[" + strings.Repeat(op+",", 60) + op + "]"
	_, err := Apply([]byte(`["`+strings.Repeat("x", 1000)+`"]`), []byte(patch))
	if err == nil || !strings.Contains(err.Error(), "copies more than") {
		t.Errorf("got error %v", err)
	}
}
