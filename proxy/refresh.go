package proxy

import (
	"net/http"
	"net/url"
	"strings"

	"pollbridge/poller"
)

// A refreshOn is one pattern of an endpoint's refresh_on.
type refreshOn struct {
	method  string
	mux     *http.ServeMux // matches the pattern alone
	refresh *endpoint
}

func newRefreshOn(pattern string, e *endpoint) refreshOn {
	method, path, _ := strings.Cut(pattern, " ")
	o := refreshOn{method: method, mux: http.NewServeMux(), refresh: e}
	o.mux.Handle(strings.TrimSpace(path), e)
	return o
}

func (o refreshOn) matches(method, decoded, path string) bool {
	if method != o.method {
		return false
	}
	h, _ := o.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: decoded, RawPath: path}})
	_, ok := h.(*endpoint)
	return ok
}

// wrote takes note that an unsafe request has passed through: if it was
// successful, what it may have changed is polled at once (RFC 9111, section
// 4.4), and no GET that arrives from now on is answered from an earlier poll.
// It is called before the client hears of the success. What the answer names as
// its Location or Content-Location counts as written to, too.
func (p *Proxy) wrote(r *http.Request, status int, header http.Header) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return
	}
	if status >= 400 {
		return
	}
	rt := p.now()
	rules, paths := make(map[string]bool), make(map[string]bool)
	for _, path := range written(r, header) {
		if _, _, err := rt.resolve(path); err == nil {
			paths[path] = true
		}
	}
	for _, e := range rt.refreshedBy(r.Method, r.URL.EscapedPath()) {
		rules[e.rule.Name] = true
	}
	if len(paths)+len(rules) == 0 {
		return
	}
	p.poller.Refresh(func(rule *poller.Rule, url string) bool {
		path, _, _ := strings.Cut(url, "?")
		return paths[path] || rules[rule.Name]
	})
}

// refreshedBy returns the endpoints whose refresh_on names a write to a path.
func (rt *routes) refreshedBy(method, path string) (named []*endpoint) {
	path, err := canonicalPath(path)
	if err != nil {
		return nil
	}
	decoded, _ := url.PathUnescape(path) // canonical, so it has no bad escapes
	for _, o := range rt.refreshOn {
		if o.matches(method, decoded, path) {
			named = append(named, o.refresh)
		}
	}
	return named
}

// written returns the paths that a request wrote to: its own, and those on the
// same host that the answer names.
func written(r *http.Request, header http.Header) []string {
	var paths []string
	for _, ref := range []string{"", header.Get("Location"), header.Get("Content-Location")} {
		u, err := r.URL.Parse(ref)
		if err != nil || u.Host != r.URL.Host && !strings.EqualFold(u.Host, r.Host) {
			continue
		}
		if path, err := canonicalPath(u.EscapedPath()); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// Refresh polls at once what is watched under the urls given, with any query
// where a url has none; everything that is watched where none is given. It
// returns how many resources that are.
func (p *Proxy) Refresh(urls ...string) int {
	wanted := make(map[string]bool)
	for _, u := range urls {
		if _, canonical, err := p.now().resolve(u); err == nil {
			wanted[canonical] = true
		}
	}
	return p.poller.Refresh(func(_ *poller.Rule, url string) bool {
		path, _, _ := strings.Cut(url, "?")
		return len(urls) == 0 || wanted[url] || wanted[path]
	})
}
