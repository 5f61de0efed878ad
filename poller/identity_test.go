package poller

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
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
		{Name: "/s", Vary: []string{"Authorization", "Cookie"}, Shared: true}, {Name: "/y", Vary: []string{"Authorization", "Cookie"}, Purpose: "probe", Header: http.Header{"X-Key": {"1"}}},
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
		"Authorization": {"canary-1"}, "Cookie": {`mysid=canary-0; sid="canary-2"; SID=canary-00; other=canary-3; sid=canary-4`, "sid=canary 5", "\u00a0sid=canary-000;\u2003sid=canary-001; sid =canary-002"}, "X-User": {"canary-6", "canary-7"},
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
		{[]string{"Cookie"}, http.Header{"Cookie": {`mysid=canary-0; sid="canary-2"; SID=canary-00; other=canary-3; sid=canary-4; sid=canary 5; ` + "\u00a0sid=canary-000;\u2003sid=canary-001; sid =canary-002"}}},
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
		"semicolon":           {"Cache-Control": {"private; max-age=0"}},
		"space":               {"Cache-Control": {"no-cache no-store"}},
		"quotes":              {"Cache-Control": {`"private"`}},
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

// TestGuardLooksAtTrailers: what comes after the body counts as well.
func TestGuardLooksAtTrailers(t *testing.T) {
	for name, value := range map[string]string{"Cache-Control": "private", "Set-Cookie": "sid=canary", "Vary": "Cookie"} {
		run(t, func(t *testing.T, p *Poller, u *upstream) {
			u.answer(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, `{"n":"canary"}`)
				w.(http.Flusher).Flush()
				w.Header().Set(http.TrailerPrefix+name, value)
			})
			w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
			defer w.Close()
			settle(time.Second)
			if s := w.Newest(); s == nil || !s.Over || s.Err.Code != CodeNotShareable {
				t.Errorf("%s: %s after the body: %+v, want it ended", name, value, s)
			}
		})
	}
}

// TestCookiesAreNotKept: a cookie that the upstream sets is neither shown nor
// sent back, nor is shown what it says of the credentials of the poll.
func TestCookiesAreNotKept(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Set-Cookie"] = []string{"a=canary; Path=/"}
			w.Header()["Set-Cookie2"] = []string{"b=canary"}
			w.Header().Set("Authentication-Info", `nextnonce="canary"`)
			w.Header().Set("Connection", "x-hop") // which is about that alone
			w.Header().Set("X-Hop", "canary")
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
