package proxy

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestNobodySaysWhoHeIs: headers by which proxies say who a client is are believed
// from those in trusted_proxies, and a message can neither give them nor change
// what something in front has put on the connection.
func TestNobodySaysWhoHeIs(t *testing.T) {
	const rules = `
endpoints:
  - {path: /forwarded, interval: 1s, vary: [X-Forwarded-User]}
  - {path: /remote, interval: 1s, vary: [X-Remote-User, Authorization]}
`
	echo := func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, "%q", r.Header.Get("X-Forwarded-User")+r.Header.Get("X-Remote-User")+r.Header.Get("Authorization"))
	}
	for trusted, want := range map[string]string{"": `""`, "trusted_proxies: [127.0.0.1]\n": `"alice"`} {
		within(t, trusted+rules, func(w *world) {
			w.answer(echo)
			if _, body := w.do("GET", "/forwarded", "X-Forwarded-User: alice"); body != want {
				t.Errorf("%sGET: %s, want %s", trusted, body, want)
			}
			w.dial("/forwarded", http.Header{"X-Forwarded-User": {"alice"}}).want(`{"type":"snapshot","url":"/forwarded","version":"*","at":"*","data":` + want + `}`)
			p := w.dial("/", http.Header{"X-Remote-User": {"bob"}, "Authorization": {"old"}})
			say := func(url, name, value string) string {
				p.send(`{"type":"subscribe","url":%q,"headers":{%q:%q}}`, url, name, value)
				return fmt.Sprint(p.next())
			}
			for _, m := range []string{say("/forwarded", "X-Forwarded-User", "alice"), say("/remote", "X-Remote-User", "alice"), say("/remote", "x-remote-user", "")} {
				if !strings.Contains(m, "bad_message") {
					t.Errorf("%sa message that says who sends it is answered by %s", trusted, m)
				}
			}
			if m := say("/remote", "Authorization", "new"); !strings.Contains(m, "data:bobnew") {
				t.Errorf("%snew credentials are answered by %s", trusted, m)
			}
			if m := say("/remote", "X-Remote-User", "bob"); !strings.Contains(m, "data:bobold") {
				t.Errorf("%swhat the connection has is answered by %s", trusted, m)
			}
		})
	}
}

// TestSaysWhoHeIsAfterReload: nor where no rule needed the header when the
// connection was opened, so that it was not kept.
func TestSaysWhoHeIsAfterReload(t *testing.T) {
	within(t, "endpoints: [{path: /remote, interval: 1s}]", func(w *world) {
		p := w.dial("/", http.Header{"X-Remote-User": {"bob"}})
		w.reload("endpoints: [{path: /remote, interval: 1s, vary: [X-Remote-User]}]")
		p.send(`{"type":"subscribe","url":"/remote","headers":{"X-Remote-User":"alice"}}`)
		if _, m, err := p.ws.Read(context.Background()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("answered by %s %v, want to have to connect anew", m, err)
		}
	})
}

// TestSaidBeforeReload: nor by what came with an event stream or a long-poll when no
// rule needed it: a reload has them ask anew with the headers that they came with.
func TestSaidBeforeReload(t *testing.T) {
	const before, after = "endpoints: [{path: /x, interval: 1s, vary: []}]", "endpoints: [{path: /x, interval: 1s, vary: [X-Forwarded-User]}]"
	within(t, before, func(w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(rw, `"for %s"`, r.Header.Get("X-Forwarded-User"))
		})
		_, body := w.do("GET", "/x", "X-Forwarded-User: alice")
		tag := w.tag("/x")
		s := w.events("/x", "X-Forwarded-User: alice")
		defer s.cancel()
		polled := make(chan string, 1)
		go func() {
			_, body := w.do("GET", "/x", "X-Forwarded-User: alice", "Prefer: wait=10", "If-None-Match: "+tag)
			polled <- body
		}()
		s.next()
		if e := s.next(); body != `"for "` || !strings.Contains(e.data, `"for "`) {
			t.Fatalf("before: %s, %s", body, e.data)
		}
		w.reload(after)
		if e, body := s.next(), <-polled; !strings.Contains(e.data, `"for "`) && e.name != "current" || body != "" && body != `"for "` {
			t.Errorf("who says that he is alice is told %s and %s", e.data, body)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, r := range w.requests {
			if r.Header.Get("X-Forwarded-User") != "" {
				t.Error("polled for alice")
			}
		}
	})
}

// TestTrustedPeer: a proxy is trusted by its address, in whatever form that comes.
func TestTrustedPeer(t *testing.T) {
	within(t, "trusted_proxies: [fe80::/10, 10.0.0.0/8]\n"+basic, func(w *world) {
		for peer, want := range map[string]string{"[fe80::1%eth0]:1": "alice", "10.1.2.3:1": "alice", "[::ffff:10.1.2.3]:1": "alice", "[2001:db8::1%eth0]:1": "", "11.1.2.3:1": "", "@": ""} {
			r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-User": {"alice"}, "X-Forwarded-For": {"192.0.2.1"}}}
			if got := w.proxy.believed(r).Header.Get("X-Forwarded-User"); got != want {
				t.Errorf("%s says that it speaks for alice: %q is believed, want %q", peer, got, want)
			}
			if got := w.proxy.remote(r).String(); (got == "192.0.2.1") != (want != "") {
				t.Errorf("%s speaks for %s", peer, got)
			}
		}
	})
}
