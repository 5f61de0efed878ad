package diff

import (
	"fmt"
	"slices"
	"testing"
)

// TestSurvey: what two answers tell.
func TestSurvey(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		options        Options
		changes        string // pointer old new count
		arrays         string
	}{
		{name: "nothing", old: `{"a":1.0}`, new: ` {"a":1}`, changes: "[]", arrays: "[]"},
		{name: "members", old: `{"a":1,"b":{"c/d":1,"~":2},"gone":3}`, new: `{"a":2,"b":{"c/d":2,"~":2},"new":4}`,
			changes: `[{/a 1 2 1} {/b/c~1d 1 2 1} {/gone 3  1} {/new  4 1}]`, arrays: "[]"},
		{name: "kinds", old: `{"a":[1],"b":{}}`, new: `{"a":{"x":1},"b":null}`, changes: `[{/a [1] {"x":1} 1} {/b {} null 1}]`, arrays: "[]"},
		{name: "elements by identity", changes: `[{/rows/*/seen 6 7 2}]`, arrays: "[{/rows 3 3 3 id}]",
			old: `{"rows":[{"id":1,"seen":1,"x":"a"},{"id":2,"seen":5,"x":"b"},{"id":3,"seen":6,"x":"c"}]}`,
			new: `{"rows":[{"id":3,"seen":7,"x":"c"},{"id":1,"seen":2,"x":"a"},{"id":2,"seen":5,"x":"b"}]}`},
		{name: "a name like one is preferred", changes: `[{/*/v 1 2 1}]`, arrays: "[{ 2 2 2 station_id}]",
			old: `[{"name":"a","station_id":"x1","v":1},{"name":"b","station_id":"x2","v":1}]`,
			new: `[{"name":"a","station_id":"x1","v":2},{"name":"b","station_id":"x2","v":1}]`},
		{name: "identity in an object", changes: `[{/*/n 1 2 1}]`, arrays: "[{ 2 2 2 /properties/url}]",
			old: `[{"n":1,"properties":{"url":"u/1","m":1}},{"n":1,"properties":{"url":"u/2","m":1}}]`,
			new: `[{"n":2,"properties":{"url":"u/1","m":1}},{"n":1,"properties":{"url":"u/2","m":1}}]`},
		{name: "equal arrays tell, too", old: `[{"id":1},{"id":2}]`, new: `[{"id":1},{"id":2}]`, changes: "[]", arrays: "[{ 2 2 2 id}]"},
		{name: "no identity", old: `[{"a":1},{"a":1}]`, new: `[{"a":1},{"a":2}]`, changes: "[{/*/a 1 2 1}]", arrays: "[{ 2 2 1 }]"},
		{name: "added and removed", old: `[{"id":1},{"id":2}]`, new: `[{"id":2},{"id":3},{"id":4}]`,
			changes: `[{/*  {"id":3} 3}]`, arrays: "[{ 2 3 1 id}]"},
		{name: "emptied", old: `{"jobs":[1,2]}`, new: `{"jobs":[]}`, changes: `[{/jobs/* 1  2}]`, arrays: "[{/jobs 2 0 0 }]"},
		{name: "scalars by place", old: `[1,2,3]`, new: `[1,5,3]`, changes: "[{/* 2 5 1}]", arrays: "[{ 3 3 2 }]"},
		{name: "nested arrays count together", old: `[{"id":1,"r":[{"k":1},{"k":2}]},{"id":2,"r":[]}]`, new: `[{"id":1,"r":[{"k":1},{"k":2}]},{"id":2,"r":[{"k":3}]}]`,
			changes: `[{/*/r/*  {"k":3} 1}]`, arrays: "[{ 2 2 2 id} {/*/r 2 3 2 k}]"},
		{name: "ignored", options: Options{Ignore: []string{"/t", "/rows/*/seen"}}, changes: "[]", arrays: "[{/rows 1 1 0 }]",
			old: `{"t":1,"rows":[{"seen":1}]}`, new: `{"t":2,"rows":[{"seen":2}]}`},
		{name: "keys are known", options: Options{Keys: map[string][]string{"": {"n"}}}, changes: "[{/*/id 1 3 1}]", arrays: "[{ 2 2 2 }]",
			old: `[{"id":1,"n":"a"},{"id":2,"n":"b"}]`, new: `[{"id":3,"n":"a"},{"id":2,"n":"b"}]`},
		{name: "members that stand twice", old: `{"a":1,"a":2}`, new: `{"a":1,"a":3}`, changes: "[{/a 2 3 1}]", arrays: "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := New(c.options)
			if err != nil {
				t.Fatal(err)
			}
			old, err := d.Parse([]byte(c.old))
			if err != nil {
				t.Fatal(err)
			}
			new, err := d.Parse([]byte(c.new))
			if err != nil {
				t.Fatal(err)
			}
			got := d.Survey(old, new)
			if changes := fmt.Sprint(got.Changes); changes != c.changes {
				t.Errorf("changes %s, want %s", changes, c.changes)
			}
			if arrays := fmt.Sprint(got.Arrays); arrays != c.arrays {
				t.Errorf("arrays %s, want %s", arrays, c.arrays)
			}
		})
	}
}

// TestSurveyAgrees: a survey finds a change where Next finds one, and none
// where it finds none, and what it says to ignore leaves none.
func TestSurveyAgrees(t *testing.T) {
	var d *Differ
	for _, answers := range feeds(t, "json") {
		pair := answers[len(answers)-2:]
		old, err := d.Parse(pair[0])
		if err != nil {
			t.Fatal(err)
		}
		doc, _, err := d.Next(old, pair[1])
		if err != nil {
			t.Fatal(err)
		}
		survey := d.Survey(old, doc)
		if (doc != old) != (len(survey.Changes) > 0) {
			t.Errorf("%d changes where Next says %t", len(survey.Changes), doc != old)
		}
		var ignore []string
		for _, c := range survey.Changes {
			if c.Pointer != "" && !slices.Contains(ignore, c.Pointer) {
				ignore = append(ignore, c.Pointer)
			}
		}
		ignoring, err := New(Options{Ignore: ignore})
		if err != nil {
			t.Fatal(err)
		}
		if again := ignoring.Survey(old, doc); len(again.Changes) > 0 {
			t.Errorf("changes that are ignored are found: %v", again.Changes)
		}
	}
}
