package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard lets in what was sent to this listener, and by nobody else's page.
//
// The listener asks for no password: who reaches its address may use it. A
// browser on a machine that does reaches it too, for any page that it shows.
// Such a page gets nowhere in its own name: answers allow no other origin to read
// them, and what changes something is refused to another (RFC 6454). It could
// have its name point here once it is loaded (DNS rebinding), and be of the same
// origin then; so names are taken only where they were meant for this listener.
// An address cannot be pointed elsewhere.
func guard(hosts []string, next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "a page of another origin may not do this", http.StatusForbidden)
	}))
	next = origins.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := bareHost(r.Host); !isOurs(host, hosts) && !tellsNothing(r.URL.Path) {
			http.Error(w, fmt.Sprintf("this listener does not go by the name %.100q: list it in admin_hosts, if it should", host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// tellsNothing reports whether a path can be asked by any name, because what it
// answers is no secret: those who watch over a process use names of all kinds.
func tellsNothing(path string) bool { return path == "/livez" || path == "/readyz" }

// isOurs reports whether a host, in lower case, is an address, one of this
// machine's names for itself, or among hosts.
func isOurs(host string, hosts []string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(hosts, host)
}

// bareHost is the host of a Host field, in lower case and without its port.
func bareHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
