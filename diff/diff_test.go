package diff

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// checkPatch holds what Next and Diff say of a pair against the judge.
func checkPatch(t *testing.T, o Options, old, new []byte) {
	t.Helper()
	fatal := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("options %v\nold %s\nnew %s\n"+format, append([]any{o, old, new}, args...)...)
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.Parse(old)
	if err != nil {
		fatal("%v", err)
	}
	b, patch, err := d.Next(a, new)
	if err != nil {
		fatal("%v", err)
	}
	var ignore [][]string
	for _, p := range o.Ignore {
		tokens, _ := splitPointer(p)
		ignore = append(ignore, tokens)
	}
	same := readTree(old).without(ignore).String() == readTree(new).without(ignore).String()
	if same != (a == b) {
		fatal("same: %v, Next says %v", same, a == b)
	}
	if a == b {
		if patch != nil {
			fatal("no change, but patch %s", patch)
		}
		if b, err = d.Parse(new); err != nil {
			fatal("%v", err)
		}
	}
	again, err := d.Diff(old, new)
	if err != nil {
		fatal("%v", err)
	}
	if a == b && len(o.Ignore) == 0 && len(b.AppendCompact(nil)) > 2 && string(again) != "[]" {
		fatal("no change, but patch %s", again)
	}
	if patch != nil && string(again) != string(patch) {
		fatal("Next %s\nDiff %s", patch, again)
	}
	if again == nil {
		return
	}
	if err := judge(old, new, again); err != nil {
		fatal("patch %s\n%v", again, err)
	}
	if len(again) >= len(b.AppendCompact(nil)) {
		fatal("patch %s is not smaller", again)
	}
}

func TestPatchesOfGeneratedTrees(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(3, 4))}
	for range 4000 / slow {
		old, new := g.pair()
		checkPatch(t, Options{}, old, new)
	}
}

// Whatever identity the options claim, true or not, patches are right.
func TestPatchesWithKeys(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(5, 6))}
	o := Options{Keys: map[string][]string{"": {"id"}, "/*": {"a", "b"}, "/a": {"/id"}, "/*/*": {"/a/0"}, "/b/*": {"/"}, "/c": {""}}}
	for range 3000 / slow {
		old, new := g.pair()
		checkPatch(t, o, old, new)
	}
}

func TestPatchesWithIgnore(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(7, 8))}
	pointers := []string{"/a", "/b", "/*/a", "/*/*", "/*/*/id", "/a/*", "/0", "/*/0", "/*/b/1", "/~1", "/~0", "/", "/é", "/*/*/*/a", "/id/c"}
	for range 4000 / slow {
		old, new := g.pair()
		o := Options{Ignore: []string{pointers[g.IntN(len(pointers))], pointers[g.IntN(len(pointers))]}}
		checkPatch(t, o, old, new)
	}
}

// A list of records like those of a feed: inserts, removals, moves and changes
// of whole records, so that runs, identity and moves meet.
func TestPatchesOfLists(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(9, 10))}
	for range 120 / slow {
		var records []string
		for i := range g.IntN(60) {
			records = append(records, g.record(i))
		}
		old := "[" + strings.Join(records, ",") + "]"
		for range g.IntN(12) {
			records = g.editRecords(records)
		}
		new := "[" + strings.Join(records, ",") + "]"
		checkPatch(t, Options{}, []byte(old), []byte(new))
		checkPatch(t, Options{Keys: map[string][]string{"": {"id"}}, Ignore: []string{"/*/n"}}, []byte(old), []byte(new))
		checkFollow(t, []byte(old), []byte(new))
	}
}

func (g generator) record(id int) string {
	return `{"kind":"record of a list","n":` + strconv.Itoa(g.IntN(3)) + `,"id":` + strconv.Itoa(id) + `,"text":"` +
		strings.Repeat("x", g.IntN(600)) + `","inner":{"list":[1,[2],{"a":` + strconv.Itoa(g.IntN(5)) + `}]}}`
}

func (g generator) editRecords(records []string) []string {
	if len(records) == 0 {
		return []string{g.record(99)}
	}
	i, n := g.IntN(len(records)), 1+g.IntN(min(12, len(records)))
	j := min(len(records), i+n)
	switch g.IntN(5) {
	case 0: // a stretch goes
		return append(records[:i:i], records[j:]...)
	case 1: // a stretch moves to the front
		return append(append(append([]string{}, records[i:j]...), records[:i]...), records[j:]...)
	case 2: // some come
		return append(append(append([]string{}, records[:i]...), g.record(100+g.IntN(100)), g.record(200+g.IntN(100))), records[i:]...)
	case 3: // all is shuffled
		c := append([]string{}, records...)
		if g.IntN(4) == 0 {
			g.Shuffle(len(c), func(i, j int) { c[i], c[j] = c[j], c[i] })
		}
		return c
	}
	c := append([]string{}, records...)
	c[i] = strings.Replace(c[i], `"a":`, `"a":1`, 1)
	return c
}

// Cases that differs are known to get wrong, with the patch to be written; ""
// is no change.
func TestTraps(t *testing.T) {
	pad := `,"pad":"` + strings.Repeat("p", 200) + `"}`
	for _, c := range []struct{ name, old, new, patch string }{
		{"2^53+1", `{"n":9007199254740993`, `{"n":9007199254740992`, `[{"op":"replace","path":"/n","value":9007199254740992}]`},
		{"1e400", `{"n":1e400`, `{"n":1e401`, `[{"op":"replace","path":"/n","value":1e401}]`},
		{"number forms", `{"n":[1.0,1,1e0,10e-1,0.10,-0,1e1000000000000000000000]`, `{"n":[1,1e0,1.0,1,1E-1,0,10E999999999999999999999]`, ``},
		{"duplicate, first changes", `{"a":1,"a":2`, `{"a":5,"a":2`, ``},
		{"duplicate, last changes", `{"a":1,"a":2`, `{"a":1,"a":3`, `[{"op":"replace","path":"/a","value":3}]`},
		{"order of members", `{"a":1,"b":2`, `{"b":2,"a":1`, ``},
		{"escapes", `{"\u0061":"\u00e9\/"`, `{"a":"é/"`, ``},
		{"lone surrogates", `{"s":"\ud800"`, `{"s":"\ud801"`, `[{"op":"replace","path":"/s","value":"\ud801"}]`},
		{"pointer", `{"a~b/c\/":1`, `{"a~b/c\/":2`, `[{"op":"replace","path":"/a~0b~1c~1","value":2}]`},
		{"escaped pointer", `{"\u007e\u002f\"":1`, `{"\u007e\u002f\"":2`, `[{"op":"replace","path":"/~0~1\"","value":2}]`},
		{"empty name", `{"":1`, `{"":2`, `[{"op":"replace","path":"/","value":2}]`},
		{"names like indexes", `{"0":1,"-":1`, `{"0":2,"-":2`, `[{"op":"replace","path":"/0","value":2},{"op":"replace","path":"/-","value":2}]`},
		{"prototype", `{"__proto__":1`, `{"__proto__":2`, `[{"op":"replace","path":"/__proto__","value":2}]`},
		{"null", `{"n":null`, `{"n":0`, `[{"op":"replace","path":"/n","value":0}]`},
		{"move", `{"l":["a","b","c","d"]`, `{"l":["d","a","b","c"]`, `[{"op":"move","from":"/l/3","path":"/l/0"}]`},
		{"multiset", `{"l":[1,1,2]`, `{"l":[1,2,2]`, `[{"op":"replace","path":"/l/1","value":2}]`},
		{"insert in front", `{"l":[{"id":"a"},{"id":"b"}]`, `{"l":[{"id":"z"},{"id":"a"},{"id":"b"}]`, `[{"op":"add","path":"/l/0","value":{"id":"z"}}]`},
		{"remove several", `{"l":[11111111,2,3,44444444444444444444444444444444444444444444444444444444444,5]`, `{"l":[11111111,44444444444444444444444444444444444444444444444444444444444]`, `[{"op":"remove","path":"/l/4"},{"op":"remove","path":"/l/2"},{"op":"remove","path":"/l/1"}]`},
		{"number at the end of a run", `{"l":[12,3]`, `{"l":[123,3]`, `[{"op":"replace","path":"/l/0","value":123}]`},
		{"backslash at the end", `{"s":"x\\"`, `{"s":"y\\"`, `[{"op":"replace","path":"/s","value":"y\\"}]`},
		{"HTML", `{"s":"a"`, `{"s":"<&>  "`, `[{"op":"replace","path":"/s","value":"<&>  "}]`},
		{"strangers", `{"l":[{"id":"aa","n":1},{"id":"ab","n":2}]`, `{"l":[{"id":"ba","n":1},{"id":"bb","n":2}]`, `[{"op":"replace","path":"/l","value":[{"id":"ba","n":1},{"id":"bb","n":2}]}]`},
		{"no strangers, only spelled so", `{"l":[{"id":"\u0061","n":1},{"id":"\u0062","n":2}]`, `{"l":[{"id":"a","n":1},{"id":"b","n":2}]`, ``},
		{"identity in an object, members in another order", `{"l":[{"p":{"id":1,"v":1,"t":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}},{"p":{"id":2,"v":1,"t":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}},{"p":{"id":3,"v":1,"t":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}}]`, `{"l":[{"p":{"t":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt","v":2,"id":2}},{"p":{"t":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt","v":2,"id":3}}]`, `[{"op":"remove","path":"/l/0"},{"op":"replace","path":"/l/0/p/v","value":2},{"op":"replace","path":"/l/1/p/v","value":2}]`},
		{"across", `{"a":[{"x":[1,2]},{"y":[3,4]}],"b":[{"z":5}],"c":{}`, `{"a":[{"y":[3,4]}],"b":[{"z":5},{"x":[1,2]}],"c":{}`, `[{"op":"move","from":"/a/0","path":"/b/1"}]`},
		{"across, behind others", `{"l":[{"id":"a","in":[{"x":"xxxxxxxxxxxx"},{"w":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}]},{"id":"b","in":[{"w":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"},{"w":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}]}]`, `{"l":[{"id":"z"},{"id":"a","in":[{"w":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}]},{"id":"b","in":[{"w":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"},{"w":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"},{"x":"xxxxxxxxxxxx"}]}]`, `[{"op":"move","from":"/l/0/in/0","path":"/l/1/in/2"},{"op":"add","path":"/l/0","value":{"id":"z"}}]`},
		{"across, where another is removed behind", `{"a":[{"x":"xxxxxxxxxxxx"},{"w":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"},[7,8]],"b":[{"w":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}]`, `{"a":[{"w":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}],"b":[{"x":"xxxxxxxxxxxx"},{"w":"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"}]`, `[{"op":"move","from":"/a/0","path":"/b/0"},{"op":"remove","path":"/a/1"}]`},
		{"renamed", `{"a":{"x":[1,2]},"b":1`, `{"c":{"x":[1,2]},"b":1`, `[{"op":"move","from":"/a","path":"/c"}]`},
		{"white space in values", `{"s":1`, `{"s": { "a" : [ 1 , " " ] }`, `[{"op":"replace","path":"/s","value":{"a":[1," "]}}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkPatch(t, Options{}, []byte(c.old+pad), []byte(c.new+pad))
			var d *Differ
			old, err := d.Parse([]byte(c.old + pad))
			if err != nil {
				t.Fatal(err)
			}
			if _, patch, err := d.Next(old, []byte(c.new+pad)); err != nil || string(patch) != c.patch {
				t.Errorf("patch %s, %v\nwant  %s", patch, err, c.patch)
			}
		})
	}
}

// What lies deeper than values are compared is replaced as a whole.
func TestPatchesOfDeepDocuments(t *testing.T) {
	t.Parallel()
	const pad = `"pad":"pppppppppppppppppppppppppppppppppppp"`
	for _, open := range []string{`{` + pad + `,"a":`, `[0,`} {
		for _, n := range []int{deep - 2, deep, deep + 2} {
			end := strings.Repeat(string(open[0]+2), n)
			old := strings.Repeat(open, n) + "1" + end
			for _, in := range []string{"2", "1.0", "[1]"} {
				checkPatch(t, Options{}, []byte(`[{`+pad+`},`+old+`]`), []byte(`[{`+pad+`},`+strings.Repeat(open, n)+in+end+`]`))
			}
		}
	}
}

func TestIgnoredChangesComeAlong(t *testing.T) {
	d, err := New(Options{Ignore: []string{"/time", "/list/*/seen"}})
	if err != nil {
		t.Fatal(err)
	}
	pad := `,"pad":"` + strings.Repeat("p", 200) + `"}`
	old, _ := d.Parse([]byte(`{"time":1,"list":[{"id":"a","seen":1}]` + pad))
	same, patch, _ := d.Next(old, []byte(`{"time":2,"list":[{"id":"a","seen":2}]`+pad))
	if same != old || patch != nil {
		t.Errorf("ignored changes: %v %s", same == old, patch)
	}
	_, patch, _ = d.Next(old, []byte(`{"time":2,"list":[{"id":"b","seen":2}]`+pad))
	if want := `[{"op":"replace","path":"/time","value":2},{"op":"replace","path":"/list/0","value":{"id":"b","seen":2}}]`; string(patch) != want {
		t.Errorf("patch %s\nwant  %s", patch, want)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Ignore: []string{"a"}}, `ignore: pointer "a" does not begin with /`},
		{Options{Ignore: []string{"/a~2"}}, `ignore: pointer "/a~2" has a ~ that is neither ~0 nor ~1`},
		{Options{Keys: map[string][]string{"list": {"id"}}}, `keys: pointer "list" does not begin with /`},
		{Options{Keys: map[string][]string{"/list": {}}}, `keys: array "/list": no member is named`},
		{Options{Keys: map[string][]string{"/list": {"/~"}}}, `keys: array "/list": pointer "/~" has a ~ that is neither ~0 nor ~1`},
	} {
		if _, err := New(c.o); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v, want %s", c.o, err, c.want)
		}
	}
}

func TestParseNamesTheByte(t *testing.T) {
	var d *Differ
	old, _ := d.Parse([]byte(`{"a":[1,2]}`))
	for _, text := range []string{`{"a":[1,2}`, `{"a":[1,3}`} {
		if _, err := d.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "byte 10") {
			t.Errorf("Parse(%s): %v", text, err)
		}
		if _, _, err := d.Next(old, []byte(text)); err == nil || !strings.Contains(err.Error(), "byte 10") {
			t.Errorf("Next(%s): %v", text, err)
		}
	}
}

func TestLines(t *testing.T) {
	for text, want := range map[string]string{
		"":                     `[]`,
		"\n":                   `["\n"]`,
		"a\r\nb":               `["a\r\n","b"]`,
		"a\n\nb\n":             `["a\n","\n","b\n"]`,
		"\"\\\t\x00\x1f\x7fé<": `["\"\\\t\u0000\u001f` + "\x7f" + `é<"]`,
	} {
		if got := string(Lines([]byte(text))); got != want {
			t.Errorf("Lines(%q) = %s, want %s", text, got, want)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("a\nb\r\n\nc")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "?")
		var joined strings.Builder
		list := readTree(Lines([]byte(text)))
		for _, l := range list.array {
			joined.WriteString(l.scalar[1:])
		}
		if want := readTree(append(append([]byte(`"`), appendEscaped(text)...), '"')).scalar[1:]; joined.String() != want {
			t.Fatalf("%q becomes %s, want %s", text, joined.String(), want)
		}
	})
}

// appendEscaped writes every character as an escape.
func appendEscaped(text string) (out []byte) {
	for _, c := range text {
		if c >= 0x10000 {
			out = append(out, string(c)...)
		} else {
			out = append(out, `\u`...)
			out = append(out, []byte(strconv.FormatInt(int64(c)+0x10000, 16))[1:]...)
		}
	}
	return out
}

// TestDiffOfWhatIsInvalid holds that the error says which of the two texts it is,
// also where both are the same.
func TestDiffOfWhatIsInvalid(t *testing.T) {
	var d *Differ
	for _, test := range []struct{ old, new, want string }{
		{`{"a":1}`, `{"a":}`, "new: invalid JSON at byte 6"},
		{`{"a":1`, `{"a":2}`, "old: "},
		{`[1,]`, `[1,]`, "old: invalid JSON at byte 4"},
		{``, `1`, "old: "},
	} {
		patch, err := d.Diff([]byte(test.old), []byte(test.new))
		if patch != nil || err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s, %s: %s, %v; want %s", test.old, test.new, patch, err, test.want)
		}
	}
}

func TestDocumentsAreSharedByGoroutines(t *testing.T) {
	d, _ := New(Options{Ignore: []string{"/x"}})
	old, _ := d.Parse([]byte(`{"a":[1,2,3,{"b":"c"}],"d":"` + strings.Repeat("d", 100) + `"}`))
	new, want, _ := d.Next(old, bytes.Replace(old.Bytes(), []byte("2,"), []byte("4,"), 1))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if got, err := d.Diff(old.Bytes(), new.Bytes()); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, %v, want %s", got, err, want)
				}
				d.MergePatch(new, old)
				d.Next(old, new.Bytes())
			}
		})
	}
	wg.Wait()
}

func FuzzPatch(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(11, 12))}
	for range 60 {
		old, new := g.pair()
		f.Add(old, new)
		old, new = g.wanderers()
		f.Add(old, new)
	}
	f.Fuzz(func(t *testing.T, old, new []byte) {
		if scratchIndex(old) == nil {
			return
		}
		checkFollow(t, old, new)
		if scratchIndex(new) != nil && bytes.Equal(bytes.ToValidUTF8(old, nil), old) && bytes.Equal(bytes.ToValidUTF8(new, nil), new) {
			checkPatch(t, Options{}, old, new)
		}
	})
}
