package diff

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// optionalRecord writes a record of which some members are not there, mostly in
// one order, and sometimes one of them twice.
func optionalRecord(r *rand.Rand, id int) string {
	names := []string{"flight", "lat", "lon", "alt", "track", "speed", "a", "ab", "n", "list"}
	if r.IntN(8) == 0 {
		r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	if r.IntN(40) == 0 {
		names = append(names, "lat")
	}
	members := []string{fmt.Sprintf(`"id":"x%d"`, id)}
	for _, name := range names {
		value := fmt.Sprint(r.IntN(3))
		switch {
		case r.IntN(4) == 0:
			continue
		case r.IntN(40) == 0:
			value = `"` + name + `"` // its own name as text
		case name == "n":
			value = fmt.Sprintf(`{"lat":%d,"c":[%d,{}]}`, r.IntN(2), r.IntN(2))
		case name == "list":
			value = "[]"
		case name == "flight":
			value = `"` + strings.Repeat("f", r.IntN(4)) + `"`
		}
		members = append(members, `"`+name+`":`+value)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// Records that lack members are followed and patched as any others, over many
// polls, by whatever the poll before has left.
func TestRecordsWithOptionalMembers(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(21, 22))
	var d *Differ
	var records []string
	for id := range 5 {
		records = append(records, optionalRecord(r, id))
	}
	text := func(i int) []byte {
		space := []string{"", " ", "\n  "}[i/400%3]
		return fmt.Appendf(nil, `{"pad":"%s",%s"list":[%s],"one":%s}`, strings.Repeat("p", 300), space, strings.Join(records, ","+space), records[0])
	}
	doc, err := d.Parse(text(0))
	if err != nil {
		t.Fatal(err)
	}
	patches, absent := 0, 0
	for i := range 2400 / slow {
		switch k := r.IntN(len(records)); r.IntN(6) {
		case 0:
			records = append(records[:k:k], append([]string{optionalRecord(r, i%97)}, records[k:]...)...)
			if len(records) > 8 {
				records = records[1:]
			}
		case 1:
			j := r.IntN(len(records))
			records[k], records[j] = records[j], records[k]
		default:
			id := 0
			fmt.Sscanf(records[k], `{"id":"x%d"`, &id)
			records[k] = optionalRecord(r, id)
		}
		text := text(i)
		followed(t, doc, text)
		f := follower{indexer: indexer{raw: text, shapes: new(shapes)}, old: doc}
		f.root()
		for _, d := range f.deltas {
			if d.old.absent() || d.new.absent() {
				absent++
			}
		}
		next, patch, err := d.Next(doc, text)
		if err != nil {
			t.Fatal(err)
		}
		if patch != nil {
			patches++
			if err := judge(doc.Bytes(), text, patch); err != nil {
				t.Fatalf("old %s\nnew %s\npatch %s\n%v", doc.Bytes(), text, patch, err)
			}
		}
		doc = next
	}
	if patches < 1200/slow || absent < 400/slow {
		t.Errorf("%d patches, %d members in one of two records", patches, absent)
	}
}
