package admin

import (
	"fmt"
	"strings"
	"testing"

	"pollbridge/poller"
)

// TestChange holds how patches are told: op path old new, one a line.
func TestChange(t *testing.T) {
	for _, c := range []struct {
		name, before, patch string
		merge               bool
		want                string
	}{
		{"replace", `{"a":{"b":1}}`, `[{"op":"replace","path":"/a/b","value":2}]`, false, "replace /a/b 1 2"},
		{"numbers as written", `[9007199254740993]`, `[{"op":"replace","path":"/0","value":1.10}]`, false, "replace /0 9007199254740993 1.10"},
		{"add and remove", `{"a":[1,2,3]}`, `[{"op":"remove","path":"/a/0"},{"op":"replace","path":"/a/0","value":9},{"op":"add","path":"/a/-","value":{"x":[]}},{"op":"remove","path":"/a/2"}]`, false,
			`remove /a/0 1 -;replace /a/0 2 9;add /a/- - {"x":[]};remove /a/2 {"x":[]} -`},
		{"insert moves what follows", `[{"id":1},{"id":2}]`, `[{"op":"add","path":"/1","value":{"id":9}},{"op":"remove","path":"/2/id"}]`, false, `add /1 - {"id":9};remove /2/id 2 -`},
		{"move", `{"a":[1,2],"b":{}}`, `[{"op":"move","from":"/a/1","path":"/b/c"},{"op":"replace","path":"/b/c","value":5},{"op":"remove","path":"/a/0"}]`, false, "move /a/1>/b/c - -;replace /b/c 2 5;remove /a/0 1 -"},
		{"copy", `{"a":1}`, `[{"op":"copy","from":"/a","path":"/b"},{"op":"remove","path":"/b"}]`, false, "copy /a>/b - -;remove /b 1 -"},
		{"escapes", `{"a/b":{"m~n":1,"":2}}`, `[{"op":"replace","path":"/a~1b/m~0n","value":3},{"op":"remove","path":"/a~1b/"}]`, false, "replace /a~1b/m~0n 1 3;remove /a~1b/ 2 -"},
		{"root", `1`, `[{"op":"replace","path":"","value":2}]`, false, "replace  1 2"},
		{"null", `{"a":null}`, `[{"op":"replace","path":"/a","value":1},{"op":"replace","path":"/a","value":null}]`, false, "replace /a null 1;replace /a 1 null"},
		{"unknown before", ``, `[{"op":"replace","path":"/a","value":1},{"op":"remove","path":"/b"}]`, false, "replace /a - 1;remove /b - -"},
		{"does not fit", `{"a":1}`, `[{"op":"remove","path":"/x/y"},{"op":"replace","path":"/a","value":2}]`, false, "remove /x/y - -;replace /a - 2"},
		{"merge patch", `{"a":1,"b":{"c":2,"d":3}}`, `{"b":{"c":null,"d":4,"e/f":[1]},"a":5}`, true, `replace /a 1 5;remove /b/c 2 -;replace /b/d 3 4;replace /b/e~1f - [1]`},
		{"no patch", `{}`, ``, false, ""},
	} {
		for _, bodies := range []bool{true, false} {
			pc := poller.PatchedChange{Patch: []byte(c.patch), Merge: c.merge, Before: []byte(c.before)}
			var got []string
			for _, o := range newChange(&pc, bodies).Operations {
				path := o.Path
				if o.From != "" {
					path = o.From + ">" + path
				}
				got = append(got, fmt.Sprint(o.Op, " ", path, " ", orDash(o.Old), " ", orDash(o.New)))
				if !bodies && (o.Old != nil || o.New != nil) {
					t.Errorf("%s: %v tells values", c.name, o)
				}
			}
			if text := strings.Join(got, ";"); bodies && text != c.want {
				t.Errorf("%s:\ngot  %s\nwant %s", c.name, text, c.want)
			} else if !bodies && len(got) != strings.Count(c.want, ";")+min(1, len(c.want)) {
				t.Errorf("%s: without bodies %q", c.name, got)
			}
		}
	}
}

func orDash(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}
