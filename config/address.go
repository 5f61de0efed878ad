package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"

	"pollbridge/internal/unixhost"
)

// address is where to listen. Names of services (":http") are refused: their numbers depend on the machine.
var address = kind[string]{addressWhat, textLike(addressText), func(text string) (string, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return text, usableUnixPath(path)
	}
	if text == "systemd" {
		return text, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || !validPort(port) || host != "" && !validHost(host) {
		return "", errKind
	}
	return text, nil
}}

var addressOrNone = kind[string]{address.what + `, or "" for none`, textLike("|" + addressText), func(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	return address.read(text)
}}

const (
	addressWhat = "host:port such as 127.0.0.1:8080, [::1]:8080, or :8080 for every address; unix:/path; or systemd, for a socket that it passes"
	addressText = `(\[[^\]]*\]|[^:]*):[0-9]+|unix:/.*|systemd`
	maxUnixPath = 107 // in bytes, as Linux has it; some have a few less
)

func usableUnixPath(path string) error {
	if !strings.HasPrefix(path, "/") || len(path) > maxUnixPath {
		return fmt.Errorf("a Unix socket's path begins with / and has at most %d bytes", maxUnixPath)
	}
	return nil
}

// hostName is a name as a Host header has it, without the port.
var hostName = kind[string]{"a host name such as pollbridge or admin.example.com, without a port", anyText, func(text string) (string, error) {
	if len(text) > 253 || !hostname.MatchString(text) || strings.Contains(text, "..") {
		return "", errKind
	}
	return strings.ToLower(text), nil
}}

// hostname also takes the underscores that container networks have in their names.
var hostname = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	_, err := hostName.read(host)
	return err == nil
}

func validPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

// validAuthority reports whether a URL's host, and its port if it has one, can exist.
func validAuthority(u *url.URL) bool {
	return validHost(u.Hostname()) && !strings.HasSuffix(u.Host, ":") && (u.Port() == "" || validPort(u.Port()))
}

const baseText = `[Hh][Tt][Tt][Pp][Ss]?://(\[[^\]]*\]|[^/?#@:]+)(:[0-9]+)?(/[^?#]*)?`

// baseURL reads a base URL. Credentials in it are refused, because URLs are logged. A path in it goes before that of every request; its last slash does not count.
func baseURL(to **url.URL) shape {
	const what = "an http or https URL such as http://127.0.0.1:9000 or https://api.example.com/base"
	return scalar[*url.URL]{to, kind[*url.URL]{what, textLike(baseText), func(text string) (*url.URL, error) {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || !validAuthority(u):
			return nil, errKind
		case u.User != nil:
			return nil, errors.New("with a user name; send credentials by an endpoint's headers")
		case strings.ContainsAny(text, "?#"):
			return nil, errors.New("with a query or fragment")
		case u.Path != "" && path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") && u.Path != "/":
			return nil, errors.New("with a path that is not clean")
		}
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
		return u, nil
	}}}
}

// upstreamURL reads a base URL, or unix:/path for a server on a Unix socket, which becomes the URL of a host that means it.
func upstreamURL(to **url.URL) shape {
	base := baseURL(to).(scalar[*url.URL])
	return scalar[*url.URL]{to, kind[*url.URL]{base.what + "; or unix:/path", textLike(baseText + `|unix:/.*`), func(text string) (*url.URL, error) {
		if path, ok := strings.CutPrefix(text, "unix:"); ok {
			return &url.URL{Scheme: "http", Host: unixhost.Of(path)}, usableUnixPath(path)
		}
		return base.kind.read(text)
	}}}
}

// ParseUpstream reads a value of upstream.
func ParseUpstream(text string) (*url.URL, error) {
	return upstreamURL(nil).(scalar[*url.URL]).kind.read(text)
}

// Shown is a URL as people are shown it: without credentials, and that of a server on a Unix socket by its path, as nginx writes it.
func Shown(u *url.URL) string {
	path, ok := unixhost.Path(u.Host)
	switch {
	case !ok:
		return u.Redacted()
	case u.Path == "":
		return "unix:" + path
	}
	return "http://unix:" + path + ":" + u.RequestURI()
}

// origin is compared with the Origin header byte by byte (RFC 6454, section 6.2), so what no browser writes is refused.
var origin = kind[string]{"scheme://host or scheme://host:port, as a browser writes it", textLike(`[^A-Z/?#*]+://[^A-Z/?#*]+`), func(text string) (string, error) {
	if strings.Contains(text, "*") {
		return "", errors.New("a wildcard would let pages connect that nobody named, with their visitors' cookies")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme == "" || u.User != nil || !validAuthority(u):
		return "", errKind
	case text != strings.ToLower(text):
		return "", errors.New("browsers write it in lower case")
	case text != u.Scheme+"://"+u.Host:
		return "", errors.New("an origin ends with the host and port")
	case u.Scheme == "http" && u.Port() == "80" || u.Scheme == "https" && u.Port() == "443":
		return "", errors.New("browsers leave the default port out")
	}
	return text, nil
}}

// network is a prefix; an address is the prefix of itself alone.
var network = kind[netip.Prefix]{"a network such as 10.0.0.0/8 or fd00::/8, or an address", textLike(`[0-9A-Fa-f:.]+(/[0-9]+)?`), func(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || p.Addr().Is4In6():
		return netip.Prefix{}, errKind
	case p != p.Masked():
		return netip.Prefix{}, errors.New("it has bits beyond its length")
	}
	return p, nil
}}
