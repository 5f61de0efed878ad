package diff_test

import (
	"fmt"

	"pollbridge/diff"
)

func Example() {
	d, err := diff.New(diff.Options{
		Keys:   map[string][]string{"/stations": {"id"}},
		Ignore: []string{"/time"},
	})
	if err != nil {
		panic(err)
	}
	const more = `{"id": "c", "bikes": 12}, {"id": "d", "bikes": 7}, {"id": "e", "bikes": 21}, {"id": "f", "bikes": 1}, {"id": "g", "bikes": 9}`
	polls := []string{
		`{"time": 1, "stations": [{"id": "a", "bikes": 3}, {"id": "b", "bikes": 0}, ` + more + `]}`,
		`{"time": 2, "stations": [{"bikes": 3.0, "id": "a"}, {"id": "b", "bikes": 0}, ` + more + `]}`,
		`{"time": 3, "stations": [{"id": "b", "bikes": 1}, ` + more + `]}`,
	}
	newest, err := d.Parse([]byte(polls[0]))
	if err != nil {
		panic(err)
	}
	for _, poll := range polls[1:] {
		doc, patch, err := d.Next(newest, []byte(poll))
		switch {
		case err != nil:
			fmt.Println("keep the last good document:", err)
		case doc == newest:
			fmt.Println("nothing that counts")
		case patch == nil:
			fmt.Println("send", string(doc.AppendCompact(nil)))
		default:
			fmt.Println("patch", string(patch))
		}
		if err == nil {
			newest = doc
		}
	}
	// Output:
	// nothing that counts
	// patch [{"op":"replace","path":"/time","value":3},{"op":"remove","path":"/stations/0"},{"op":"replace","path":"/stations/0/bikes","value":1}]
}
