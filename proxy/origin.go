package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// checkOrigin lets pages of the same host and of the configured origins in. A
// request without Origin is no page's: a browser always sends one with a
// WebSocket, so another site's page cannot leave it out (RFC 6455, section
// 10.2).
func (p *Proxy) checkOrigin(r *http.Request) error {
	values := r.Header["Origin"]
	if len(values) == 0 || sameHost(r) || p.listsOrigin(r) {
		return nil
	}
	return fmt.Errorf("origin %.100q may not connect to %.100q: list it in origins to allow it", strings.Join(values, ", "), r.Host)
}

// shownOrigin is the Origin of a request as the log may show it: scheme, host and port, or the null of a page that has
// none, and whatever else a client has written there not.
func shownOrigin(r *http.Request) string {
	values := r.Header["Origin"]
	if len(values) != 1 {
		return "several"
	}
	if values[0] == "null" {
		return "null"
	}
	u, err := url.Parse(values[0])
	if err != nil || u.Host == "" {
		return "unreadable"
	}
	origin := u.Scheme + "://" + u.Host
	return origin[:min(len(origin), 100)]
}

// sameHost reports whether the one Origin of a request is the host that it was
// sent to. Under other schemes than the web's, those of browser extensions and
// apps, names are given out by nobody and mean no host.
func sameHost(r *http.Request) bool {
	values := r.Header["Origin"]
	if len(values) != 1 {
		return false
	}
	u, err := url.Parse(values[0])
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && bareHost(u.Scheme, u.Host) == bareHost(u.Scheme, r.Host)
}

// listsOrigin reports whether the one Origin of a request is in origins.
func (p *Proxy) listsOrigin(r *http.Request) bool {
	values := r.Header["Origin"]
	return len(values) == 1 && slices.ContainsFunc(p.now().cfg.Origins, func(o string) bool { return strings.EqualFold(o, values[0]) })
}

// answersOrigin reports whether an answer that is stored for all can be given
// to a page of this request's origin: the same host needs no leave, those that
// are listed get it from us, and others have it where the upstream gives it to
// everybody (WHATWG Fetch, "CORS protocol").
func (p *Proxy) answersOrigin(r *http.Request, stored http.Header) bool {
	return len(r.Header["Origin"]) == 0 || sameHost(r) || p.listsOrigin(r) || stored.Get("Access-Control-Allow-Origin") == "*"
}

// allowOrigin lets pages of listed origins read the answer.
func (p *Proxy) allowOrigin(h http.Header, r *http.Request) {
	if len(p.now().cfg.Origins) > 0 {
		addVary(h, "Origin")
	}
	if p.listsOrigin(r) && !sameHost(r) {
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", "Age, Cache-Status, Delta-Base, ETag, IM, Preference-Applied, Pollbridge-At, Pollbridge-Since")
	}
}

// bareHost is host and port in lower case, without the scheme's default port.
func bareHost(scheme, host string) string {
	host = strings.ToLower(host)
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}
