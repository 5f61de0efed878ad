package diff

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// JSONTestSuite (github.com/nst/JSONTestSuite): what is valid is what
// encoding/json says, and between all valid ones the patches are exact.
func TestJSONTestSuite(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../../shared/suites/JSONTestSuite/*.json")
	if len(files) == 0 {
		t.Skip("JSONTestSuite is not beside the project")
	}
	var d *Differ
	var valid []*Document
	trees := map[*Document]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := d.Parse(text)
		if json.Valid(text) != (err == nil) {
			t.Errorf("%s: %v", file, err)
		}
		name := filepath.Base(file)
		if err != nil && strings.HasPrefix(name, "y_") || err == nil && strings.HasPrefix(name, "n_") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && utf8.Valid(text) {
			valid = append(valid, doc)
			trees[doc] = readTree(text).String()
		}
	}
	// Each document twice in a wrapper, so that there is something to save.
	wrap := func(doc *Document) []byte {
		return fmt.Appendf(nil, `{"pad":"%s","list":[1,%s]}`, strings.Repeat("p", 150), doc.Bytes())
	}
	for _, a := range valid {
		old, err := d.Parse(wrap(a))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range valid {
			text := wrap(b)
			new, patch, err := d.Next(old, text)
			if err != nil {
				t.Fatal(err)
			}
			if (new == old) != (trees[a] == trees[b]) {
				t.Fatalf("%s and %s: same is %v", a.Bytes(), b.Bytes(), new == old)
			}
			if patch == nil {
				continue
			}
			if err := judge(old.Bytes(), text, patch); err != nil {
				t.Fatalf("%s to %s: %s: %v", a.Bytes(), b.Bytes(), patch, err)
			}
		}
	}
}

// The real feeds, poll by poll.
func TestFeeds(t *testing.T) {
	for name, polls := range feeds(t, "json") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d *Differ
			var doc *Document
			budget := 1_000_000 / slow // bytes to be judged: the judge is slow
			if testing.Short() {
				budget /= 10
			}
			for i, poll := range polls {
				if doc == nil {
					doc, _ = d.Parse(poll)
					continue
				}
				next, patch, err := d.Next(doc, poll)
				if err != nil {
					if json.Valid(poll) {
						t.Fatal(err)
					}
					continue
				}
				if patch != nil && budget > 0 {
					budget -= len(poll)
					if err := judge(doc.Bytes(), poll, patch); err != nil {
						t.Fatalf("poll %d: %.2000s", i, err)
					}
				}
				if got, want := next.nodes, scratchIndex(next.raw).nodes; len(got) != len(want) {
					t.Fatalf("poll %d: %d nodes, want %d", i, len(got), len(want))
				}
				doc = next
			}
		})
	}
}

// Text feeds, as lines.
func TestTextFeeds(t *testing.T) {
	for _, kind := range []string{"csv", "xml", "html"} {
		for name, polls := range feeds(t, kind) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var d *Differ
				doc, err := d.Parse(Lines(polls[0]))
				if err != nil {
					t.Fatal(err)
				}
				for i, poll := range polls[1:min(len(polls), 12)] {
					next, patch, err := d.Next(doc, Lines(poll))
					if err != nil {
						t.Fatal(err)
					}
					if patch != nil {
						if err := judge(doc.Bytes(), next.Bytes(), patch); err != nil {
							t.Fatalf("poll %d: %.2000s", i, err)
						}
					}
					doc = next
				}
			})
		}
	}
}

// adversaries are pairs made to cost a differ as much as can be.
func adversaries() map[string][2]string {
	repeat := func(n int, f func(i int) string) string {
		var list []string
		for i := range n {
			list = append(list, f(i))
		}
		return strings.Join(list, ",")
	}
	array := func(n int, f func(i int) string) string { return "[" + repeat(n, f) + "]" }
	record := func(i, v int) string { return fmt.Sprintf(`{"id":%d,"name":"record %d","v":%d}`, i, i, v) }
	nested := func(in string, n int) string {
		return strings.Repeat("["+in, n) + "1" + strings.Repeat("]", n)
	}
	wanderer := func(i int) string { return fmt.Sprintf(`{"id":%d,"text":"%s"}`, i, strings.Repeat("t", 300)) }
	deepDown := func(a, b string) string {
		return strings.Repeat("[", deep-10) + a + "," + b + strings.Repeat("]", deep-10)
	}
	otherwise := func(one, in string) string {
		for range deep/2 - 5 {
			in = "[[" + one + "],[" + in + "],[" + one + "]]"
		}
		return in
	}
	const n = 20000
	return map[string][2]string{
		"all moved":      {array(n, func(i int) string { return record(i, 0) }), array(n, func(i int) string { return record(i*7919%n, 0) })},
		"reversed":       {array(n, func(i int) string { return record(i, 0) }), array(n, func(i int) string { return record(n-i, 0) })},
		"moved, changed": {array(n, func(i int) string { return record(i, 0) }), array(n, func(i int) string { return record(i*7919%n, 1) })},
		"renamed": {"{" + repeat(n, func(i int) string { return fmt.Sprintf(`"a%d":%d`, i, i) }) + "}",
			"{" + repeat(n, func(i int) string { return fmt.Sprintf(`"b%d":%d`, i, i) }) + "}"},
		"members reversed": {"{" + repeat(n, func(i int) string { return fmt.Sprintf(`"a%d":%d`, i, i) }) + "}",
			"{" + repeat(n, func(i int) string { return fmt.Sprintf(`"a%d":%d`, n-i, i) }) + "}"},
		"one name":     {"{" + repeat(n, func(i int) string { return fmt.Sprintf(`"a":%d`, i) }) + "}", "{" + repeat(n, func(i int) string { return fmt.Sprintf(`"a":%d`, i+1) }) + "}"},
		"tiny":         {array(500_000, func(i int) string { return fmt.Sprint(i % 10) }), array(500_000, func(i int) string { return fmt.Sprint(i * i % 7) })},
		"empty":        {array(300_000, func(int) string { return "{}" }), array(300_000, func(i int) string { return "[]" })},
		"deep":         {nested("", maxDepth), nested("0,", maxDepth)},
		"deep, wide":   {nested("[],[],[],[],[],[],[],[],[],[],0,", maxDepth-1), nested("[],[],[],[],[],[],[],[],[],[],1,", maxDepth-1)},
		"deep objects": {strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth), strings.Repeat(`{"a":`, maxDepth) + "2" + strings.Repeat("}", maxDepth)},
		"long string":  {`["` + strings.Repeat("ab", 500_000) + `"]`, `["` + strings.Repeat("ba", 500_000) + `"]`},
		"long number":  {"[" + strings.Repeat("1", 1_000_000) + "]", "[" + strings.Repeat("1", 999_999) + "2]"},
		"wandering": {`{"a":` + array(n/8, wanderer) + `,"b":[]}`, `{"a":` + array(n/16, func(i int) string { return wanderer(2 * i) }) +
			`,"b":` + array(n/16, func(i int) string { return wanderer(n/8 - 1 - 2*i) }) + "}"},
		"wandering deep down": {deepDown(array(n/8, wanderer), "[]"), deepDown(array(n/16, func(i int) string { return wanderer(2 * i) }), array(n/16, func(i int) string { return wanderer(2*i + 1) }))},
		"spelled otherwise, around a change": {otherwise("1.0", array(n/4, func(i int) string { return record(i, 10) })+",[1]"),
			otherwise("1", array(n/4, func(i int) string { return fmt.Sprintf(`{ "name":"record %d", "v":1e1,"id":%d }`, i, i) })+",[2]")},
		"spelled otherwise": {array(n, func(i int) string { return record(i, 10) }),
			array(n, func(i int) string { return fmt.Sprintf(`{ "name":"record %d", "v":1e1,"id":%d }`, i, i) })},
	}
}

// What json.Valid takes is the measure. Five times that is aimed at; a differ that
// is not linear takes thousands of times as long. Of processor times the least
// count, and what fails is twice what is aimed at, so that neither other work nor
// another machine decides.
func TestAdversaries(t *testing.T) {
	var d *Differ
	for name, pair := range adversaries() {
		t.Run(name, func(t *testing.T) {
			old, err := d.Parse([]byte(pair[0]))
			if err != nil {
				t.Fatal(err)
			}
			text := []byte(pair[1])
			var patch []byte
			const most = time.Hour
			valid, next := most, most
			for try := 0; try < 3 || slow == 1 && next > 5*valid && try < 20; try++ {
				start := processTime()
				json.Valid(text)
				valid = min(valid, processTime()-start)
				start = processTime()
				if _, patch, err = d.Next(old, text); err != nil {
					t.Fatal(err)
				}
				next = min(next, processTime()-start)
			}
			if slow > 1 {
				return
			}
			ratio := float64(next) / float64(valid)
			t.Logf("%.2f times json.Valid, %d bytes for %d", ratio, len(patch), len(text))
			if ratio > 10 {
				t.Errorf("%.0f times json.Valid", ratio)
			}
		})
	}
}
