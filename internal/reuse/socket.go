package reuse

import (
	"net"
	"net/http"
	"strings"

	"pollbridge/internal/unixhost"
)

// localhost is what a server on a Unix socket is called where nobody has asked for another name, as curl does.
const localhost = "localhost"

// onSocket gives what to dial for an address whose host means a Unix socket.
func onSocket(network, address string) (string, string) {
	if host, _, err := net.SplitHostPort(address); err == nil {
		if path, ok := unixhost.Path(host); ok {
			return "unix", path
		}
	}
	return network, address
}

// name has a request to a Unix socket that names nobody name localhost, and reports whether it did.
func name(r *http.Request) bool {
	if r.Host != "" && r.Host != r.URL.Host {
		return false
	}
	if _, ok := unixhost.Path(r.URL.Host); !ok {
		return false
	}
	r.Host = localhost
	return true
}

// stay has a redirect within what was named localhost lead to the socket again, and not to whoever has that name.
func stay(h http.Header) {
	rest, ok := strings.CutPrefix(h.Get("Location"), "http://"+localhost)
	switch {
	case !ok:
	case rest == "":
		h.Set("Location", "/")
	case strings.HasPrefix(rest, "//"):
		h.Set("Location", "/."+rest) // which else would begin with a host
	case rest[0] == '/':
		h.Set("Location", rest)
	}
}
