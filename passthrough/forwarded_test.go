package passthrough

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// spoofed is what a client may send that an upstream may take for a proxy's word, with the known accidents: aliases, case,
// X-Forwarded-Prefix (CVE-2026-35051), names in Connection (CVE-2024-45410).
var spoofed = http.Header{
	"X-Forwarded-For":    {"6.6.6.6", "7.7.7.7"},
	"X-Forwarded-Host":   {"evil.example"},
	"X-Forwarded-Proto":  {"gopher"},
	"X-Forwarded-Prefix": {"/evil"},
	"X-Forwarded-User":   {"root"},
	"X-Forwarded":        {"for=6.6.6.6"},
	"Forwarded":          {"for=6.6.6.6;proto=https"},
	"X-Real-Ip":          {"6.6.6.6"},
	"X_forwarded_for":    {"6.6.6.6"},
	"X_FORWARDED_PREFIX": {"/evil"},
	"X.Forwarded.Host":   {"evil.example"},
	"X-Forwarded_proto":  {"gopher"},
	"X~real!ip":          {"6.6.6.6"},
	"X_real-Ip":          {"6.6.6.6"},
	"Connection":         {"X-Forwarded-For, X-Forwarded-Host, X-User, X-Real-IP"},
}

func TestForwarded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		remote string
		tls    bool
		sent   http.Header
		want   map[string]string // all that arrives, by lower-case name; values of several lines joined with " | "
	}{
		{"nothing sent", "192.0.2.1:1234", false, nil, map[string]string{
			"x-forwarded-for": "192.0.2.1", "x-forwarded-host": "api.example:81", "x-forwarded-proto": "http"}},
		{"TLS", "192.0.2.1:1234", true, nil, map[string]string{
			"x-forwarded-for": "192.0.2.1", "x-forwarded-host": "api.example:81", "x-forwarded-proto": "https"}},
		{"spoofed", "192.0.2.1:1234", false, spoofed, map[string]string{
			"x-forwarded-for": "192.0.2.1", "x-forwarded-host": "api.example:81", "x-forwarded-proto": "http"}},
		{"spoofed over IPv6", "[2001:db8::1]:1", false, spoofed, map[string]string{
			"x-forwarded-for": "2001:db8::1", "x-forwarded-host": "api.example:81", "x-forwarded-proto": "http"}},
		{"spoofed from an unknown kind of peer", "@", false, spoofed, map[string]string{
			"x-forwarded-host": "api.example:81", "x-forwarded-proto": "http"}},
		{"trusted", "10.1.2.3:1", false, spoofed, map[string]string{
			"x-forwarded-for": "6.6.6.6, 7.7.7.7, 10.1.2.3", "x-forwarded-host": "evil.example", "x-forwarded-proto": "gopher",
			"x-forwarded-prefix": "/evil", "x-forwarded-user": "root", "x-forwarded": "for=6.6.6.6",
			"forwarded": "for=6.6.6.6;proto=https, for=10.1.2.3", "x-real-ip": "6.6.6.6"}},
		{"trusted, IPv4 in IPv6", "[::ffff:10.1.2.3]:1", false, http.Header{"X-Forwarded-For": {"6.6.6.6"}}, map[string]string{
			"x-forwarded-for": "6.6.6.6, 10.1.2.3", "x-forwarded-host": "api.example:81", "x-forwarded-proto": "http"}},
		{"trusted, IPv6 with zone", "[fd00::1%eth0]:1", false, http.Header{"Forwarded": {"for=6.6.6.6", "for=_x"}}, map[string]string{
			"x-forwarded-for": "fd00::1", "x-forwarded-host": "api.example:81", "x-forwarded-proto": "http",
			"forwarded": `for=6.6.6.6, for=_x, for="[fd00::1]"`}},
		{"trusted, sends nothing", "10.1.2.3:1", true, nil, map[string]string{
			"x-forwarded-for": "10.1.2.3", "x-forwarded-host": "api.example:81", "x-forwarded-proto": "https"}},
		{"just outside", "11.0.0.1:1", false, http.Header{"X-Forwarded-For": {"6.6.6.6"}}, map[string]string{
			"x-forwarded-for": "11.0.0.1", "x-forwarded-host": "api.example:81", "x-forwarded-proto": "http"}},
		{"not of the family", "192.0.2.1:1", false, http.Header{"X-Real": {"1"}, "X-Real-Ips": {"2"}, "X-Forward": {"3"}, "X-User": {"4"}},
			map[string]string{"x-forwarded-for": "192.0.2.1", "x-forwarded-host": "api.example:81", "x-forwarded-proto": "http",
				"x-real": "1", "x-real-ips": "2", "x-forward": "3", "x-user": "4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			upstream := newRawUpstream(t, func(message) string { return plainAnswer })
			h := newHandler(t, Options{Upstream: upstream.url, TrustedProxies: []netip.Prefix{
				netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
			in := httptest.NewRequest("GET", "/", nil)
			in.Host, in.RemoteAddr, in.Header = "api.example:81", c.remote, c.sent.Clone()
			if in.Header == nil {
				in.Header = make(http.Header)
			}
			if c.tls {
				in.TLS = new(tls.ConnectionState)
			}
			h.ServeHTTP(httptest.NewRecorder(), in)
			got := make(map[string]string)
			for name, values := range upstream.take()[0].header {
				got[name] = strings.Join(values, " | ")
			}
			delete(got, "host")
			if !maps.Equal(got, c.want) {
				t.Errorf("got\n%v\nwant\n%v", list(got), list(c.want))
			}
			if c.sent != nil && fmt.Sprint(in.Header) != fmt.Sprint(c.sent) {
				t.Errorf("the client's request was changed: %v", in.Header)
			}
		})
	}
}

func list(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "\t%s: %s\n", k, m[k])
	}
	return b.String()
}

// Whatever the target, the request goes to the upstream's host, and is sent there as it was.
func FuzzTarget(f *testing.F) {
	for _, c := range requests {
		start, _, _ := strings.Cut(c.bytes, "\r\n")
		_, rest, _ := strings.Cut(start, " ")
		target, _, _ := strings.Cut(rest, " HTTP/")
		f.Add(target)
	}
	for _, target := range []string{"http://evil.example", "//evil.example/%2f", "http://u:p@h:1//x?", "a:b", "http:/x", "/%zz", "*", "*?", "@evil",
		"http://h//x|y", "///x\\y?z", "/\x80", "https://h?x/y://z", "x-y.z+1://[::1]/", "http:///x", "/:", "//", "/#"} {
		f.Add(target)
	}
	upstream := newRawUpstream(f, func(message) string { return plainAnswer })
	proxy := through(f, upstream.url)
	peer := serve(f, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	f.Fuzz(func(t *testing.T, target string) {
		if strings.ContainsAny(target, "\r\n") {
			t.Skip("not one target")
		}
		request := lines("GET "+target+" HTTP/1.1", "Host: h", "Connection: close")
		_, m := ask(t, proxy, request)
		seen := upstream.take()
		if len(seen) == 0 {
			// Refused: by net/http, as it would be without the handler, or because it names no path.
			_, direct := ask(t, peer, request)
			if m.start != "HTTP/1.1 400 Bad Request" && m.start != direct.start || strings.HasPrefix(target, "/") && m.start != direct.start {
				t.Errorf("%q: %q, directly %q", target, m.start, direct.start)
			}
			return
		}
		got := strings.TrimSuffix(strings.TrimPrefix(seen[0].start, "GET "), " HTTP/1.1")
		want := target
		if !strings.HasPrefix(target, "/") && target != "*" {
			want = afterAuthority(t, target)
		}
		if strings.HasPrefix(want, "//") && got != want { // the one exception, see the package comment
			got, want = unescape(got), unescape(want)
		}
		if got != want {
			t.Errorf("%q arrived as %q, want %q", target, got, want)
		}
	})
}

// afterAuthority finds path and query by way of the parsed URL, to check what is found by way of the text.
func afterAuthority(t *testing.T, target string) string {
	u, err := url.ParseRequestURI(target)
	if err != nil || u.Scheme == "" {
		t.Fatalf("%q was sent on, but is no URL: %v", target, err)
	}
	rest := target[len(u.Scheme)+len("://"):]
	if slash := strings.IndexAny(rest, "/?"); slash >= 0 {
		rest = rest[slash:]
	} else {
		rest = ""
	}
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	return rest
}

func unescape(path string) string {
	if p, err := url.PathUnescape(path); err == nil {
		return p
	}
	return path
}
