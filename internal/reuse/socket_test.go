package reuse

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"

	"pollbridge/internal/unixhost"
)

// TestStay: a request to a Unix socket names localhost unless it names somebody, and only then does a redirect to localhost
// lead to the socket again.
func TestStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go server(l, func(_ int, r *http.Request) string {
		return "HTTP/1.1 302 Found\r\nHost-Was: " + r.Host + "\r\nLocation: " + r.URL.Query().Get("to") + "\r\nContent-Length: 0\r\n\r\n"
	})
	rt := New(&http.Transport{DialContext: new(net.Dialer).DialContext})
	defer rt.CloseIdleConnections()
	for _, c := range []struct{ host, to, was, location string }{
		{"", "http://localhost/x?a=b", "localhost", "/x?a=b"},
		{"", "http://localhost", "localhost", "/"},
		{"", "http://localhost//evil.test/", "localhost", "/.//evil.test/"},
		{"", "http://localhost.evil.test/", "localhost", "http://localhost.evil.test/"},
		{"", "http://localhost:81/", "localhost", "http://localhost:81/"},
		{"", "https://localhost/", "localhost", "https://localhost/"},
		{"app.test", "http://localhost/x", "app.test", "http://localhost/x"},
	} {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+unixhost.Of(path)+"/?to="+url.QueryEscape(c.to), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		res, err := rt.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if was, location := res.Header.Get("Host-Was"), res.Header.Get("Location"); was != c.was || location != c.location {
			t.Errorf("host %q, redirected to %s: it was asked for %q, and the redirect is to %q, want %q and %q", c.host, c.to, was, location, c.was, c.location)
		}
	}
}
