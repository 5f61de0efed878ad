package proxy

import (
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const served = `
origins: ["https://app.test"]
endpoints:
  - {path: "/api/{thing}", interval: 10s, linger: 60s, refresh_on: ["POST /orders/{id}"]}
  - {path: "/plain/{thing}", interval: 10s, serve: false}
`

// do sends one request; headers are "Name: value" lines.
func (w *world) do(method, target string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	r, err := http.NewRequest(method, "http://proxy.test"+target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	res, err := w.http.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, target, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatalf("%s %s: body: %v", method, target, err)
	}
	res.Body.Close()
	return res, string(body)
}

func (w *world) wantStatus(res *http.Response, status int) {
	w.t.Helper()
	if res.StatusCode != status {
		w.t.Fatalf("status %d, want %d; headers %v", res.StatusCode, status, res.Header)
	}
}

func TestGetIsSharedAndKeptFresh(t *testing.T) {
	within(t, served, func(w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			rw.Header().Set("X-App", "kept")
			rw.Header().Set("ETag", `"upstream's"`)
			io.WriteString(rw, `{ "n": 1 }`)
		})
		res, body := w.do("GET", "/api/x")
		w.wantStatus(res, 200)
		if body != `{ "n": 1 }` || res.Header.Get("X-App") != "kept" || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%q with %v is not what the upstream said", body, res.Header)
		}
		etag := res.Header.Get("ETag")
		if len(etag) != 24 || res.Header.Get("Age") != "0" || res.Header.Get("Cache-Status") != "pollbridge; fwd=uri-miss; stored" {
			t.Errorf("first answer: %v", res.Header)
		}
		time.Sleep(4 * time.Second)
		for range 100 {
			res, _ = w.do("GET", "/api/x")
		}
		if first, err := time.Parse(time.RFC3339, res.Header.Get("Pollbridge-At")); err != nil || time.Since(first).Truncate(time.Second) != 4*time.Second {
			t.Errorf("Pollbridge-At: %q, want when the upstream was first seen to say this", res.Header.Get("Pollbridge-At"))
		}
		if res.Header.Get("Age") != "4" || res.Header.Get("Cache-Status") != "pollbridge; hit; ttl=6" || res.Header.Get("ETag") != etag {
			t.Errorf("later answer: %v", res.Header)
		}
		if w.polls() != 1 {
			t.Errorf("101 GETs cost %d requests, want 1", w.polls())
		}
		time.Sleep(40 * time.Second)
		if n := w.polls(); n < 4 || n > 6 {
			t.Errorf("%d polls in 44 s, want the resource kept fresh every 10 s", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		n := w.polls()
		time.Sleep(2 * time.Minute)
		if w.polls() != n {
			t.Error("still polled after linger")
		}
	})
}

func TestGetConditions(t *testing.T) {
	within(t, served, func(w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			rw.Header().Set("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
			io.WriteString(rw, `{"n":1234567}`)
		})
		res, _ := w.do("GET", "/api/x")
		etag := res.Header.Get("ETag")
		for _, test := range []struct {
			headers string
			status  int
			body    string
		}{
			{"If-None-Match: " + etag, 304, ""},
			{"If-None-Match: W/" + etag, 304, ""},
			{`If-None-Match: "other", ` + etag, 304, ""},
			{"If-None-Match: *", 304, ""},
			{`If-None-Match: "other"`, 200, `{"n":1234567}`},
			{"If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT", 304, ""},
			{"If-Modified-Since: Mon, 01 Jan 2023 00:00:00 GMT", 200, `{"n":1234567}`},
			{"If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT|If-None-Match: \"other\"", 200, `{"n":1234567}`},
			{"If-Match: \"other\"", 412, ""},
			{"Range: bytes=1-3", 206, `"n"`},
			{"Range: bytes=1-3|If-Range: " + etag, 206, `"n"`},
			{"Range: bytes=1-3|If-Range: \"other\"", 200, `{"n":1234567}`},
			{"Range: bytes=100-", 416, ""},
		} {
			res, body := w.do("GET", "/api/x", strings.Split(test.headers, "|")...)
			if res.StatusCode != test.status || test.status < 400 && body != test.body {
				t.Errorf("%s: %d %q, want %d %q", test.headers, res.StatusCode, body, test.status, test.body)
			}
			if res.Header.Get("ETag") != etag && res.StatusCode < 400 {
				t.Errorf("%s: ETag %s, want %s", test.headers, res.Header.Get("ETag"), etag)
			}
		}
		res, body := w.do("HEAD", "/api/x")
		if res.StatusCode != 200 || body != "" || res.ContentLength != 13 {
			t.Errorf("HEAD: %d %q, length %d", res.StatusCode, body, res.ContentLength)
		}
		if w.polls() != 1 {
			t.Errorf("%d requests reached the upstream, want 1", w.polls())
		}
	})
}

func TestGetRequestCacheControl(t *testing.T) {
	within(t, served, func(w *world) {
		w.do("GET", "/api/x")
		time.Sleep(5 * time.Second)
		for i, test := range []struct {
			header string
			polls  int
		}{
			{"X-None: 1", 0}, {"Cache-Control: max-age=8", 0}, {"Cache-Control: max-age=2", 1}, {"Cache-Control: max-age=2", 0},
			{"Cache-Control: no-cache", 1}, {"Pragma: no-cache", 1}, {"Cache-Control: no-store", 1},
		} {
			time.Sleep(time.Millisecond)
			n := w.polls()
			w.json(`{"n":` + string(rune('1'+i)) + `}`)
			_, body := w.do("GET", "/api/x", test.header)
			if d := w.polls() - n; d != test.polls {
				t.Errorf("%s: %d requests, want %d", test.header, d, test.polls)
			}
			if fresh := strings.Contains(body, string(rune('1'+i))); test.polls == 1 && !fresh {
				t.Errorf("%s: %s is old", test.header, body)
			}
		}
	})
}

func TestGetPassesThrough(t *testing.T) {
	big := strings.Repeat("x", 10)
	for name, test := range map[string]struct {
		target  string
		upstrm  http.HandlerFunc
		request string
	}{
		"serve: false": {"/plain/x", nil, ""},
		"no rule":      {"/other", nil, ""},
		"no-store":     {"/api/x", header("Cache-Control", "no-store"), ""},
		"private":      {"/api/x", header("Cache-Control", "private, max-age=9"), ""},
		"own private":  {"/api/x", header("Cache-Control", "private"), "Authorization: Bearer me"},
		"own no-store": {"/api/x", header("Cache-Control", "no-store"), "Authorization: Bearer me"},
		"Set-Cookie":   {"/api/x", header("Set-Cookie", "a=b"), ""},
		"Vary":         {"/api/x", header("Vary", "X-Secret"), ""},
		"404":          {"/api/x", func(rw http.ResponseWriter, r *http.Request) { http.Error(rw, big, 404) }, ""},
		"500":          {"/api/x", func(rw http.ResponseWriter, r *http.Request) { http.Error(rw, big, 500) }, ""},
		"redirect": {"/api/x", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://elsewhere.test/", http.StatusFound)
		}, ""},
		"image": {"/api/x", header("Content-Type", "image/png"), ""},
		"not JSON": {"/api/x", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			io.WriteString(rw, "oops")
		}, ""},
		"bad UTF-8": {"/api/x", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/plain")
			io.WriteString(rw, "caf\xe9")
		}, ""},
		"other Accept":   {"/api/x", nil, "Accept: text/html"},
		"refused Accept": {"/api/x", nil, "Accept: application/json;q=0, text/plain"},
		"cross origin":   {"/api/x", nil, "Origin: https://elsewhere.test"},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, served, func(w *world) {
				if test.upstrm != nil {
					w.answer(test.upstrm)
				}
				w.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				for range 3 {
					res, body := w.do("GET", test.target, strings.Split("X-Mine: passes|"+test.request, "|")[:min(2, 1+len(test.request))]...)
					if res.Header.Get("Cache-Status") != "" {
						t.Errorf("answered by the proxy: %d %q %v", res.StatusCode, body, res.Header)
					}
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				passed := 0
				for _, r := range w.requests {
					if r.Header.Get("X-Mine") != "" {
						passed++
					}
				}
				if passed != 3 {
					t.Errorf("%d of 3 requests passed through untouched", passed)
				}
				if polls := len(w.requests) - passed; polls > 2 {
					t.Errorf("%d polls beside 3 requests: what cannot be served is asked for twice", polls)
				}
			})
		})
	}
}

func header(name, value string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if name != "Content-Type" {
			rw.Header().Set("Content-Type", "application/json")
		}
		rw.Header().Set(name, value)
		io.WriteString(rw, `{}`)
	}
}

func TestGetGzip(t *testing.T) {
	within(t, served, func(w *world) {
		text := `{"text":"` + strings.Repeat("polls and pushes ", 200) + `"}`
		w.json(text)
		res, body := w.do("GET", "/api/x", "Accept-Encoding: gzip")
		zr, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		plain, _ := io.ReadAll(zr)
		if string(plain) != text || res.Header.Get("Content-Encoding") != "gzip" || !slices.Contains(res.Header["Vary"], "Accept-Encoding") {
			t.Errorf("%d bytes with %v", len(plain), res.Header)
		}
		weak := res.Header.Get("ETag")
		res, body = w.do("GET", "/api/x", "Accept-Encoding: gzip;q=0")
		if body != text || "W/"+res.Header.Get("ETag") != weak {
			t.Errorf("without gzip %d bytes, ETag %s and %s", len(body), res.Header.Get("ETag"), weak)
		}
		if res, _ = w.do("GET", "/api/x", "If-None-Match: "+weak); res.StatusCode != 304 {
			t.Errorf("status %d for the tag of the compressed answer, want 304", res.StatusCode)
		}
	})
}

func TestGetDelta(t *testing.T) {
	within(t, served, func(w *world) {
		w.json(`{"n":1,"pad":"` + big + `"}`)
		res, _ := w.do("GET", "/api/x")
		etag := res.Header.Get("ETag")
		w.json(`{"n":2,"pad":"` + big + `"}`)
		time.Sleep(11 * time.Second)
		res, body := w.do("GET", "/api/x", "A-IM: json-patch", "If-None-Match: "+etag)
		w.wantStatus(res, http.StatusIMUsed)
		if body != `[{"op":"replace","path":"/n","value":2}]` || res.Header.Get("IM") != "json-patch" || res.Header.Get("Delta-Base") != etag {
			t.Errorf("delta %s with %v", body, res.Header)
		}
		newest := res.Header.Get("ETag")
		res, _ = w.do("GET", "/api/x", "A-IM: json-patch", "If-None-Match: "+newest)
		w.wantStatus(res, 304)
		res, _ = w.do("GET", "/api/x", "A-IM: json-patch", `If-None-Match: "unknown"`)
		w.wantStatus(res, 200)
		res, _ = w.do("GET", "/api/x", "If-None-Match: "+etag)
		w.wantStatus(res, 200)
	})
}

// The patches of text are of the array of its lines, which no poller holds.
func TestGetDeltaOfText(t *testing.T) {
	within(t, served, func(w *world) {
		text := func(first string) http.HandlerFunc {
			return func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "text/csv")
				io.WriteString(rw, first+"\n"+big+"\n")
			}
		}
		w.answer(text("a"))
		res, _ := w.do("GET", "/api/x")
		etag := res.Header.Get("ETag")
		w.answer(text("b"))
		time.Sleep(11 * time.Second)
		res, body := w.do("GET", "/api/x", "A-IM: json-patch", "If-None-Match: "+etag)
		w.wantStatus(res, 200)
		if !strings.HasPrefix(body, "b\n") {
			t.Errorf("%.20q, want the text", body)
		}
	})
}

func TestGetOrigins(t *testing.T) {
	within(t, served, func(w *world) {
		res, _ := w.do("GET", "/api/x", "Origin: https://app.test")
		if res.Header.Get("Access-Control-Allow-Origin") != "https://app.test" || !strings.Contains(res.Header.Get("Vary"), "Origin") {
			t.Errorf("listed origin: %v", res.Header)
		}
		res, _ = w.do("GET", "/api/x", "Origin: http://proxy.test")
		if res.Header.Get("Access-Control-Allow-Origin") != "" || res.Header.Get("Cache-Status") == "" {
			t.Errorf("same host: %v", res.Header)
		}
		w.answer(header("Access-Control-Allow-Origin", "*"))
		res, _ = w.do("GET", "/api/y", "Origin: https://elsewhere.test")
		if res.Header.Get("Access-Control-Allow-Origin") != "*" || res.Header.Get("Cache-Status") == "" {
			t.Errorf("open to all: %v", res.Header)
		}
	})
}

func TestReadYourWrites(t *testing.T) {
	within(t, served, func(w *world) {
		document := `{"n":1}`
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			if r.Method == "GET" {
				io.WriteString(rw, document)
				return
			}
			if r.URL.Path == "/elsewhere" {
				rw.Header().Set("Location", "http://proxy.test/api/x")
			}
			if r.URL.Path == "/otherhost" {
				rw.Header().Set("Location", "http://elsewhere.test/api/x")
			}
			if r.URL.Path == "/api/fails" {
				rw.WriteHeader(500)
				return
			}
			document = `{"n":2}`
		})
		for _, test := range []struct {
			method, target string
			refreshed      bool
		}{
			{"POST", "/api/x", true}, {"PUT", "/api/x?a=b", true}, {"DELETE", "/api/x", true}, {"PATCH", "/api/x", true},
			{"POST", "/orders/7", true}, {"PUT", "/orders/7", false}, {"POST", "/orders", false}, {"POST", "/api/fails", false}, {"POST", "/other", false},
			{"POST", "/elsewhere", true}, {"POST", "/otherhost", false},
		} {
			document = `{"n":1}`
			time.Sleep(time.Millisecond)
			w.do("GET", "/api/x", "Cache-Control: no-cache")
			p := w.dial("/api/x", nil)
			p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":1}}`)
			time.Sleep(time.Millisecond)
			w.do(test.method, test.target)
			_, body := w.do("GET", "/api/x")
			if got := body == `{"n":2}`; got != test.refreshed {
				t.Errorf("GET after %s %s: %s", test.method, test.target, body)
			}
			if test.refreshed {
				started := time.Now()
				p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":2}}`)
				if waited := time.Since(started); waited > time.Millisecond {
					t.Errorf("%s %s was pushed after %v, want at once", test.method, test.target, waited)
				}
			}
			p.ws.CloseNow()
		}
	})
}

func TestRefresh(t *testing.T) {
	within(t, served, func(w *world) {
		p := w.dial("/api/x?q=1", nil)
		p.next()
		w.dial("/api/y", nil).next()
		for _, test := range []struct {
			urls []string
			n    int
		}{{nil, 2}, {[]string{"/api/x"}, 1}, {[]string{"/api/x?q=1", "/api/y"}, 2}, {[]string{"/api/z"}, 0}, {[]string{"//evil"}, 0}} {
			time.Sleep(time.Millisecond)
			polls := w.polls()
			if n := w.proxy.Refresh(test.urls...); n != test.n {
				t.Errorf("refresh of %v: %d resources, want %d", test.urls, n, test.n)
			}
			time.Sleep(time.Millisecond)
			if d := w.polls() - polls; d != test.n {
				t.Errorf("refresh of %v: %d polls at once, want %d", test.urls, d, test.n)
			}
		}
	})
}
