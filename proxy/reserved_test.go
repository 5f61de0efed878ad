package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// ask sends a request, whose header lines are "Name: value".
func (w *world) ask(method, target string, header ...string) (*http.Response, string) {
	w.t.Helper()
	r, err := http.NewRequest(method, "http://proxy.test"+target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	res, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(body)
}

// TestReserved: what is below /.pollbridge/ is ours, even where a rule matches
// everything, and nothing of it reaches the upstream.
func TestReserved(t *testing.T) {
	within(t, "endpoints:\n  - {path: /, interval: 1s, vary: []}\n", func(w *world) {
		for _, c := range []struct {
			request string
			status  int
			body    string // a part of it
		}{
			{"GET /.pollbridge/pollbridge.js", 200, "subscribe"},
			{"GET /.pollbridge/pollbridge.iife.js?v=1", 200, "var pollbridge"},
			{"GET /.pollbridge/worker.js", 200, "identity"},
			{"GET /%2Epollbridge/pollbridge.js", 200, "subscribe"},
			{"HEAD /.pollbridge/pollbridge.js", 200, ""},
			{"GET /.pollbridge/identity", 200, ""},
			{"GET /.pollbridge/socket", 426, "docs/protocol.md"},
			{"POST /.pollbridge/pollbridge.js", 405, ""},
			{"GET /.pollbridge/", 404, "pollbridge.js"},
			{"GET /.pollbridge/x", 404, ""},
			{"POST /.pollbridge/api/orders", 404, ""},
			{"GET /.pollbridge/socket/", 404, ""},
		} {
			method, target, _ := strings.Cut(c.request, " ")
			res, body := w.ask(method, target)
			if res.StatusCode != c.status || !strings.Contains(body, c.body) {
				t.Errorf("%s: %s %.100q, want %d %q", c.request, res.Status, body, c.status, c.body)
			}
		}
		if n := w.polls(); n != 0 {
			t.Errorf("the upstream was asked %d times", n)
		}
		for _, target := range []string{"/.pollbridge", "/.pollbridgex", "/x/.pollbridge/pollbridge.js"} { // not ours
			w.ask("POST", target)
		}
		if n := w.polls(); n != 3 {
			t.Errorf("the upstream was asked %d times for what is not reserved, want 3", n)
		}
	})
}

func TestReservedSocket(t *testing.T) {
	within(t, basic+"socket: /push\nlimits: {connections: 2}\n", func(w *world) {
		p := w.dial("/.pollbridge/socket", nil)
		p.send(`{"type":"ping"}`)
		p.want(`{"type":"pong"}`)
		p.send(`{"type":"subscribe","url":"/api/x"}`)
		p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":1}}`)
		w.dial("/push", nil)
		conn, res := w.handshake("GET /.pollbridge/socket HTTP/1.1\r\n" + upgradeLines + "\r\n")
		conn.Close()
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("beyond the limit: %s", res.Status)
		}
	})
}

// TestIdentity: tabs that are told the same identity share a socket, so it is
// the same for the same credentials, another for others, and says nothing of
// them; a socket that names it is opened with these credentials only.
func TestIdentity(t *testing.T) {
	identity := func(w *world, header ...string) string {
		res, body := w.ask("GET", "/.pollbridge/identity", header...)
		if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "no-store" || len(body) < 20 {
			t.Errorf("%v: %s %v %q", header, res.Status, res.Header, body)
		}
		return body
	}
	var first string
	within(t, basic, func(w *world) {
		first = identity(w, "Cookie: sid=alice")
		if again := identity(w, "Cookie: sid=alice", "User-Agent: another"); again != first {
			t.Error("the same credentials have two identities")
		}
		for _, other := range [][]string{
			nil, {"Cookie: sid=bob"}, {"Cookie: sid=alice", "Authorization: Bearer x"}, {"Authorization: sid=alice"}, {"Cookie: sid=alic", "Authorization: e"},
		} {
			if identity(w, other...) == first {
				t.Errorf("%v has alice's identity", other)
			}
		}
		for _, c := range []struct {
			query, cookie string
			status        int
		}{
			{"?identity=" + first, "sid=alice", 101},
			{"?identity=" + first, "sid=bob", 403},
			{"?identity=x", "sid=alice", 403},
			{"", "sid=bob", 101},
		} {
			conn, res := w.handshake("GET /.pollbridge/socket" + c.query + " HTTP/1.1\r\n" + upgradeLines + "Cookie: " + c.cookie + "\r\n\r\n")
			conn.Close()
			if res.StatusCode != c.status {
				t.Errorf("%q as %s: %s, want %d", c.query, c.cookie, res.Status, c.status)
			}
		}
	})
	within(t, basic, func(w *world) {
		if identity(w, "Cookie: sid=alice") == first {
			t.Error("after a restart the identity is the same: it can be guessed")
		}
	})
	within(t, "endpoints:\n  - {path: /api/, interval: 1s, vary: []}\n", func(w *world) {
		if identity(w, "Cookie: sid=alice") != identity(w, "Cookie: sid=bob") {
			t.Error("no rule tells users apart, and yet they have two identities")
		}
	})
}
