package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"pollbridge/passthrough"
)

// Subscriptions may come with headers of their own, because a browser cannot set
// any when it opens a socket. They are kept for as long as the subscription is: a
// reload may have to ask with them.

// maxHeaders bounds what a connection keeps of them, in bytes: what two messages
// can hold, so that new ones can take the place of any.
const maxHeaders = 2 * readLimit

// withHeaders returns the socket's headers with those of a message in place of
// theirs. These are what they would be in a request: white space around a value is
// no part of it.
func (s *socket) withHeaders(e *endpoint, given map[string]string) (http.Header, error) {
	if len(given) == 0 {
		return s.header, nil
	}
	header := make(http.Header)
	for name, value := range given {
		name = http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldValue(value):
			return nil, fmt.Errorf("the value of %.40q has a control character", name)
		case !e.varies(name):
			return nil, fmt.Errorf("headers may name only what the rule's vary lists; %.40q is not among %s", name, strings.Join(e.rule.Vary, ", "))
		case header[name] != nil:
			return nil, fmt.Errorf("headers name %.40q twice", name)
		case passthrough.Asserted(name):
			return nil, fmt.Errorf("%.40q is for proxies to say who a client is, and for no message", name)
		}
		header[name] = []string{textproto.TrimString(value)}
		own := s.header[name]
		switch {
		case slices.Equal(own, header[name]):
			header[name] = own // once in memory
		case len(own) > 0 && !proves(name):
			return nil, fmt.Errorf("the connection came with another %.40q: only new Authorization and Cookie can take the place of what it has", name)
		}
	}
	for name, values := range s.header {
		if header[name] == nil {
			header[name] = values
		}
	}
	return header, nil
}

// proves reports whether a header is such that who can name a value has been given
// it. Others may have been set by something in front that has found out who the
// user is, and only there.
func proves(name string) bool { return name == "Authorization" || name == "Cookie" }

// believed returns a request without those headers that only a proxy can know
// better than the client, unless it is from one that is trusted. They matter where
// a rule's vary names one, which a reload may do while the request lasts; what
// passes through loses them anyway.
func (p *Proxy) believed(r *http.Request) *http.Request {
	asserts := false
	for name := range r.Header {
		asserts = asserts || passthrough.Asserted(name)
	}
	if !asserts || p.trusts(peerOf(r)) {
		return r
	}
	out := *r
	out.Header = maps.Clone(r.Header) // whose values nobody changes
	maps.DeleteFunc(out.Header, func(name string, _ []string) bool { return passthrough.Asserted(name) })
	return &out
}

// keepOnce returns headers as the connection keeps them: the same as those of an
// earlier subscription are kept once. It reports false where there is no room for
// more.
func (s *socket) keepOnce(header http.Header) (http.Header, bool) {
	size := s.ownSize(header)
	if size == 0 {
		return header, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	counted := make(map[uintptr]bool)
	for _, sub := range s.subscriptions {
		id := reflect.ValueOf(sub.header).Pointer()
		if sub.header == nil || counted[id] {
			continue
		}
		if maps.EqualFunc(sub.header, header, slices.Equal) {
			return sub.header, true
		}
		counted[id] = true
		size += s.ownSize(sub.header)
	}
	return header, size <= maxHeaders
}

// ownSize is the number of bytes of those values that are not the connection's.
func (s *socket) ownSize(header http.Header) (n int) {
	for name, values := range header {
		if own := s.header[name]; len(own) > 0 && len(values) > 0 && &own[0] == &values[0] {
			continue
		}
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}
