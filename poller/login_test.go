package poller

import (
	"cmp"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const loginPage = "<!DOCTYPE html><title>Log in</title>"

// TestRedirectToLogin: a redirect that can hardly be anything but one to a page
// to log in on ends the watches of the identity that it is given to, and drops
// what was known for it; any other redirect does not.
func TestRedirectToLogin(t *testing.T) {
	signedIn := http.Header{"Cookie": {"sid=ann"}}
	for _, c := range []struct {
		name   string
		before string      // the document's type while the session lasts; empty: there was none yet
		who    http.Header // nil: signedIn
		status int         // 0: 302
		to     string
		kind   string // of what is there; empty: a page
		text   string // empty: loginPage
		accept string // of the rule's headers
		vary   []string
		probe  bool
		want   string // the code of the end; empty: none
	}{
		{name: "another site", before: "application/json", to: "https://login.test/?back=/x", want: CodeUnauthorized},
		{name: "another site, 303", before: "application/json", status: 303, to: "//login.test/", want: CodeUnauthorized},
		{name: "another site, 307", before: "text/csv", status: 307, to: "http://upstream.test:81/login", want: CodeUnauthorized},
		{name: "another site by way of this one", before: "application/json", to: "/sso", want: CodeUnauthorized},
		{name: "another site from the start", to: "https://login.test/", want: CodeUnauthorized},
		{name: "a page", before: "application/json", to: "/login", want: CodeUnauthorized},
		{name: "a page, absolute", before: "application/json", to: "http://upstream.test/login", want: CodeUnauthorized},
		{name: "a page in XHTML", before: "application/json", to: "/login", kind: "application/xhtml+xml; charset=utf-8", want: CodeUnauthorized},
		{name: "a page instead of text", before: "text/csv", to: "/login", want: CodeUnauthorized},
		{name: "a page instead of JSON that is said to be HTML", before: "text/html", text: "", to: "/login", want: CodeUnauthorized},
		{name: "a page from the start", to: "/login", want: CodeUnauthorized},

		{name: "a page from the start, where pages are asked for", to: "/login", accept: "text/html"},
		{name: "moved for good", before: "application/json", status: 301, to: "https://elsewhere.test/x"},
		{name: "moved for good, 308", before: "application/json", status: 308, to: "/login"},
		{name: "to https", before: "application/json", to: "https://upstream.test/x"},
		{name: "with a slash", to: "/x/", kind: "text/html"},
		{name: "to a document", before: "application/json", to: "/replica", kind: "application/json", text: `{"n":1}`},
		{name: "to JSON that is said to be HTML", before: "application/json", to: "/replica", kind: "text/html", text: ` {"n":1}`},
		{name: "to text", before: "text/csv", to: "/replica", kind: "text/plain", text: "a,b\n"},
		{name: "round and round", before: "application/json", to: "/loop"},
		{name: "to what is broken", before: "application/json", to: "/broken"},
		{name: "of who has no credentials", before: "application/json", who: http.Header{}, to: "https://login.test/"},
		{name: "of who has no credentials, from the start", who: http.Header{}, to: "/login", want: CodeUnauthorized},
		{name: "of who has no credentials, from the start, to another site", who: http.Header{}, to: "https://login.test/", want: CodeUnauthorized},
		{name: "of kinds of clients, from the start", vary: []string{"Accept-Language"}, to: "https://login.test/"},
		{name: "of everybody", before: "application/json", vary: []string{}, to: "https://login.test/"},

		{name: "of who asks to be let in", probe: true, to: "/login", want: CodeUnauthorized},
		{name: "of who asks to be let in without credentials", probe: true, who: http.Header{}, to: "/login", want: CodeUnauthorized},
		{name: "of who asks to be let in, to https", probe: true, to: "https://upstream.test/x", want: CodeStatus},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(t *testing.T, p *Poller, u *upstream) {
				var ended atomic.Bool
				ended.Store(c.before == "")
				u.answer(func(w http.ResponseWriter, r *http.Request) {
					kind, text := "text/html", loginPage
					switch {
					case r.URL.Path == "/sso":
						http.Redirect(w, r, "https://login.test/", http.StatusSeeOther)
						return
					case r.URL.Path == "/broken":
						w.Header().Set("Content-Type", "text/html")
						w.WriteHeader(http.StatusNotFound)
						return
					case r.URL.Path == "/loop", r.URL.Path == "/x" && ended.Load() && r.Header.Get("Cookie") != "sid=bob":
						w.Header().Set("Location", c.to)
						w.WriteHeader(cmp.Or(c.status, http.StatusFound))
						return
					case r.URL.Path == "/x":
						kind, text = c.before, `{"for":"`+r.Header.Get("Cookie")+`"}`
						if kind == "text/csv" {
							text = "for\n" + r.Header.Get("Cookie") + "\n"
						}
					case c.kind != "":
						kind = c.kind
						if c.text != "" {
							text = c.text
						}
					}
					w.Header().Set("Content-Type", kind)
					io.WriteString(w, text)
				})
				rule := rule()
				rule.Vary, rule.Probe = []string{"Cookie"}, c.probe
				if c.vary != nil {
					rule.Vary = c.vary
				}
				if c.accept != "" {
					rule.Header = http.Header{"Accept": {c.accept}}
				}
				who := c.who
				if who == nil {
					who = signedIn
				}
				w := mustWatch(t, p, Request{Rule: rule, URL: "/x", Header: who})
				other := mustWatch(t, p, Request{Rule: rule, URL: "/x", Header: http.Header{"Cookie": {"sid=bob"}}})
				defer other.Close()
				settle(3 * time.Second)
				ended.Store(true)
				settle(3 * time.Second)
				s := w.Newest()
				if s == nil || c.want == "" && (s.Over || s.Err != nil && s.Err.Code == CodeUnauthorized) || c.want != "" && (!s.Over || s.Err.Code != c.want) {
					w.Close()
					t.Errorf("%+v, want it to end with %q", s, c.want)
					return
				}
				if s.Version != "" && strings.Contains(string(s.Body), "Log in") && c.accept == "" && c.to != "/x/" {
					t.Errorf("the page is the document: %s", s.Body)
				}
				if c.want != CodeUnauthorized {
					w.Close()
					return
				}
				if b := other.Newest(); c.before != "" && (b.Over || b.Err != nil) {
					t.Errorf("and another one's %+v", b)
				}
				if s.Err.Status/100 != 3 || strings.Contains(s.Err.Message, "login.test") {
					t.Errorf("%+v", s.Err)
				}
				w.Close()
				settle(time.Minute)
				if k := p.fetch.key(Request{Rule: rule, URL: "/x", Header: who}); p.idle.Contains(k) {
					t.Error("the document is kept")
				}
			})
		})
	}
}

// TestRedirectsAreGuarded: what marks a redirect as one person's says that where
// it leads is, too.
func TestRedirectsAreGuarded(t *testing.T) {
	for name, value := range map[string]string{"Set-Cookie": "sid=1", "Cache-Control": "private", "Vary": "Cookie"} {
		for i := range 4 {
			marked, alone := []string{"/me", "/"}[i%2], i >= 2
			run(t, func(t *testing.T, p *Poller, u *upstream) {
				u.answer(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == marked {
						w.Header().Set(name, value)
					}
					if to := map[string]string{"/me": "/", "/": "/users/1"}[r.URL.Path]; to != "" {
						http.Redirect(w, r, to, http.StatusFound)
						return
					}
					io.WriteString(w, `"canary"`)
				})
				r, h := rule(), http.Header{}
				if alone {
					r.Vary, h = []string{"Cookie"}, http.Header{"Cookie": {"sid=1"}}
				}
				w := mustWatch(t, p, Request{Rule: r, URL: "/me", Header: h})
				defer w.Close()
				settle(time.Second)
				s := w.Newest()
				if alone && (s == nil || s.Err != nil) {
					t.Errorf("%s: %s on a redirect ends what is one person's: %+v", name, value, s)
				}
				if !alone && (s == nil || !s.Over || s.Err.Code != CodeNotShareable || s.Body != nil) {
					t.Errorf("%s: %s on a redirect: %+v, want it not shared", name, value, s)
				}
			})
		}
	}
}

// TestTextBecomesAPage: what was text and answers with a page in HTML is broken,
// as JSON is that does; pages may stay pages.
func TestTextBecomesAPage(t *testing.T) {
	for before, broken := range map[string]bool{"text/csv": true, "text/plain": true, "": true, "text/html; charset=utf-8": false, "application/xhtml+xml": false} {
		run(t, func(t *testing.T, p *Poller, u *upstream) {
			sends := func(kind, text string) {
				u.answer(func(w http.ResponseWriter, r *http.Request) {
					w.Header()["Content-Type"] = []string{kind}
					io.WriteString(w, text)
				})
			}
			sends(before, "a,b\n")
			w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
			defer w.Close()
			settle(time.Second)
			sends("text/html", loginPage)
			settle(2 * time.Second)
			s := w.Newest()
			if shown := string(s.Body) == loginPage; shown == broken || broken != (s.Err != nil && s.Err.Code == CodeBodyInvalid) || s.Over {
				t.Errorf("%q and then a page: %+v", before, s)
			}
		})
	}
}
