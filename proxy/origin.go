package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// checkOrigin lets pages of the same host and of the configured origins in. A
// request without Origin is no page's: a browser always sends one with a
// WebSocket, so another site's page cannot leave it out (RFC 6455, section
// 10.2).
func (p *Proxy) checkOrigin(r *http.Request) error {
	values := r.Header["Origin"]
	if len(values) == 0 {
		return nil
	}
	u, err := url.Parse(values[0])
	if len(values) == 1 && err == nil && u.Host != "" {
		if bareHost(u.Scheme, u.Host) == bareHost(u.Scheme, r.Host) {
			return nil
		}
		for _, allowed := range p.cfg.Origins {
			if strings.EqualFold(allowed, values[0]) {
				return nil
			}
		}
	}
	return fmt.Errorf("origin %.100q may not connect to %q: list it in origins to allow it", strings.Join(values, ", "), r.Host)
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
