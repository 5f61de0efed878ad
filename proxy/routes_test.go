package proxy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pollbridge/config"
	"pollbridge/poller"
)

func testRoutes(t testing.TB, yaml string) *routes {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte("upstream: http://upstream.test:9/base\n"+yaml), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	rt, err := newRoutes(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

const manyRules = `
endpoints:
  - {path: "/api/{thing}", interval: 1s}
  - {path: "/api/fixed", interval: 1s}
  - {path: "/deep/{a}/x/{b}", interval: 1s, drop_query: ["_", "utm source"]}
  - {path: "/tree/{rest...}", interval: 1s, drop_query: []}
  - {path: "/ümlaut/{$}", interval: 1s}
  - {path: "/a%20b/c", interval: 1s}
`

// TestResolve: which targets are a rule's, and how they are spelled.
func TestResolve(t *testing.T) {
	rt := testRoutes(t, manyRules)
	for _, c := range []struct{ target, rule, url string }{
		{"/api/x", "/api/{thing}", "/api/x"},
		{"/api/fixed", "/api/fixed", "/api/fixed"},
		{"/api/fi%78ed", "/api/fixed", "/api/fixed"},
		{"/%61pi/x", "/api/{thing}", "/api/x"},
		{"/api/a%20b", "/api/{thing}", "/api/a%20b"},
		{"/api/a+b", "/api/{thing}", "/api/a+b"},
		{"/api/a%2bb", "/api/{thing}", "/api/a%2Bb"}, // + and %2B are not the same everywhere
		{"/api/%c3%bc", "/api/{thing}", "/api/%C3%BC"},
		{"/api/ü", "/api/{thing}", "/api/%C3%BC"},
		{"/api/%ff", "/api/{thing}", "/api/%FF"},
		{"/api/a:b@c!$&'()*,;=~", "/api/{thing}", "/api/a:b@c!$&'()*,;=~"},
		{"/api/a|b^c`{}<>\"", "/api/{thing}", "/api/a%7Cb%5Ec%60%7B%7D%3C%3E%22"},
		{"/api/%25", "/api/{thing}", "/api/%25"},
		{"/api/100%25", "/api/{thing}", "/api/100%25"},
		{"/api/%2541%25zz%25e", "/api/{thing}", "/api/%2541%25zz%25e"},
		{"/api/%25C3%25BC", "/api/{thing}", "/api/%25C3%25BC"},
		{"/api/M%FCnchen", "/api/{thing}", "/api/M%FCnchen"}, // Latin-1
		{"/api/%E0%A4%80%F0%90%80%80", "/api/{thing}", "/api/%E0%A4%80%F0%90%80%80"},
		{"/api/...", "/api/{thing}", "/api/..."},
		{"/api/a%3Fb", "/api/{thing}", "/api/a%3Fb"},
		{"/api/a%23b", "/api/{thing}", "/api/a%23b"},
		{"/a%20b/c", "/a%20b/c", "/a%20b/c"},
		{"/ümlaut/", "/ümlaut/{$}", "/%C3%BCmlaut/"},
		{"/tree/", "/tree/{rest...}", "/tree/"},
		{"/tree/a/b/", "/tree/{rest...}", "/tree/a/b/"},
		{"/deep/1/x/2", "/deep/{a}/x/{b}", "/deep/1/x/2"},

		{"/api/x?", "/api/{thing}", "/api/x"},
		{"/api/x?a=1&b=2", "/api/{thing}", "/api/x?a=1&b=2"},
		{"/api/x?b=2&a=1", "/api/{thing}", "/api/x?b=2&a=1"}, // order may matter to the upstream
		{"/api/x?a=1;b=2&c=%zz", "/api/{thing}", "/api/x?a=1;b=2&c=%zz"},
		{"/api/x?a=%41", "/api/{thing}", "/api/x?a=%41"},
		{"/api/x?_=123&a=1", "/api/{thing}", "/api/x?a=1"},
		{"/api/x?a=1&%5f=123&_", "/api/{thing}", "/api/x?a=1"},
		{"/api/x?__=1&a_=2", "/api/{thing}", "/api/x?__=1&a_=2"},
		{"/api/x?a=b?c=d", "/api/{thing}", "/api/x?a=b?c=d"},
		{"/api/x?a b\"<>", "/api/{thing}", "/api/x?a%20b%22%3C%3E"},
		{"/api/x?a=../..//\\", "/api/{thing}", "/api/x?a=../..//%5C"},
		{"/deep/1/x/2?utm+source=z&utm%20source=y&utm=w", "/deep/{a}/x/{b}", "/deep/1/x/2?utm=w"},
		{"/tree/?_=1", "/tree/{rest...}", "/tree/?_=1"},
	} {
		e, got, err := rt.resolve(c.target)
		if err != nil || e.config.Path != c.rule || got != c.url {
			t.Errorf("%s: got %q %v, want %q of %s", c.target, got, err, c.url, c.rule)
		}
	}
	for _, target := range []string{
		"", "*", "api/x", "?", "?a", "#", "/", "/api", "/api/", "/api/x/", "/api/x/y", "/API/x", "/ümlaut", "/ümlaut/x", "/tree",
		"//api/x", "/api//x", "/tree//x", "/tree/a//b", "///", "http://upstream.test/api/x", "//evil.test/api/x", "@evil.test/api/x",
		"/api/.", "/api/..", "/./api/x", "/api/../api/x", "/tree/a/../b", "/tree/a/.", "/tree/..", "/api/%2e", "/api/%2e%2E", "/tree/%2e./x", "/tree/.%2e",
		"/api/a%2fb", "/api/a%2Fb", "/api%2fx", "/tree/a%2f..%2fb", "/api/a\\b", "/api/a%5cb", "/api/a%5Cb", "/tree/..\\x",
		"/tree/..;/x", "/tree/..;a=b/x", "/tree/.;/x", "/api/..;", "/api/.;x", "/tree/%2e%2e;/x", "/tree/..%3b/x", "/tree/;/x", // path parameters (RFC 3986, section 3.3) that some servers cut off first
		"/api/a\x00", "/api/a%00", "/api/a\r\n", "/api/a%0d%0aX: y", "/api/\t", "/api/%7f", "/api/\x7f", "/api/%01",
		"/tree/%252e%252e/x", "/tree/%25%32%65./x", "/api/a%252fb", "/api/a%255Cb", "/api/a%2500", "/api/a%250a", "/tree/%25252e%25252e/x", "/tree/..%253b/x", // escaped twice
		"/tree/%c0%ae%c0%ae/x", "/tree/%C0%AE./x", "/api/a%c0%afb", "/api/a%C1%9Cb", "/api/%e0%80%ae", "/api/a%E0%80%AFb", "/api/%f0%80%80%ae", "/api/\xc0\xaf", "/tree/%25c0%25ae/x", // overlong UTF-8
		"/api/%", "/api/%4", "/api/%zz", "/api/%%", "/api/a%u0041",
		"/api/" + strings.Repeat("x", maxTarget), "/api/x?" + strings.Repeat("x", maxTarget), "/api/" + strings.Repeat("ü", maxTarget/4),
	} {
		if e, got, err := rt.resolve(target); err == nil {
			t.Errorf("%.80q: is %.80q of %s, and should be no rule's", target, got, e.config.Path)
		}
	}
}

// FuzzResolve: whatever a client writes, a target that is a rule's has one
// spelling, which is its own; and what is sent upstream goes to the upstream
// and is, byte for byte, what was matched.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{
		"/api/x?a=1&_=2", "/api/%62;x", "//evil.test/api/x", "/api/x#y", "/tree/a/../b", "/api/a\\b", "/tree/%2e%2e;/x", "/api/\r\nHost: evil",
		"/api/x?\r\nX: y", "/deep/a/x/b?utm source=1", "/ümlaut/", "http://evil.test/api/x", "/api/@evil.test", "/api/x?a=%zz;b", "/tree/:80/", "/api/\xff?\xff",
	} {
		f.Add(s)
	}
	rt := testRoutes(f, manyRules)
	base, _ := url.Parse("http://upstream.test:9/base")
	f.Fuzz(func(t *testing.T, target string) {
		e, canonical, err := rt.resolve(target)
		if err != nil {
			return
		}
		if e2, again, err := rt.resolve(canonical); err != nil || again != canonical || e2 != e {
			t.Fatalf("%q is %q, and that is %q %v", target, canonical, again, err)
		}
		for i := range len(canonical) {
			if c := canonical[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '"' {
				t.Fatalf("%q is %q, with %q in it", target, canonical, c)
			}
		}
		path, _, _ := strings.Cut(canonical, "?")
		decoded, err := url.PathUnescape(path)
		if err != nil {
			t.Fatal(err)
		}
		for s := range strings.SplitSeq(decoded, "/") {
			if s, _, _ = strings.Cut(s, ";"); s == "." || s == ".." {
				t.Fatalf("%q is %q, with a dot segment", target, canonical)
			}
		}
		checkPolled(t, base, e, canonical)
	})
}

// checkPolled polls a resource and looks at what is sent.
func checkPolled(t *testing.T, base *url.URL, e *endpoint, canonical string) {
	var sent *http.Request
	rule := *e.rule
	rule.Upstream = base
	p := poller.New(poller.Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		sent = r
		rec := httptest.NewRecorder()
		rec.WriteHeader(http.StatusGone)
		return rec.Result(), nil
	})})
	defer p.Close()
	woken := make(poller.Signal, 1)
	watch, err := p.Watch(poller.Request{Rule: &rule, URL: canonical}, woken)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	<-woken
	if s := watch.Newest(); sent == nil || s.Err == nil || s.Err.Code != poller.CodeGone {
		t.Fatalf("%q: was not sent: %v", canonical, s.Err)
	}
	var line strings.Builder
	if err := sent.WithContext(context.Background()).Write(&line); err != nil {
		t.Fatal(err)
	}
	want := "GET /base" + canonical + " HTTP/1.1\r\nHost: upstream.test:9\r\n"
	if u := sent.URL; u.Scheme != "http" || u.Host != "upstream.test:9" || u.User != nil || !strings.HasPrefix(line.String(), want) {
		t.Fatalf("%q: sent to %s://%s: %.200q, want %q", canonical, u.Scheme, u.Host, line.String(), want)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
