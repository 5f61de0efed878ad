package passthrough

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
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
		{"trusted, sends empty ones", "10.1.2.3:1", false, http.Header{"X-Forwarded-For": {"", "6.6.6.6"}, "X-Forwarded-Host": {""}, "X-Forwarded-Proto": {""}},
			map[string]string{"x-forwarded-for": "6.6.6.6, 10.1.2.3", "x-forwarded-host": "api.example:81", "x-forwarded-proto": "http"}},
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
