package proxy

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	exact "math/big"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A feed is what the upstream says under one url.
type feed struct {
	lines, ticks bool
	blob         string
	pool         []string // documents, so that some come again
	body         string
	failure      string // empty: it answers
	tick         int
	answers      []string // what it has said, as canonical JSON, in order
}

// settle has every feed say something it never said, and rest.
func (u *truth) settle(word string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rests.Store(true)
	for _, f := range u.feeds {
		f.failure = ""
		f.body = `{"word":"` + word + `"}`
		if f.lines {
			f.body = word + "\n"
		}
	}
}

// change does something to a feed.
func (u *truth) change(url string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.feeds[url]
	switch n := u.r.IntN(10); {
	case n < 5:
		f.body, f.failure = f.pool[u.r.IntN(len(f.pool))], ""
	case n < 7:
		f.body, f.failure = f.document(u.r), ""
		f.pool[u.r.IntN(len(f.pool))] = f.body
	default:
		all := []string{"500", "404", "429", "503", "302", "204", "hang", "hang", "reset", "cut", "cut", "garbage", "deep", "gzip", "304", "binary"}
		f.failure = all[u.r.IntN(len(all))]
	}
}

var padding = strings.Repeat("x", 50)

// document makes a document that is like its predecessors in most.
func (f *feed) document(r *rand.Rand) string {
	pad := strings.Repeat(padding, 3)
	if f.lines {
		var b strings.Builder
		for i := range r.IntN(12) {
			fmt.Fprintf(&b, "%d,%s,%d%s", i+r.IntN(2), pad[:r.IntN(2)*50], r.IntN(2), []string{"\n", "\r\n", "\n\n"}[r.IntN(30)/28*r.IntN(3)])
		}
		return b.String()
	}
	list := []any{}
	for _, id := range r.Perm(8)[:r.IntN(8)] {
		list = append(list, map[string]any{"id": id, "n": json.Number(strconv.Itoa(r.IntN(3)) + []string{"", ".0", "e1"}[r.IntN(3)]), "pad": pad[:100]})
	}
	if r.IntN(2) == 0 { // else moved
		slicesByID(list)
	}
	doc := map[string]any{"pad": pad, "blob": f.blob, "list": list, "values": []int{r.IntN(2), r.IntN(2), r.IntN(3)}}
	for _, name := range []string{"a", "a/b", "m~n", "", "é", "data"} {
		switch r.IntN(5) {
		case 0:
			doc[name] = r.IntN(3)
		case 1:
			doc[name] = map[string]any{"deep": r.IntN(2), "text": []string{"x", "\u2028<&>", "\"\\"}[r.IntN(3)]}
		case 2:
			doc[name] = nil
		}
	}
	if f.ticks {
		doc["tick"] = 0
	}
	text, _ := json.Marshal(doc)
	return string(text)
}

func slicesByID(list []any) {
	for i := range list {
		for j := range list[:i] {
			if list[i].(map[string]any)["id"].(int) < list[j].(map[string]any)["id"].(int) {
				list[i], list[j] = list[j], list[i]
			}
		}
	}
}

// serve is the upstream.
func (u *truth) serve(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	f := u.feeds[r.URL.Path]
	f.tick++
	body, failure := f.body, f.failure
	if failure == "binary" && len(f.answers) == 0 {
		failure = "cut" // at first it would be no failure, but the end
	}
	if f.ticks {
		body = strings.Replace(body, `"tick":0`, `"tick":`+strconv.Itoa(f.tick), 1)
	}
	latency, gzipped, tagged := time.Duration(u.r.IntN(300))*time.Millisecond/u.speed, u.r.IntN(4) == 0, u.r.IntN(2) == 0
	if u.r.IntN(4) > 0 || u.rests.Load() {
		latency = 0
	}
	u.mu.Unlock()
	time.Sleep(latency)
	if failure != "" {
		u.total.failures.Add(1)
		if u.speed == 1 {
			w.Header().Set("Retry-After", "2")
		}
		fail(w, r, failure, body)
		return
	}
	u.mu.Lock()
	f.answers = append(f.answers, canonicalJSON(u.w.t, f.asJSON(body)))
	u.mu.Unlock()
	w.Header().Set("Content-Type", map[bool]string{true: "text/csv", false: "application/json"}[f.lines])
	if tagged {
		tag := `"` + strconv.FormatUint(hashOf(body), 36) + `"`
		w.Header().Set("Etag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if gzipped && r.Header.Get("Accept-Encoding") == "gzip" {
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		io.WriteString(zw, body)
		zw.Close()
		return
	}
	io.WriteString(w, body)
}

func hashOf(s string) (h uint64) {
	h = 14695981039346656037 // FNV-1a
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// fail is an answer that is none.
func fail(w http.ResponseWriter, r *http.Request, how, body string) {
	w.Header().Set("Content-Type", "application/json")
	switch how {
	case "hang":
		<-r.Context().Done()
	case "reset":
		panic(http.ErrAbortHandler)
	case "cut":
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+2))
		io.WriteString(w, body)
		panic(http.ErrAbortHandler)
	case "garbage":
		io.WriteString(w, body[:len(body)/2]+"\x00{")
	case "deep":
		io.WriteString(w, strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000))
	case "gzip":
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, body)
	case "binary":
		w.Header().Set("Content-Type", "image/png")
		io.WriteString(w, "\x89PNG\x00")
	default:
		status, _ := strconv.Atoi(how)
		w.WriteHeader(status)
		if status != 204 && status != 304 {
			io.WriteString(w, `{"error":"this must not be seen"}`)
		}
	}
}

// asJSON is the document that a body is sent as.
func (f *feed) asJSON(body string) []byte {
	if !f.lines {
		return []byte(body)
	}
	lines := strings.SplitAfter(body, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	text, _ := json.Marshal(lines)
	return text
}

// canonicalJSON writes equal documents alike: members in order, numbers by
// their exact value.
func canonicalJSON(t *testing.T, text []byte) string {
	v, err := decoded(text)
	if err != nil {
		t.Errorf("%q: %v", text, err)
	}
	out, _ := json.Marshal(exactNumbers(v))
	return string(out)
}

func exactNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		r, _ := new(exact.Rat).SetString(string(v))
		return r.RatString()
	case []any:
		for i := range v {
			v[i] = exactNumbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exactNumbers(v[name])
		}
	}
	return v
}
