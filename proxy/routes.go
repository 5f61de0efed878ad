package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pollbridge/config"
	"pollbridge/diff"
	"pollbridge/poller"
)

// An endpoint is one rule of the configuration, ready to be used.
type endpoint struct {
	routes *routes // that it is of
	config config.Endpoint
	rule   *poller.Rule

	// Of a rule with authorize: how to ask whether a client may see the
	// document, and how to poll for that client alone. Nil: without.
	probe, alone *poller.Rule
}

// ServeHTTP makes an endpoint something that a ServeMux can find. It is never
// called: the mux only matches, because serving with it would redirect and
// refuse requests that have to pass through.
func (*endpoint) ServeHTTP(http.ResponseWriter, *http.Request) {}

// routes are all rules. They are immutable.
type routes struct {
	mux         *http.ServeMux
	endpoints   []*endpoint          // in the order of the configuration
	byPath      map[string]*endpoint // the same
	refreshOn   []refreshOn
	credentials []string // every header that any rule needs to tell users apart
	generation  int      // how many came before

	replaced chan struct{} // closed when others are in force
}

func newRoutes(cfg *config.Config) (*routes, error) {
	rt := &routes{mux: http.NewServeMux(), byPath: make(map[string]*endpoint), replaced: make(chan struct{})}
	for _, e := range cfg.Endpoints {
		differ, err := diff.New(diff.Options{Keys: e.Keys, Ignore: e.Ignore})
		if err != nil {
			return nil, fmt.Errorf("endpoint %s: %w", e.Path, err)
		}
		ep := newEndpoint(e, cfg.Upstream, differ)
		ep.routes, rt.byPath[e.Path] = rt, ep
		rt.mux.Handle(e.Path, ep)
		rt.endpoints = append(rt.endpoints, ep)
		for _, pattern := range e.RefreshOn {
			rt.refreshOn = append(rt.refreshOn, newRefreshOn(pattern, ep))
		}
		for _, name := range ep.credentials() {
			if !slices.Contains(rt.credentials, name) {
				rt.credentials = append(rt.credentials, name)
			}
		}
	}
	return rt, nil
}

// credentials are the headers by which the endpoint tells users apart.
func (e *endpoint) credentials() (names []string) {
	for _, v := range e.config.Vary {
		name, _, _ := strings.Cut(v, ":")
		names = append(names, name)
	}
	if e.config.Touch > 0 {
		names = append(names, identityHeaders...)
	}
	return names
}

func newEndpoint(e config.Endpoint, upstream *url.URL, differ *diff.Differ) *endpoint {
	ep := &endpoint{config: e, rule: newRule(e, upstream, differ)}
	if e.Authorize == "false" || e.Authorize == "" {
		return ep
	}
	ep.rule.Shared, ep.rule.Proved = true, e.Authorize == "same"
	ep.probe, ep.alone = asClient(ep.rule, "probe"), asClient(ep.rule, "alone")
	ep.probe.Interval, ep.probe.MaxInterval = e.Reauthorize, 0
	ep.probe.Confirm, ep.probe.ConfirmShrink = 1, -1 // between two of these the document may well have changed, and what is lost may be a right
	ep.probe.Probe, ep.probe.Tells = e.Authorize == "true", e.Authorize == "same"
	return ep
}

func newRule(e config.Endpoint, upstream *url.URL, differ *diff.Differ) *poller.Rule {
	header := make(http.Header)
	for name, value := range e.Headers {
		header.Set(name, value)
	}
	return &poller.Rule{
		Name: e.Path, Upstream: upstream, Interval: e.Interval, MaxInterval: e.MaxInterval, Timeout: e.Timeout, Linger: e.Linger,
		Vary: e.Vary, Header: header, Differ: differ, Format: poller.Format(e.Format), MaxBody: e.MaxBody,
		ConfirmShrink: e.ConfirmShrink, Confirm: e.Confirm,
	}
}

// asClient returns the rule by which a client's own answer is polled: with its
// headers and none of the operator's, which might open what is shut to it.
func asClient(rule *poller.Rule, purpose string) *poller.Rule {
	own := *rule
	own.Purpose = purpose
	own.Shared, own.Proved = false, false
	own.Header = make(http.Header)
	for _, name := range []string{"Accept", "Accept-Language", "Host", "User-Agent"} {
		if v := rule.Header[name]; len(v) > 0 && !slices.Contains(rule.Vary, name) {
			own.Header[name] = v
		}
	}
	return &own
}

// resolve finds the rule that matches a request target (path and query), and
// the spelling of the target by which its resource is known. No rule matches a
// path that two servers could understand differently. The error says why no
// rule matches.
func (rt *routes) resolve(target string) (*endpoint, string, error) {
	path, query, _ := strings.Cut(target, "?")
	path, err := canonicalPath(path)
	if err != nil {
		return nil, "", err
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return nil, "", err
	}
	h, _ := rt.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: decoded, RawPath: path}})
	e, ok := h.(*endpoint)
	if !ok {
		return nil, "", errNoRule
	}
	if query = canonicalQuery(query, e.config.DropQuery); query != "" {
		path += "?" + query
	}
	if len(path) > maxTarget {
		return nil, "", errLong
	}
	return e, path, nil
}

// Why no rule matches a target. They are made once: most requests that pass
// through have one.
var (
	errNoRule    = errors.New("no rule matches this path")
	errLong      = fmt.Errorf("the URL has more than %d bytes", maxTarget)
	errNoPath    = errors.New("the path does not begin with /")
	errEscape    = errors.New("a % in the path is not followed by two hexadecimal digits")
	errCharacter = errors.New("the path has an encoded slash, a backslash or a control character, which servers understand differently")
	errHidden    = errors.New("the path has an escape within an escape, or overlong UTF-8, which servers understand differently")
	errSegment   = errors.New("the path has an empty segment, . or .., which servers understand differently")
)

// maxTarget bounds the URLs that are watched, in bytes as they are known.
const maxTarget = 8 << 10

// canonicalPath spells a path in one way (RFC 3986, section 6.2.2): what needs
// no escape has none, what needs one has it in upper case. It refuses what is
// ambiguous: empty and dot segments, encoded slashes, backslashes, control
// characters, and what is one of these to a server that is lenient (see hides). A segment counts without its parameters, because some servers
// cut off what follows a semicolon and then find "..".
func canonicalPath(path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", errNoPath
	}
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c, escaped := path[i], false
		if c == '%' {
			if i+2 >= len(path) {
				return "", errEscape
			}
			hi, lo := unhex(path[i+1]), unhex(path[i+2])
			if hi < 0 || lo < 0 {
				return "", errEscape
			}
			c, escaped = byte(hi<<4|lo), true
			i += 2
		}
		if c == '\\' || c < ' ' || c == 0x7f || escaped && c == '/' {
			return "", errCharacter
		}
		b = appendCanonical(b, c, escaped)
	}
	segments := strings.Split(string(b[1:]), "/")
	for i, s := range segments {
		name, _, _ := strings.Cut(strings.ReplaceAll(s, "%3B", ";"), ";")
		if name == "." || name == ".." || name == "" && (s != "" || i < len(segments)-1) {
			return "", errSegment
		}
	}
	if hides(string(b)) {
		return "", errHidden
	}
	return string(b), nil
}

// hides reports whether a canonical path has what a server may take for a dot, a
// slash or the like though it is none: an escape within an escape, which some
// decode twice, or overlong UTF-8, which some decode at all (CVE-2021-42013 and
// CVE-2008-2938 were of these kinds).
func hides(path string) bool {
	if !strings.Contains(path, "%") {
		return false
	}
	decoded, _ := url.PathUnescape(path) // canonical, so it has no bad escapes
	for i := range len(decoded) {
		c, rest := decoded[i], decoded[i+1:]
		switch {
		case c&^1 == 0xc0 && isTail(rest, 0xbf), c == 0xe0 && isTail(rest, 0x9f), c == 0xf0 && isTail(rest, 0x8f):
			return true
		case c == '%' && len(rest) >= 2 && unhex(rest[0]) >= 0 && unhex(rest[1]) >= 0:
			c = byte(unhex(rest[0])<<4 | unhex(rest[1]))
			if c < ' ' || c == 0x7f || c&^1 == 0xc0 || strings.IndexByte(`./\;%`, c) >= 0 {
				return true
			}
		}
	}
	return false
}

// isTail reports whether s begins with a byte that goes on with a character in
// UTF-8, up to the one given.
func isTail(s string, last byte) bool { return s != "" && s[0] >= 0x80 && s[0] <= last }

// canonicalQuery drops the parameters that are no part of the resource, and
// escapes what cannot stand in a request line. All else stays as it came:
// servers disagree about queries.
func canonicalQuery(query string, drop []string) string {
	var kept []string
	for p := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(p, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		if p != "" && !slices.Contains(drop, name) {
			kept = append(kept, p)
		}
	}
	joined := strings.Join(kept, "&")
	b := make([]byte, 0, len(joined))
	for i := range len(joined) {
		if c := joined[i]; c == '%' || printable(c) {
			b = append(b, c)
		} else {
			b = appendEscape(b, c)
		}
	}
	return string(b)
}

// appendCanonical appends one character of a path: plain where it is
// unreserved or came plain and may, else escaped.
func appendCanonical(b []byte, c byte, escaped bool) []byte {
	unreserved := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
	if unreserved || !escaped && c != '%' && printable(c) {
		return append(b, c)
	}
	return appendEscape(b, c)
}

// printable reports whether c may stand in a request target as it is. A
// backslash and a quote may not, so targets need no escape in JSON either.
func printable(c byte) bool {
	return c > ' ' && c < 0x7f && strings.IndexByte("\"\\<>^`{|}#", c) < 0
}

func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789ABCDEF"
	return append(b, '%', hex[c>>4], hex[c&15])
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// only returns those of a client's headers that some rule needs to tell users
// apart: nothing else of a request is kept while its socket is open.
func (rt *routes) only(h http.Header) http.Header {
	var kept http.Header
	for _, name := range rt.credentials {
		if values := h[name]; len(values) > 0 {
			if kept == nil {
				kept = make(http.Header)
			}
			kept[name] = values
		}
	}
	return kept
}
