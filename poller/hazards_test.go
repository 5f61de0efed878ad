package poller

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestSameKeySameRequest: two clients have one key only if the upstream is
// asked the same for both. So whatever it answers to one is what it would have
// answered to the other.
func TestSameKeySameRequest(t *testing.T) {
	f := newFetcher(nil)
	rules := []*Rule{
		{Name: "/x"}, {Name: "/x", Generation: 1, Upstream: &url.URL{Scheme: "http", Host: "elsewhere.test"}}, {Name: "/y", Vary: []string{"Authorization", "Cookie"}}, {Name: "/y", Vary: []string{"Cookie", "Authorization"}},
		{Name: "/z", Vary: []string{"Cookie:a"}}, {Name: "/z", Vary: []string{"Cookie:a", "Cookie:b"}}, {Name: "/z", Vary: []string{"X-A", "X-B"}},
		{Name: "/s", Vary: []string{"Authorization", "Cookie"}, Shared: true},
	}
	for _, r := range rules {
		r.Upstream = cmp.Or(r.Upstream, origin)
	}
	urls := []string{"/x", "/xx", "/x?a", "/x?a=a", "/x?", "/x%3Fa", "/yAuthorization"}
	values := []string{"", "a", "aa", "aaa", "a=1", "a=1; b=2", "a=1; b=2; a=3", "b=2; a=1", `a="1"`, "a=1b=2", " a=1;b=2", "A=1", "xa=1", "a=", "a==1", "a=\xff", "a=1\x00\x00", "X-B"}
	r := rand.New(rand.NewPCG(1, 1))
	requests := make(map[key]string)
	shared := 0
	for range 30_000 {
		req := Request{Rule: rules[r.IntN(len(rules))], URL: urls[r.IntN(len(urls))], Header: make(http.Header)}
		for _, name := range []string{"Authorization", "Cookie", "X-A", "X-B", "X-C"} {
			for range r.IntN(3) {
				req.Header.Add(name, values[r.IntN(len(values))])
			}
		}
		identity, _ := identity(req)
		out, err := f.request(t.Context(), req, identity, validators{})
		if err != nil {
			t.Fatal(err)
		}
		asked := fmt.Sprintf("%s %s %q", req.Rule.Name, out.URL, out.Header)
		k := f.key(req)
		if other, ok := requests[k]; ok && other != asked {
			t.Fatalf("one key for two requests:\n%s\n%s", asked, other)
		} else if ok {
			shared++
		}
		requests[k] = asked
	}
	t.Logf("%d keys, and %d requests that had the same as another", len(requests), shared)
	if shared < 5_000 || len(requests) < 5_000 {
		t.Error("only one of the two was tried")
	}
}

// TestOnlyVaryIsSent: nothing that a client says goes upstream but what vary
// names, and that as it was said.
func TestOnlyVaryIsSent(t *testing.T) {
	said := http.Header{
		"Authorization": {"canary-1"}, "Cookie": {`mysid=canary-0; sid="canary-2"; SID=canary-00; other=canary-3; sid=canary-4`, "sid=canary 5"}, "X-User": {"canary-6", "canary-7"},
		"Accept": {"canary/8"}, "User-Agent": {"canary-9"}, "X-Forwarded-For": {"canary-10"}, "Referer": {"canary-11"}, "If-None-Match": {"canary-12"},
		"Host": {"canary-13"}, "Accept-Language": {"canary-14"},
	}
	for _, c := range []struct {
		vary []string
		want http.Header
	}{
		{nil, nil},
		{[]string{"Authorization"}, http.Header{"Authorization": {"canary-1"}}},
		{[]string{"X-User", "X-None"}, http.Header{"X-User": {"canary-6", "canary-7"}}},
		{[]string{"Cookie:sid"}, http.Header{"Cookie": {`sid="canary-2"; sid=canary-4; sid=canary 5`}}},
		{[]string{"Cookie:none", "Accept-Language"}, http.Header{"Accept-Language": {"canary-14"}}},
		{[]string{"Cookie"}, http.Header{"Cookie": {`mysid=canary-0; sid="canary-2"; SID=canary-00; other=canary-3; sid=canary-4; sid=canary 5`}}},
	} {
		run(t, func(t *testing.T, p *Poller, u *upstream) {
			r := rule()
			r.Vary, r.Header = c.vary, http.Header{"X-Key": {"operator"}}
			defer mustWatch(t, p, Request{Rule: r, URL: "/x", Header: said}).Close()
			settle(5 * time.Second)
			for _, sent := range u.requests {
				got := sent.Header.Clone()
				for name, value := range map[string]string{"Accept": defaultAccept, "Accept-Encoding": "gzip", "User-Agent": "pollbridge", "X-Key": "operator"} {
					if got.Get(name) != value {
						t.Errorf("vary %q: %s is %q", c.vary, name, got[name])
					}
					got.Del(name)
				}
				if len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) || sent.Host != "upstream.test" {
					t.Errorf("vary %q: sent %q to %q, want %q", c.vary, got, sent.Host, c.want)
				}
			}
		})
	}
}

// TestNobodyJoinsAnothersPoll: of users who come while polls are under way each
// sees an answer to the own request.
func TestNobodyJoinsAnothersPoll(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			pause(r, 700*time.Millisecond)
			fmt.Fprintf(w, "%q", "for "+r.Header.Get("Authorization"))
		})
		r := rule()
		r.Vary = []string{"Authorization"}
		watches := make(map[*Watch]string)
		for i := range 60 {
			user := fmt.Sprint("user", i%20)
			w := mustWatch(t, p, Request{Rule: r, URL: "/x", Header: http.Header{"Authorization": {user}}})
			defer w.Close()
			watches[w] = user
			settle(50 * time.Millisecond)
		}
		settle(3 * time.Second)
		for w, user := range watches {
			if s := w.Newest(); s == nil || string(s.Body) != `"for `+user+`"` {
				t.Errorf("%s sees %+v", user, s)
			}
		}
		if p.Watched() != 20 {
			t.Errorf("%d resources for 20 users", p.Watched())
		}
	})
}

// TestGuardLooksAtEveryAnswer: a sign that an answer is one person's ends the
// sharing whenever it comes and on whatever answer, before anything of it is
// shown; where only that person is shown it, it is no reason.
func TestGuardLooksAtEveryAnswer(t *testing.T) {
	signs := map[string]http.Header{
		"Set-Cookie":          {"Set-Cookie": {"sid=canary"}},
		"private":             {"Cache-Control": {"max-age=1", `private="x, y"`}},
		"no-store":            {"Cache-Control": {"NO-STORE"}},
		"Vary: Cookie":        {"Vary": {"Origin", "accept-encoding, cookie"}},
		"Vary: *":             {"Vary": {"*"}},
		"Vary: Authorization": {"Vary": {"Authorization"}},
	}
	for name, sign := range signs {
		for _, answer := range []string{"first", "another", "the same", "304"} {
			for _, who := range []struct {
				header http.Header
				vary   []string
				alone  bool
			}{
				{nil, nil, false},
				{http.Header{"Accept-Language": {"de"}, "User-Agent": {"Mozilla"}}, []string{"Accept-Language", "User-Agent"}, false}, // millions have these
				{http.Header{"X-User": {""}}, []string{"X-User"}, false},
				{http.Header{"X-User": {"ann"}}, []string{"X-User"}, true},
				{http.Header{"Cookie": {"sid=1"}}, []string{"Cookie:sid", "Authorization"}, true},
				{http.Header{"Cookie": {"other=1"}}, []string{"Cookie:sid", "Authorization"}, false},
			} {
				shown := who.alone && (!strings.HasPrefix(name, "Vary") || name != "Vary: *" && len(who.vary) == 2)
				if !who.alone && strings.HasPrefix(name, "Vary: ") && name != "Vary: *" && len(who.vary) == 2 && who.vary[0] == "Cookie:sid" {
					shown = true // it differs by what the rule's vary names, which this client does not send
				}
				run(t, func(t *testing.T, p *Poller, u *upstream) {
					r := rule()
					r.Vary = who.vary
					u.answer(func(w http.ResponseWriter, r *http.Request) {
						marked := answer == "first" || time.Since(u.times[0]) > 3*time.Second
						body := `{"n":1}`
						if marked {
							for k, v := range sign {
								w.Header()[k] = v
							}
							if answer == "another" || answer == "first" {
								body = `{"n":"canary"}`
							}
						}
						w.Header().Set("Etag", `"1"`)
						if r.Header.Get("If-None-Match") != "" && (!marked || answer == "304") {
							w.WriteHeader(http.StatusNotModified)
							return
						}
						io.WriteString(w, body)
					})
					w := mustWatch(t, p, Request{Rule: r, URL: "/x", Header: who.header})
					defer w.Close()
					settle(10 * time.Second)
					s := w.Newest()
					if shown {
						if s == nil || s.Err != nil {
							t.Errorf("%s on %s answer to %v, vary %v: ended with %v", name, answer, who.header, who.vary, s.Err)
						}
						return
					}
					if s == nil || !s.Over || s.Err.Code != CodeNotShareable || !strings.Contains(s.Err.Message, "vary") || strings.Contains(string(s.Body), "canary") {
						t.Errorf("%s on %s answer to %v, vary %v: %+v, want it ended", name, answer, who.header, who.vary, s)
					}
				})
			}
		}
	}
}

// TestCookiesAreNotKept: a cookie that the upstream sets is neither shown nor
// sent back.
func TestCookiesAreNotKept(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Set-Cookie"] = []string{"a=canary; Path=/"}
			w.Header()["Set-Cookie2"] = []string{"b=canary"}
			fmt.Fprintf(w, "[%d]", u.count())
		})
		r := rule()
		r.Vary = []string{"Authorization"}
		w := mustWatch(t, p, Request{Rule: r, URL: "/x", Header: http.Header{"Authorization": {"me"}}})
		defer w.Close()
		settle(5 * time.Second)
		if h, _ := w.Newest().Header(); strings.Contains(fmt.Sprint(h), "canary") {
			t.Errorf("kept: %v", h)
		}
		for _, sent := range u.requests {
			if sent.Header["Cookie"] != nil {
				t.Errorf("sent: %v", sent.Header)
			}
		}
	})
}

// TestRevoked: a refusal of one identity ends its watches and no others, and
// what was known for it is shown to nobody any more.
func TestRevoked(t *testing.T) {
	for _, status := range []int{401, 403} {
		run(t, func(t *testing.T, p *Poller, u *upstream) {
			var revoked atomic.Bool
			u.answer(func(w http.ResponseWriter, r *http.Request) {
				if revoked.Load() && r.Header.Get("Authorization") == "ann" {
					w.WriteHeader(status)
					return
				}
				fmt.Fprintf(w, "%q", "for "+r.Header.Get("Authorization"))
			})
			r := rule()
			r.Vary = []string{"Authorization"}
			ann, bob := http.Header{"Authorization": {"ann"}}, http.Header{"Authorization": {"bob"}}
			a := mustWatch(t, p, Request{Rule: r, URL: "/x", Header: ann})
			b := mustWatch(t, p, Request{Rule: r, URL: "/x", Header: bob})
			defer b.Close()
			idle := mustWatch(t, p, Request{Rule: r, URL: "/y", Header: ann})
			settle(5 * time.Second)
			idle.Close()
			settle(20 * time.Second)
			revoked.Store(true)
			settle(2 * time.Second)
			if s := a.Newest(); !s.Over || s.Err.Status != status {
				t.Errorf("%d: %+v", status, s)
			}
			if s := b.Newest(); s.Over || s.Err != nil {
				t.Errorf("%d: and bob %+v", status, s)
			}
			a.Close()
			settle(time.Second)
			for _, path := range []string{"/x", "/y"} {
				again := mustWatch(t, p, Request{Rule: r, URL: path, Header: ann})
				for range 30 {
					if s := again.Newest(); s != nil && (s.Body != nil || s.Version != "") {
						t.Fatalf("%d %s: what was known is shown after it: %+v", status, path, s)
					}
					settle(100 * time.Millisecond)
				}
				again.Close()
			}
			settle(time.Minute)
			for k := range p.watched {
				if s, ok := p.idle.Peek(k); ok {
					t.Errorf("%d: kept %s", status, s.snapshot.Body)
				}
			}
		})
	}
}

// TestNoCredentialIsKept: once nobody watches, nothing of a client's headers is
// in the poller's memory; its key is a hash that nobody else can make.
func TestNoCredentialIsKept(t *testing.T) {
	if raceEnabled {
		t.Skip("it looks at the memory of goroutines that run")
	}
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		r.Vary = []string{"Authorization", "Cookie:sid", "X-Key"}
		h := http.Header{"Authorization": {"Bearer canary1"}, "Cookie": {"sid=canary2; x=canary3"}, "X-Key": {"canary4"}, "X-Other": {"canary5"}}
		w := mustWatch(t, p, Request{Rule: r, URL: "/x", Header: h})
		refused := mustWatch(t, p, Request{Rule: r, URL: "/refused", Header: h})
		settle(2 * time.Second)
		if found := search(reflect.ValueOf(p.watched), "canary5", "canary3"); found != "" {
			t.Errorf("what is watched holds %s, which vary does not name", found)
		}
		if found := search(reflect.ValueOf(p.watched), "canary2"); found == "" {
			t.Fatal("the search does not find what is there")
		}
		u.answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) })
		settle(2 * time.Second)
		refused.Close()
		u.body("{}")
		w.Close()
		settle(2 * time.Minute)
		if p.idle.Len()+p.refused.Len() == 0 {
			t.Fatal("nothing is remembered")
		}
		for _, v := range []any{p.watched, p.idle, p.refused, p.fetch} {
			if found := search(reflect.ValueOf(v), "canary"); found != "" {
				t.Errorf("%T holds %q", v, found)
			}
		}
		other := New(Options{})
		defer other.Close()
		again := Request{Rule: r, URL: "/x", Header: h.Clone()}
		if req := (Request{Rule: r, URL: "/x", Header: h}); other.fetch.key(req) == p.fetch.key(req) || p.fetch.key(again) != p.fetch.key(req) {
			t.Error("the key is no keyed hash")
		}
	})
}

// search looks for any of the words in all strings and bytes that v leads to.
func search(v reflect.Value, words ...string) string {
	seen := make(map[uintptr]bool)
	var look func(v reflect.Value) string
	look = func(v reflect.Value) string {
		switch v.Kind() {
		case reflect.String:
			if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(v.String(), w) }) {
				return v.String()
			}
		case reflect.Pointer, reflect.Interface:
			if v.IsNil() || v.Kind() == reflect.Pointer && seen[v.Pointer()] || strings.HasPrefix(v.Type().String(), "*http.") {
				return "" // net/http's buffers are its own business
			}
			if v.Kind() == reflect.Pointer {
				seen[v.Pointer()] = true
			}
			return look(v.Elem())
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[Options]() {
				return ""
			}
			for i := range v.NumField() {
				if found := look(v.Field(i)); found != "" {
					return found
				}
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next(); {
				if found := look(it.Key()) + look(it.Value()); found != "" {
					return found
				}
			}
		case reflect.Slice, reflect.Array:
			if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
				if slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(v.Bytes(), []byte(w)) }) {
					return string(v.Bytes())
				}
				return ""
			}
			for i := range v.Len() {
				if found := look(v.Index(i)); found != "" {
					return found
				}
			}
		}
		return ""
	}
	return look(v)
}

// TestRedirects: those within the upstream are followed, with the headers of
// the poll but without its validators; all others are not, whoever asks.
func TestRedirects(t *testing.T) {
	for _, to := range []string{
		"http://elsewhere.test/target", "https://upstream.test/target", "http://upstream.test:81/target", "//elsewhere.test/target",
		"http://upstream.test@elsewhere.test/target", "http://upstream.test.elsewhere.test/target", "file:///target", "/loop", "http://[::1", "",
	} {
		run(t, func(t *testing.T, p *Poller, u *upstream) {
			u.answer(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Location", to); w.WriteHeader(302) })
			p.fetch = newFetcher(onlyTo{t, p.o.Transport, "http://upstream.test"})
			r := rule()
			r.Header, r.Vary = http.Header{"X-Api-Key": {"canary"}}, []string{"Authorization"}
			w := mustWatch(t, p, Request{Rule: r, URL: "/x", Header: http.Header{"Authorization": {"canary"}}})
			defer w.Close()
			settle(100 * time.Millisecond)
			if s := w.Newest(); s == nil || s.Err == nil || s.Body != nil {
				t.Errorf("%s: %+v", to, s)
			}
			for _, sent := range u.requests {
				if sent.Host != "upstream.test" || sent.URL.Path == "/target" {
					t.Errorf("%s: asked %s%s", to, sent.Host, sent.URL)
				}
			}
			if n := u.count(); n > 10 {
				t.Errorf("%s: %d requests for one poll", to, n)
			}
		})
	}
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		var target atomic.Value
		target.Store("/one")
		var conditional atomic.Int64
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Api-Key") != "key" || r.Header.Get("Authorization") != "me" {
				w.WriteHeader(401)
				return
			}
			if r.Header.Get("If-None-Match") != "" {
				conditional.Add(1)
				w.WriteHeader(http.StatusNotModified) // versions count from 1 under every path
				return
			}
			if r.URL.Path == "/x" {
				http.Redirect(w, r, "http://upstream.test"+target.Load().(string), http.StatusFound)
				return
			}
			w.Header().Set("Etag", `"1"`)
			fmt.Fprintf(w, "%q", r.URL.Path)
		})
		r := rule()
		r.Header, r.Vary = http.Header{"X-Api-Key": {"key"}}, []string{"Authorization"}
		w := mustWatch(t, p, Request{Rule: r, URL: "/x", Header: http.Header{"Authorization": {"me"}}})
		defer w.Close()
		for _, to := range []string{"/one", "/two", "/one"} {
			target.Store(to)
			settle(3 * time.Second)
			if s := w.Newest(); s == nil || s.Err != nil || string(s.Body) != `"`+to+`"` {
				t.Errorf("redirected to %s: %+v", to, s)
			}
		}
		if conditional.Load() > 0 {
			t.Errorf("%d requests with the validators of another URL", conditional.Load())
		}
	})
	run(t, func(t *testing.T, p *Poller, u *upstream) { // answers itself, with validators, and later redirects
		var moved atomic.Bool
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/x" && moved.Load():
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
			case r.Header.Get("If-None-Match") == `"1"`:
				w.WriteHeader(http.StatusNotModified)
			default:
				w.Header().Set("Etag", `"1"`)
				w.Header().Set("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
				fmt.Fprintf(w, "%q", r.URL.Path)
			}
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(3 * time.Second)
		moved.Store(true)
		settle(3 * time.Second)
		if s := w.Newest(); s.Err != nil || string(s.Body) != `"/elsewhere"` {
			t.Errorf("moved: %s %v", s.Body, s.Err)
		}
		for _, sent := range u.requests {
			if sent.URL.Path == "/elsewhere" && sent.Header.Get("If-None-Match")+sent.Header.Get("If-Modified-Since") != "" {
				t.Errorf("asked there with %v", sent.Header)
			}
		}
	})
}

// onlyTo is a transport that fails the test where a request goes elsewhere.
type onlyTo struct {
	t *testing.T
	http.RoundTripper
	origin string
}

func (o onlyTo) RoundTrip(r *http.Request) (*http.Response, error) {
	if origin := r.URL.Scheme + "://" + r.URL.Host; origin != o.origin {
		o.t.Errorf("a request to %s", origin)
	}
	return o.RoundTripper.RoundTrip(r)
}

// TestLyingValidators: an upstream that goes on saying 304 is found out.
func TestLyingValidators(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"never another"`)
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			fmt.Fprintf(w, "[%d]", time.Now().Unix())
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(time.Second)
		first := w.Newest()
		settle((unconditional + 1) * time.Second)
		if second := w.Newest(); second.Version == first.Version {
			t.Errorf("after %d polls still %s", u.count(), second.Body)
		}
	})
}

// TestShrinkingBodies: where the end of the connection is that of the body, a
// part of it looks like all of it; it is believed when another poll says so.
func TestShrinkingBodies(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		const whole = "a,1\nb,2\nc,3\n"
		var body atomic.Value
		body.Store(whole)
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, "HTTP/1.0 200 OK\r\nContent-Type: text/csv\r\n\r\n"+body.Load().(string))
			conn.Close()
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(2 * time.Second)
		for range 5 { // cut off once, and once again, but not twice in a row
			n := u.count()
			body.Store(whole[:4])
			for u.count() == n {
				settle(10 * time.Millisecond)
			}
			body.Store(whole)
			for range 200 {
				settle(10 * time.Millisecond)
				if s := w.Newest(); s.Err != nil || string(s.Body) != whole {
					t.Fatalf("believed %q %v", s.Body, s.Err)
				}
			}
		}
		body.Store(whole[:4])
		settle(3 * time.Second)
		if s := w.Newest(); string(s.Body) != body.Load().(string) {
			t.Errorf("still %q though it stays %q", s.Body, body.Load())
		}
	})
}

// TestBombs: what is small on the wire and huge in memory is given up at the
// limit, and costs about that.
func TestBombs(t *testing.T) {
	if raceEnabled {
		t.Skip("what these take in time and memory is not what it is without the race detector")
	}
	var zeros bytes.Buffer
	zw := gzip.NewWriter(&zeros)
	for range 200 {
		zw.Write(bytes.Repeat([]byte(" "), 1<<20))
	}
	zw.Close()
	for name, c := range map[string]struct {
		encoding string
		body     []byte
		code     string // empty: it is a document
	}{
		"200 MiB in gzip":                {"gzip", zeros.Bytes(), CodeBodyTooLarge},
		"gzip in gzip":                   {"gzip, gzip", zeros.Bytes(), CodeBodyInvalid},
		"100,000 deep":                   {"", []byte(strings.Repeat("[", 100_000)), CodeBodyInvalid},
		"2 million deep objects":         {"", []byte(strings.Repeat(`{"":`, 2_000_000)), CodeBodyInvalid},
		"4 million members":              {"", []byte("[" + strings.Repeat("0,", 4_000_000) + "0]"), ""},
		"600,000 names":                  {"", manyNames(600_000), ""},
		"one long number":                {"", bytes.Repeat([]byte("9"), 8_000_000), ""},
		"one long string":                {"", []byte(`"` + strings.Repeat(`\u0000`, 1_300_000) + `"`), ""},
		"400 KiB of gzip's empty blocks": {"gzip", manyMembers(20_000), CodeBodyInvalid},
	} {
		run(t, func(t *testing.T, p *Poller, u *upstream) {
			body := c.body
			u.answer(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if c.encoding != "" {
					w.Header().Set("Content-Encoding", c.encoding)
				}
				w.Write(body)
			})
			before, start := allocated(), cpu()
			w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
			defer w.Close()
			settle(1500 * time.Millisecond)
			s := w.Newest()
			if s == nil || (s.Err == nil) != (c.code == "") || s.Err != nil && s.Err.Code != c.code {
				t.Fatalf("%s: %+v", name, s)
			}
			if c.code == "" { // and compared with its like
				body = slices.Concat(body[:len(body)-2], body[len(body)-1:])
				settle(2 * time.Second)
			}
			if n := allocated() - before; n > 700<<20 {
				t.Errorf("%s of %d KiB took %d MiB of memory", name, len(c.body)>>10, n>>20)
			}
			t.Logf("%s: %d KiB took %d MiB and %v", name, len(c.body)>>10, (allocated()-before)>>20, (cpu() - start).Round(time.Millisecond))
		})
	}
}

func manyNames(n int) []byte {
	b := []byte("{")
	for i := range n {
		b = fmt.Appendf(b, `"%x":0,`, i)
	}
	b[len(b)-1] = '}'
	return b
}

// manyMembers is gzip of nothing, n times.
func manyMembers(n int) []byte {
	var one bytes.Buffer
	zw := gzip.NewWriter(&one)
	zw.Close()
	return bytes.Repeat(one.Bytes(), n)
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// cpu is what the process has used: in a bubble no other time passes.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// panics is a transport that fails in the worst way for some.
type panics struct{ http.RoundTripper }

func (p panics) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.URL.Query().Get("panic") {
	case "at once":
		panic("canary: at once")
	case "in the body":
		res := httptest.NewRecorder().Result()
		res.Body = io.NopCloser(panicking{})
		return res, nil
	}
	return p.RoundTripper.RoundTrip(r)
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("canary: in the body") }

// TestPanicInOneResource: it is that resource's failure, told as such, and
// nobody else's.
func TestPanicInOneResource(t *testing.T) {
	var log bytes.Buffer
	runWith(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(t *testing.T, p *Poller, u *upstream) {
		p.fetch = newFetcher(panics{p.o.Transport})
		var bad []*Watch
		for _, how := range []string{"at+once", "in+the+body"} {
			bad = append(bad, mustWatch(t, p, Request{Rule: rule(), URL: "/x?panic=" + how}))
		}
		good := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		settle(time.Minute)
		for _, w := range bad {
			if s := w.Newest(); s == nil || s.Err == nil || s.Err.Code != CodeBodyInvalid || strings.Contains(s.Err.Message, "canary") || s.Over {
				t.Errorf("%+v", s)
			}
			w.Close()
		}
		if s := good.Newest(); s.Err != nil || time.Since(s.Confirmed()) > time.Second {
			t.Errorf("and the other %+v", s)
		}
		good.Close()
		if n := strings.Count(log.String(), "canary"); n < 2 || !strings.Contains(log.String(), "hazards_test.go") {
			t.Errorf("the log does not say where it was:\n%s", log.String())
		}
	})
}

// TestInventedResources: whoever asks for no end of different things is polled
// for so many, and leaves nothing behind but what the limits give.
func TestInventedResources(t *testing.T) {
	total := 100_000 // a million takes ten times as long and leaves as little
	if testing.Short() || raceEnabled {
		total = 10_000
	}
	p := New(Options{Resources: 100, Concurrency: 4, Transport: nowhere{}})
	defer p.Close()
	r := rule()
	r.Vary = []string{"Authorization"}
	ask := func(n int) {
		for i := range n {
			w, err := p.Watch(Request{Rule: r, URL: fmt.Sprint("/x?", i), Header: http.Header{"Authorization": {fmt.Sprint(i)}}}, new(counter))
			if err != nil {
				t.Fatal(err)
			}
			w.Close()
		}
	}
	ask(1000)
	before := heap()
	start := time.Now()
	ask(total)
	if n := p.Watched(); n > 100 {
		t.Errorf("%d resources, the limit is 100", n)
	}
	grown := int64(heap()) - int64(before)
	t.Logf("%d resources in %v: the heap has grown by %d KiB, %d goroutines", total, time.Since(start).Round(time.Millisecond), grown>>10, runtime.NumGoroutine())
	if grown > 32<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
}

type nowhere struct{}

func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, io.ErrUnexpectedEOF
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestDiscreet: what a broken upstream says, of which a part may be somebody's
// secret, is in no error and not in the log.
func TestDiscreet(t *testing.T) {
	for _, answer := range []string{
		"canary\r\n\r\n", "HTTP/1.1 canary OK\r\n\r\n", "HTTP/canary 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncanary\r\n\r\n", "HTTP/1.1 200 OK\r\n X: canary\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX\x01canary: 1\r\n\r\n", "HTTP/1.1 200 OK\r\nX: \x00canary\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: canary\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: canary\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ncanary",
		"HTTP/1.1 302 Found\r\nLocation: http://u:canary@h:%zz/\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/?canary\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: :canary\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: \"\\\"canary\r\n\r\n",
		"HTTP/1.1 500 canary\r\n\r\ncanary", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\ncanary",
		"HTTP/1.1 200 OK\r\nContent-Type: image/png; name=canary\r\nContent-Length: 1\r\n\r\nc",
		"HTTP/1.1 200 OK\r\nContent-Encoding: " + strings.Repeat("x", 60) + "canary\r\nContent-Length: 1\r\n\r\nc",
		"HTTP/1.1 200 OK\r\nVary: " + strings.Repeat("x", 60) + "canary\r\nContent-Length: 1\r\n\r\nc",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: canary\r\nConnection: upgrade\r\n\r\ncanary",
	} {
		var log bytes.Buffer
		runWith(t, Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, func(t *testing.T, p *Poller, u *upstream) {
			u.answer(func(w http.ResponseWriter, r *http.Request) {
				conn, _, _ := w.(http.Hijacker).Hijack()
				io.WriteString(conn, answer)
				conn.Close()
			})
			r := rule()
			r.Vary = []string{"X-Key"}
			w := mustWatch(t, p, Request{Rule: r, URL: "/x?canary", Header: http.Header{"X-Key": {"canary"}}})
			defer w.Close()
			settle(time.Second)
			if s := w.Newest(); s == nil || s.Err == nil {
				t.Errorf("%.60q is an answer: %+v", answer, s)
			} else if text := s.Err.Error() + s.Err.Message; strings.Contains(text, "canary") {
				t.Errorf("%.60q: error %s", answer, text)
			}
			if strings.Contains(strings.ToLower(log.String()), "canary") || !strings.Contains(log.String(), "poll failed") {
				t.Errorf("%.60q: the log says %s", answer, log.String())
			}
		})
	}
}

// TestClosedWhileIdle: a connection that the upstream has closed at the wrong
// moment is no failure: a GET is sent again.
func TestClosedWhileIdle(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			conn, b, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			http.ReadRequest(bufio.NewReader(b)) // the next one is not answered
			conn.Close()
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		for range 1000 {
			settle(10 * time.Millisecond)
			if s := w.Newest(); s == nil || s.Err != nil {
				t.Fatalf("%+v", s)
			}
		}
		if n := u.count(); n < 9 {
			t.Errorf("%d polls in 10 s", n)
		}
	})
}

// TestIntervalsAreMonotonic: no interval is measured on the wall clock, which
// jumps. What takes the wall clock's reading out of a time is used to write one
// down, and where it is not, the reason is here.
func TestIntervalsAreMonotonic(t *testing.T) {
	for _, name := range []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Round"} {
		for _, dir := range []string{".", "../proxy"} {
			files, _ := filepath.Glob(dir + "/*.go")
			for _, file := range files {
				if strings.HasSuffix(file, "_test.go") {
					continue
				}
				set := token.NewFileSet()
				f, err := parser.ParseFile(set, file, nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				ast.Inspect(f, func(n ast.Node) bool {
					s, ok := n.(*ast.SelectorExpr)
					if !ok || s.Sel.Name != name {
						return true
					}
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && filepath.Base(file) == "resource.go" {
						return true // 1970 stands for at once
					}
					t.Errorf("%s: %s has no monotonic reading: what is the time for?", set.Position(s.Pos()), name)
					return true
				})
			}
		}
	}
}

// TestNothingIsReadTwice: the buffer that a poll is read into is used again,
// and no document of before changes with it.
func TestNothingIsReadTwice(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"url":%q,"n":%d}`, r.URL.Path, u.count()%7)
		})
		seen := make(map[*Snapshot]string)
		var watches []*Watch
		for i := range 10 {
			w := mustWatch(t, p, Request{Rule: rule(), URL: fmt.Sprint("/", i)})
			defer w.Close()
			watches = append(watches, w)
		}
		for range 100 {
			settle(333 * time.Millisecond)
			for _, w := range watches {
				s := w.Newest()
				if _, ok := seen[s]; !ok {
					seen[s] = string(s.Body)
				}
				if !strings.Contains(string(s.Body), `"`+s.URL+`"`) || s.Version != versionOf(s.Body) {
					t.Fatalf("%s is shown %s", s.URL, s.Body)
				}
			}
		}
		for s, body := range seen {
			if string(s.Body) != body || string(s.Doc.Bytes()) != body {
				t.Errorf("%s became %s", body, s.Body)
			}
		}
		if len(seen) < 100 {
			t.Errorf("only %d snapshots", len(seen))
		}
	})
}

// TestOnce: what is asked for once costs one request; what is asked for again
// is kept fresh.
func TestOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		again time.Duration // after the first; zero: never
		once  bool          // the second too
		want  int           // polls in a minute
	}{
		{"never again", 0, true, 1},
		{"again while it rests", time.Second / 2, true, 11},
		{"again when it is remembered", 30 * time.Second, true, 12},
		{"then watched", time.Second / 2, false, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(t *testing.T, p *Poller, u *upstream) {
				ask := func(once bool) {
					w := mustWatch(t, p, Request{Rule: rule(), URL: "/x", Once: once})
					if _, err := w.After(context.Background(), time.Now().Add(-time.Second)); err != nil {
						t.Error(err)
					}
					w.Close()
				}
				ask(true)
				if c.again > 0 {
					time.Sleep(c.again)
					ask(c.once)
				}
				settle(time.Minute)
				if n := u.count(); n < c.want-1 && c.want > 1 || n > c.want {
					t.Errorf("%d polls, want %d", n, c.want)
				}
				if n := p.Watched(); n != 0 {
					t.Errorf("%d resources are polled still", n)
				}
			})
		})
	}
}

// TestResourcesPerClient: nobody can use up what is there for all; what merely
// lingers makes room, of one's own first.
func TestResourcesPerClient(t *testing.T) {
	mallory, alice := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	runWith(t, Options{Resources: 12, ResourcesPerClient: 10}, func(t *testing.T, p *Poller, u *upstream) {
		watch := func(who netip.Addr, n int) (*Watch, error) {
			return p.Watch(Request{Rule: rule(), URL: fmt.Sprint("/x?", n), Client: who}, new(counter))
		}
		var held []*Watch
		for n := range 10 {
			w, err := watch(mallory, n)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, w)
		}
		if _, err := watch(mallory, 10); err != ErrTooManyOfClient {
			t.Errorf("the eleventh of one client: %v", err)
		}
		if w, err := watch(mallory, 3); err != nil {
			t.Errorf("one that is polled already: %v", err)
		} else {
			w.Close()
		}
		w, err := watch(alice, 100)
		if err != nil {
			t.Fatalf("somebody else: %v", err)
		}
		w.Close()
		held[4].Close()
		if w, err = watch(mallory, 10); err != nil {
			t.Errorf("after one was left: %v", err)
		}
		held = append(held, w)
		if n := p.Watched(); n != 11 {
			t.Errorf("%d resources, want 11: one's own makes room first", n)
		}
		for _, w := range held {
			w.Close()
		}
		settle(time.Minute)
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.watched) != 0 || len(p.causedBy) != 0 || p.unwatched.Load() != 0 {
			t.Errorf("in the end %d resources, %d clients, %d unwatched", len(p.watched), len(p.causedBy), p.unwatched.Load())
		}
	})
}
