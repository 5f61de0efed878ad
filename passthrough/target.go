package passthrough

import (
	"net/http"
	"net/url"
	"strings"
)

// originForm gives the target of a request line as an origin server expects it: path and query
// untouched, or "*" (RFC 9112, section 3.2). Of the absolute form it cuts off scheme and authority, and gives an empty
// path the form that section 3.2.4 asks for. It is false for what is neither: an authority, or a URL without one.
//
// It works on the text and not on the parsed URL because a url.URL does not hold all of the text.
func originForm(method, target string) (string, bool) {
	if target == "*" || strings.HasPrefix(target, "/") {
		return target, true
	}
	colon := strings.IndexAny(target, ":/?")
	if colon <= 0 || !strings.HasPrefix(target[colon:], "://") {
		return "", false
	}
	rest := target[colon+len("://"):]
	end := strings.IndexAny(rest, "/?")
	switch {
	case end < 0 && method == http.MethodOptions:
		return "*", true
	case end < 0:
		return "/", true
	case rest[end] == '?':
		return "/" + rest[end:], true
	}
	return rest[end:], true
}

// outURL is where a request with that target goes. Scheme and host are always the upstream's: the
// target is written after them and never resolved against them, so no client can name another host.
func (h *handler) outURL(target string) *url.URL {
	if target != "*" {
		target = h.base + target
	}
	u := &url.URL{Scheme: h.Upstream.Scheme, Host: h.Upstream.Host, Opaque: target}
	if !strings.HasPrefix(target, "//") {
		return u // the Opaque part of a URL is sent as it is
	}
	// But for one that begins with "//", which net/http takes for an authority. A parsed path is sent
	// as it is as well, as long as it holds only what a URL may hold.
	parsed, err := url.ParseRequestURI(target)
	if err != nil {
		return u // cannot be: the server has parsed it before
	}
	parsed.Scheme, parsed.Host = u.Scheme, u.Host
	return parsed
}
