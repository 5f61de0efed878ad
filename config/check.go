package config

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"pollbridge/internal/unixhost"
)

// check adds what is wrong between keys each of which is right by itself. A key that was refused has kept its
// default and is not complained of again.
func (d *decoder) check(c *Config) {
	if c.Admin != "" && c.Admin == c.Listen && !strings.HasSuffix(c.Admin, ":0") && c.Admin != "systemd" {
		at, given := d.seen["admin"]
		if !given {
			at = d.seen["listen"]
		}
		d.refuse(at, at.found+", which is the address of both listen and admin", "two addresses")
	}
	for _, listener := range [][2]string{{"listen", c.Listen}, {"admin", c.Admin}} {
		if c.Upstream != nil && isAt(c.Upstream, listener[1]) {
			at := d.seen["upstream"]
			d.refuse(at, at.found+", which is the address of "+listener[0]+": requests would go round in circles", "the address of the API")
		}
	}
	mux, first := http.NewServeMux(), map[string]int{}
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		key := fmt.Sprintf("endpoints[%d]", i)
		e.Line = d.seen[key+".path"].line
		d.checkPath(c, mux, first, i)
		if at := d.seen[key+".max_interval"]; e.MaxInterval != 0 && e.MaxInterval < e.Interval {
			d.refuse(at, at.found, "at least the interval, or 0s")
		}
		d.checkHeaders(e, key)
	}
}

// checkPath registers the rule's path beside those before it, which first has the indexes of. The proxy matches with a
// ServeMux, so ServeMux is asked what conflicts, and its explanation is better than one of ours.
func (d *decoder) checkPath(c *Config, mux *http.ServeMux, first map[string]int, i int) {
	e := &c.Endpoints[i]
	if e.Path == "" {
		return
	}
	at := d.seen[fmt.Sprintf("endpoints[%d].path", i)]
	if strings.HasPrefix(e.Path, Reserved) {
		d.refuse(at, at.found+", and what is below "+Reserved+" is pollbridge's own", "another path")
		return
	}
	if matchesOnly(e.Path, c.Socket) {
		d.refuse(at, at.found+", which is the path of socket", "another path, or another socket")
	}
	err := register(mux, e.Path)
	var other conflict
	switch {
	case err == nil:
		first[e.Path] = i
	case errors.As(err, &other):
		d.refuse(at, at.found, d.beside(other, first[other.with], at))
	default:
		d.refuse(at, because(at.found, err), rulePath.what)
	}
}

// matchesOnly reports whether the pattern matches the one path and no other, which then cannot be both a rule's and socket's.
func matchesOnly(pattern, path string) bool {
	return pattern == path+"{$}" || pattern == path && !strings.HasSuffix(path, "/")
}

// beside says that a path must not conflict with that of an earlier rule, and why it does unless one of the two is not to be shown.
func (d *decoder) beside(c conflict, earlier int, at place) string {
	other := d.seen[fmt.Sprintf("endpoints[%d].path", earlier)]
	text := fmt.Sprintf("a path without conflict with %s on line %d", other.key, other.line)
	if at.secret || other.secret {
		return text
	}
	return text + "; " + c.reason
}

// checkHeaders refuses a header that is both set for everybody and to tell users apart: everybody
// would be shown what the one set value may see. With authorize the upstream is asked who may.
func (d *decoder) checkHeaders(e *Endpoint, key string) {
	if e.Authorize != "false" {
		return
	}
	for _, vary := range e.Vary {
		name, _, _ := strings.Cut(vary, ":")
		if _, set := e.Headers[name]; set {
			d.refuse(d.seen[join(key+".headers", name)], "a header that vary names too, by default or in the file",
				"a header that is not in vary; a rule that sends one "+name+" for all users leaves it out there, or has authorize: true")
		}
	}
}

// isAt reports whether a URL leads to where this program itself listens, as far
// as names and addresses of the machine's own for itself tell.
func isAt(u *url.URL, address string) bool {
	if path, ok := unixhost.Path(u.Host); ok {
		return "unix:"+path == address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return false // no TCP, or a port that is not known yet
	}
	to := u.Port()
	if to == "" {
		to = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if to != port {
		return false
	}
	there, here := loopback(u.Hostname()), loopback(host)
	switch {
	case u.Hostname() == host, there.IsValid() && there == here:
		return true
	case host == "", here == netip.IPv6Unspecified():
		return there.IsLoopback() || there.IsUnspecified()
	case here == netip.IPv4Unspecified():
		return there.Is4() && there.IsLoopback()
	}
	return false
}

// loopback is the address that a host is, where it is one or localhost.
func loopback(host string) netip.Addr {
	if host == "localhost" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	ip, _ := netip.ParseAddr(host) // none otherwise
	return ip
}
