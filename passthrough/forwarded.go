package passthrough

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forward tells the upstream who asked, for what host, by which scheme. From a peer that is not trusted nothing
// of the kind is believed. From a trusted one all of it is kept, whatever its Connection header says, and extended.
func (h *handler) forward(out http.Header, in *http.Request) {
	peer := peerAddr(in.RemoteAddr)
	stripForwarded(out)
	if h.trusts(peer) {
		for name, values := range in.Header {
			if forwarding(name) && strings.IndexFunc(name, aliasOfHyphen) < 0 {
				out[name] = values[:len(values):len(values)]
			}
		}
	}
	if peer.IsValid() {
		appendTo(out, "X-Forwarded-For", peer.String())
		if out.Get("Forwarded") != "" {
			appendTo(out, "Forwarded", "for="+node(peer))
		}
	}
	if out.Get("X-Forwarded-Host") == "" && in.Host != "" {
		out.Set("X-Forwarded-Host", in.Host)
	}
	if out.Get("X-Forwarded-Proto") == "" {
		out.Set("X-Forwarded-Proto", scheme(in))
	}
}

// Asserted reports whether a header is one of those by which a proxy says who a client is: no client is believed
// when it says that itself.
func Asserted(name string) bool { return forwarding(name) }

// stripForwarded removes every header of the family and its look-alikes.
func stripForwarded(h http.Header) {
	for name := range h {
		if forwarding(name) {
			delete(h, name)
		}
	}
}

// forwarding reports whether an upstream may take the header for a word of a proxy about the client: Forwarded (RFC 7239),
// X-Forwarded-anything and X-Real-IP. CGI and what descends from it make one name of X-Real-IP, X_Real_IP
// and, some of them, X.Real.IP; so does this.
func forwarding(name string) bool {
	return equalName(name, "forwarded") || equalName(name, "x-real-ip") ||
		len(name) >= len("x-forwarded") && equalName(name[:len("x-forwarded")], "x-forwarded")
}

// equalName compares a header name with a lower-case one, without regard to case and with every sign as a hyphen.
func equalName(name, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case aliasOfHyphen(rune(c)):
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// aliasOfHyphen is true for the signs that a header name may hold besides the hyphen.
func aliasOfHyphen(c rune) bool {
	return c != '-' && (c < '0' || '9' < c && c < 'A' || 'Z' < c && c < 'a' || 'z' < c)
}

func (h *handler) trusts(peer netip.Addr) bool {
	return slices.ContainsFunc(h.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// peerAddr is the address of the other end of the connection: an IPv4 one as such even on a socket for both, without
// a zone, which means nothing elsewhere. It is the zero Addr, that no network contains, for a Unix socket.
func peerAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// node writes an address as RFC 7239, section 6, has it.
func node(a netip.Addr) string {
	if a.Is6() {
		return `"[` + a.String() + `]"`
	}
	return a.String()
}

func scheme(in *http.Request) string {
	if in.TLS != nil {
		return "https"
	}
	return "http"
}

// appendTo adds one element to a header that is a list, and makes one line of it.
func appendTo(h http.Header, name, element string) {
	list := slices.DeleteFunc(slices.Clone(h[name]), func(v string) bool { return v == "" })
	h.Set(name, strings.Join(append(list, element), ", "))
}
