package proxy

import (
	"fmt"
	"net/http"
	"testing"
)

// TestOrigins is the matrix of whose pages may connect: those of the same host
// and of the configured origins, exactly, and what is no page.
func TestOrigins(t *testing.T) {
	const allowed = "origins: [\"https://app.example.com\", \"http://dev.example.com:3000\", \"http://[2001:db8::1]:8080\"]\n"
	for _, c := range []struct {
		host   string
		origin []string
		ok     bool
	}{
		{"proxy.test", nil, true}, // no browser
		{"proxy.test", []string{"http://proxy.test"}, true},
		{"proxy.test", []string{"https://proxy.test"}, true}, // TLS may end before us
		{"proxy.test", []string{"HTTP://PROXY.TEST"}, true},
		{"PROXY.test", []string{"http://proxy.TEST"}, true},
		{"proxy.test:80", []string{"http://proxy.test"}, true},
		{"proxy.test", []string{"http://proxy.test:80"}, true},
		{"proxy.test:443", []string{"https://proxy.test"}, true},
		{"proxy.test:8080", []string{"http://proxy.test:8080"}, true},
		{"127.0.0.1:8080", []string{"http://127.0.0.1:8080"}, true},
		{"[::1]:8080", []string{"http://[::1]:8080"}, true},
		{"[::1]", []string{"http://[::1]"}, true},
		{"[::1]:80", []string{"http://[::1]"}, true},

		{"proxy.test", []string{"https://app.example.com"}, true},
		{"proxy.test", []string{"HTTPS://App.Example.COM"}, true},
		{"proxy.test", []string{"http://dev.example.com:3000"}, true},
		{"proxy.test", []string{"http://[2001:db8::1]:8080"}, true},

		{"proxy.test", []string{"http://app.example.com"}, false},       // the scheme is part of it
		{"proxy.test", []string{"https://app.example.com:444"}, false},  // and the port
		{"proxy.test", []string{"http://dev.example.com"}, false},       //
		{"proxy.test", []string{"http://dev.example.com:30000"}, false}, //
		{"proxy.test", []string{"https://evil-app.example.com"}, false}, // the whole name
		{"proxy.test", []string{"https://app.example.com.evil.test"}, false},
		{"proxy.test", []string{"https://app.example.comevil.test"}, false},
		{"proxy.test", []string{"https://example.com"}, false},
		{"proxy.test", []string{"https://x.app.example.com"}, false},
		{"proxy.test", []string{"https://app.example.com."}, false},
		{"proxy.test", []string{"https://app.example.com/"}, false}, // no browser sends a path
		{"proxy.test", []string{"https://app.example.com@evil.test"}, false},
		{"proxy.test", []string{"app.example.com"}, false},
		{"proxy.test", []string{"//app.example.com"}, false},

		{"proxy.test", []string{"null"}, false}, // sandboxed frames, files
		{"proxy.test", []string{""}, false},
		{"proxy.test", []string{"file://"}, false},
		{"proxy.test", []string{"*"}, false},
		{"proxy.test", []string{"http://evil.test"}, false},
		{"proxy.test", []string{"http://evilproxy.test"}, false},
		{"proxy.test", []string{"http://proxy.test.evil.test"}, false},
		{"proxy.test", []string{"http://sub.proxy.test"}, false},
		{"proxy.test", []string{"http://test"}, false},
		{"proxy.test", []string{"http://proxy.test:8080"}, false},
		{"proxy.test:8080", []string{"http://proxy.test"}, false},
		{"proxy.test:8080", []string{"http://proxy.test:80"}, false},
		{"proxy.test:443", []string{"http://proxy.test"}, false},
		{"proxy.test:80", []string{"https://proxy.test"}, false},
		{"proxy.test", []string{"proxy.test"}, false},
		{"proxy.test", []string{"http:proxy.test"}, false},
		{"proxy.test", []string{"http://evil.test http://proxy.test"}, false},
		{"proxy.test", []string{"http://evil.test, http://proxy.test"}, false},
		{"proxy.test", []string{"http://proxy.test", "http://evil.test"}, false}, // which of them is it?
		{"proxy.test", []string{"http://evil.test", "http://proxy.test"}, false},
		{"[::1]:8080", []string{"http://[::1]"}, false},
		{"[fe80::80]", []string{"http://[fe80::]"}, false},
		{"127.0.0.1", []string{"http://localhost"}, false},
		{"proxy.test", []string{"chrome-extension://proxy.test"}, false}, // not the same site, whatever its name
		{"proxy.test", []string{"ftp://proxy.test"}, false},
	} {
		for _, path := range []string{"/", "/.pollbridge/socket", "/api/x"} {
			t.Run(fmt.Sprintf("%s on %s%s", c.origin, c.host, path), func(t *testing.T) {
				t.Parallel()
				within(t, basic+allowed, func(w *world) {
					request := "GET " + path + " HTTP/1.1\r\n" + upgradeLines
					request = request[:len("GET "+path+" HTTP/1.1\r\nHost: ")] + c.host + request[len("GET "+path+" HTTP/1.1\r\nHost: proxy.test"):]
					for _, o := range c.origin {
						request += "Origin: " + o + "\r\n"
					}
					conn, res := w.handshake(request + "\r\n")
					conn.Close()
					want := http.StatusForbidden
					if c.ok {
						want = http.StatusSwitchingProtocols
					}
					if res.StatusCode != want {
						t.Errorf("got %s, want %d", res.Status, want)
					}
					if !c.ok && w.polls() != 0 {
						t.Error("the upstream was asked for a page that may not connect")
					}
				})
			})
		}
	}
}

// TestSubprotocol: pollbridge.v1 is selected where it is offered, as it was
// written, and nothing where it is not: a browser that offers nothing is let in
// with new WebSocket(url) alone.
func TestSubprotocol(t *testing.T) {
	for _, c := range []struct{ offer, selected string }{
		{"", ""},
		{"Sec-WebSocket-Protocol: pollbridge.v1\r\n", "pollbridge.v1"},
		{"Sec-WebSocket-Protocol: graphql-ws, pollbridge.v1\r\n", "pollbridge.v1"},
		{"Sec-WebSocket-Protocol: other\r\nSec-WebSocket-Protocol: pollbridge.v1\r\n", "pollbridge.v1"},
		{"Sec-WebSocket-Protocol: other\r\n", ""},
		{"Sec-WebSocket-Protocol: pollbridge.v2, pollbridge\r\n", ""},
	} {
		within(t, basic, func(w *world) {
			conn, res := w.handshake("GET /api/x HTTP/1.1\r\n" + upgradeLines + c.offer + "\r\n")
			if got := res.Header.Get("Sec-Websocket-Protocol"); res.StatusCode != 101 || got != c.selected {
				t.Errorf("%q: %s, selected %q, want %q", c.offer, res.Status, got, c.selected)
			}
			go conn.listen()
			if got := conn.next(); got != "snapshot" {
				t.Errorf("%q: first came %q", c.offer, got)
			}
			conn.Close()
		})
	}
}
