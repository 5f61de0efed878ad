package js

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, name string, header map[string]string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("GET", "/.pollbridge/"+name, nil)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	file, _, _ := strings.Cut(name, "?")
	Serve(w, r, file)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	var from io.Reader = res.Body
	if res.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if from, err = gzip.NewReader(from); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServe(t *testing.T) {
	for name := range files {
		plain, packed := get(t, name, nil), get(t, name, map[string]string{"Accept-Encoding": "br, gzip;q=0.5"})
		for _, res := range []*http.Response{plain, packed} {
			for k, want := range map[string]string{
				"Content-Type": "text/javascript; charset=utf-8", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache", "Vary": "Accept-Encoding",
			} {
				if got := res.Header.Get(k); got != want {
					t.Errorf("%s: %s is %q, want %q", name, k, got, want)
				}
			}
			tag := res.Header.Get("Etag")
			if !strings.HasPrefix(tag, `"`) || len(tag) < 16 {
				t.Errorf("%s: the entity tag %s is not strong", name, tag)
			}
			again := get(t, name, map[string]string{"Accept-Encoding": res.Header.Get("Content-Encoding"), "If-None-Match": tag})
			if again.StatusCode != http.StatusNotModified || again.Header.Get("Etag") != tag {
				t.Errorf("%s: asked again with %s: %d %s", name, tag, again.StatusCode, again.Header.Get("Etag"))
			}
		}
		if plain.Header.Get("Content-Encoding") != "" || packed.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Etag") == packed.Header.Get("Etag") {
			t.Errorf("%s: plain %v, packed %v", name, plain.Header, packed.Header)
		}
		if p, z := body(t, plain), body(t, packed); p != z || len(p) < 500 {
			t.Errorf("%s: %d bytes, and %d unpacked", name, len(p), len(z))
		}
	}
}

func TestServeVersion(t *testing.T) {
	version := strings.Trim(get(t, "pollbridge.js", nil).Header.Get("Etag"), `"`)
	if got := get(t, "pollbridge.js?v="+version, nil).Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("of this version: Cache-Control: %s", got)
	}
	if got := get(t, "pollbridge.js?v=another", nil).Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("of another version: Cache-Control: %s", got)
	}
}

func TestServeRefuses(t *testing.T) {
	for _, name := range []string{"", "nothing.js", "dist/pollbridge.js", "../js.go", "index.js", "pollbridge.js/", "Pollbridge.js"} {
		if res := get(t, name, nil); res.StatusCode != http.StatusNotFound || !strings.Contains(body(t, res), "pollbridge.js") {
			t.Errorf("%q: %d", name, res.StatusCode)
		}
	}
	w := httptest.NewRecorder()
	Serve(w, httptest.NewRequest("POST", "/.pollbridge/pollbridge.js", nil), "pollbridge.js")
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", w.Code, w.Header())
	}
}
