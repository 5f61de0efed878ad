package passthrough

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

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
		if len(target) > 4000 {
			t.Skip("with its fields it does not fit the 4,096 bytes that net/http reads at once: refused in between, the connection is reset")
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

// unescape decodes the path of a target and leaves its query alone.
func unescape(target string) string {
	path, query, _ := strings.Cut(target, "?")
	if p, err := url.PathUnescape(path); err == nil {
		path = p
	}
	return path + "?" + query
}
