package main_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A feed is the successive responses of one endpoint, and the upstream that
// gives them: it moves on when the leading viewer has seen the one before,
// and at once when there is nothing to see.
type feed struct {
	name        string
	index       int
	contentType string
	text        bool            // not JSON
	keys        json.RawMessage // as in the configuration
	ignore      []string
	steps       []step
	all         int // how many there would be without the bounds on the test

	mu     sync.Mutex    // guards the fields below
	at     int           // the step in force
	given  bool          // it was, at least once
	seen   int           // the last step that the leading viewer has seen
	moved  chan struct{} // closed when at changes
	polled int           // bytes that a client would have fetched which polled every good step once
}

// A step is one response.
type step struct {
	status int
	body   []byte
	cut    bool // the connection breaks before the last byte

	good      bool          // there is a document
	code      string        // else, of the error that is told
	want      []byte        // it, as a client should have it: compact JSON, or the text
	canonical func() string // of want, made when it is first needed
	state     string        // it, without what is ignored: two steps of one state are no change
	visible   bool          // the watchers are told something
}

// profile is a feed's part of profiles.json.
type profile struct {
	Keys   json.RawMessage
	Ignore []string
}

// loadFeeds reads the first steps of each feed in dir.
func loadFeeds(t *testing.T, dir string, maxSteps, maxBytes int) (feeds []*feed) {
	t.Helper()
	profiles := map[string]profile{}
	text, err := os.ReadFile(filepath.Join(dir, "profiles.json"))
	if err == nil {
		err = json.Unmarshal(text, &profiles)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range profiles {
		f := &feed{name: name, keys: p.Keys, ignore: p.Ignore, seen: -1, moved: make(chan struct{})}
		files, _ := filepath.Glob(filepath.Join(dir, name, "[0-9]*"))
		f.text = filepath.Ext(files[0]) != ".json"
		f.contentType = map[string]string{
			".json": "application/json", ".csv": "text/csv", ".xml": "application/rss+xml", ".html": "text/html",
		}[filepath.Ext(files[0])]
		f.all = len(files)
		for size := 0; len(f.steps) < min(len(files), maxSteps) && (len(f.steps) < replayLeast || size < maxBytes); {
			body, err := os.ReadFile(files[len(f.steps)])
			if err != nil {
				t.Fatal(err)
			}
			f.steps = append(f.steps, step{status: http.StatusOK, body: body})
			size += len(body)
		}
		feeds = append(feeds, f)
	}
	slices.SortFunc(feeds, func(a, b *feed) int { return strings.Compare(a.name, b.name) })
	for i, f := range feeds {
		f.index = i
		f.addFault()
		f.understand()
	}
	return feeds
}

// addFault has the upstream fail once in the middle of the feed.
func (f *feed) addFault() {
	faults := []step{
		{status: http.StatusServiceUnavailable, body: []byte("down for maintenance")},
		{status: http.StatusOK, body: f.steps[0].body, cut: true},
		{status: http.StatusOK, body: []byte("<!doctype html><title>Log in</title>")},
	}
	fault := faults[f.index%len(faults)]
	if f.text { // the page would be a text like any other
		fault = faults[f.index%2]
	}
	f.steps = slices.Insert(f.steps, len(f.steps)/2, fault)
}

// understand fills in what the steps mean, and drops those at the end by which
// nobody could tell that it is the end.
func (f *feed) understand() {
	last := ""
	for i := range f.steps {
		s := &f.steps[i]
		body := decodeText(s.body)
		s.good = s.status == http.StatusOK && !s.cut && (f.text || json.Valid(body))
		if s.code = "body_invalid"; s.status != http.StatusOK {
			s.code = "upstream_status"
		}
		switch {
		case !s.good:
			s.visible = i == 0 || f.steps[i-1].good // a second failure may be told or not
			continue
		case f.text:
			s.want, s.state = body, "text "+string(body)
		default:
			s.want = compact(body)
			s.canonical = sync.OnceValue(func() string { return canonical(s.want) })
			s.state = "JSON " + f.withoutIgnored(s.want)
		}
		s.visible = s.state != last || !f.steps[max(i-1, 0)].good
		last = s.state
	}
	for len(f.steps) > 1 && !(f.steps[len(f.steps)-1].good && f.steps[len(f.steps)-1].visible) {
		f.steps = f.steps[:len(f.steps)-1]
	}
}

// decodeText reads bytes as response.text() does.
func decodeText(b []byte) []byte {
	return []byte(string([]rune(string(bytes.TrimPrefix(b, []byte("\ufeff"))))))
}

// What follows works on text that is known to be JSON.

func compact(text []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// parse keeps numbers as they are written. Of members with one name the last
// counts, as in JSON.parse.
func parse(text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// canonical writes JSON so that equal documents are equal texts: members in
// order, strings by value, numbers as they are written.
func canonical(text []byte) string { return write(parse(text)) }

func write(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// withoutIgnored is the canonical text of what a change has to be in to be
// pushed, with numbers by value.
func (f *feed) withoutIgnored(text []byte) string {
	v := byValue(parse(text))
	for _, pointer := range f.ignore {
		remove(v, strings.Split(pointer, "/")[1:])
	}
	return write(v)
}

// remove takes out what a pointer of an ignore list names.
func remove(v any, path []string) {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			if path[0] != "*" && path[0] != name {
				continue
			}
			if len(path) == 1 {
				delete(v, name)
			} else {
				remove(v[name], path[1:])
			}
		}
	case []any:
		for i := range v {
			if (path[0] == "*" || path[0] == strconv.Itoa(i)) && len(path) > 1 {
				remove(v[i], path[1:])
			}
		}
	}
}

// byValue gives numbers of one value one spelling, if they are of a size that
// occurs.
func byValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = byValue(v[name])
		}
	case []any:
		for i := range v {
			v[i] = byValue(v[i])
		}
	case json.Number:
		if _, exponent, ok := strings.Cut(strings.ToLower(v.String()), "e"); !ok || len(exponent) < 4 {
			if r, ok := new(big.Rat).SetString(v.String()); ok {
				return r.RatString()
			}
		}
	}
	return v
}

// ServeHTTP is the upstream. Of three feeds one is compressed, of two one has
// validators.
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, n := f.next()
	w.Header().Set("Content-Type", f.contentType)
	if f.index%2 == 0 && s.good {
		etag := fmt.Sprintf(`"%d"`, n)
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	body := s.body
	if f.index%3 == 0 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		body = compress(body)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if s.cut {
		body = body[:len(body)-1] // net/http closes the connection then
	}
	w.WriteHeader(s.status)
	w.Write(body)
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	z.Write(body) // into memory: can not fail
	z.Close()
	return b.Bytes()
}

// next moves on if the time has come, and returns the step in force.
func (f *feed) next() (step, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.given && f.at+1 < len(f.steps) && (f.seen >= f.at || !f.steps[f.at].visible) {
		f.at++
		f.given = false
		close(f.moved)
		f.moved = make(chan struct{})
	}
	if s := f.steps[f.at]; !f.given && s.good {
		f.polled += len(s.body)
	}
	f.given = true
	return f.steps[f.at], f.at
}

// now returns the step in force, and what is closed when it is no more.
func (f *feed) now() (at int, moved <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at, f.moved
}

// observed says that the leading viewer holds the document of a step. The
// step in force may say the same.
func (f *feed) observed(at int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.steps[f.at].good && f.steps[f.at].state == f.steps[at].state {
		at = f.at
	}
	f.seen = max(f.seen, at)
}

func (f *feed) last() *step { return &f.steps[len(f.steps)-1] }
