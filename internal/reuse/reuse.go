// Package reuse sends the requests of many users over connections that are used again, such that nothing that
// was said on one for one user counts for another.
//
// Two things would: bytes that came after an answer and belong to none, because a Content-Length was too
// small, a HEAD was answered with a body, or an answer was sent twice; and a login that holds for the connection, as that
// of NTLM does and often that of Negotiate. An http.Transport alone hands a connection on before it has looked
// whether anything was left on it, and knows nothing of such logins.
package reuse

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
)

// A Transport makes requests over connections of its own, HTTP/1.1 alone; to a Unix socket where unixhost names it as
// the host. Make it with New.
type Transport struct{ t *http.Transport }

// New returns a Transport that works as t is set up, which must have a DialContext. t is not used otherwise after that.
func New(t *http.Transport) *Transport {
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		network, address = onSocket(network, address)
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c}, nil
	}
	return &Transport{t}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	stays := logsInConnection(req.Header)
	out := req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		c := connOf(got.Conn)
		if c == nil {
			return
		}
		if got.Reused && !c.clean(ctx) {
			c.Close() // the request goes over another one
		}
		if stays {
			c.keepFromOthers()
		}
	}}))
	out.Close = out.Close || stays && req.Header.Get("Upgrade") == ""
	named := name(out)
	res, err := t.t.RoundTrip(out)
	if named && err == nil {
		stay(res.Header)
	}
	return res, err
}

// CloseIdleConnections closes those that are not in use.
func (t *Transport) CloseIdleConnections() { t.t.CloseIdleConnections() }

// logsInConnection reports whether a request may log in all that follows it on its connection (RFC 4559, section 5).
func logsInConnection(h http.Header) bool {
	for _, v := range h["Authorization"] {
		v = strings.ToLower(strings.TrimSpace(v))
		if strings.HasPrefix(v, "ntlm") || strings.HasPrefix(v, "nego") {
			return true
		}
	}
	return false
}

func connOf(c net.Conn) *conn {
	if outer, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = outer.NetConn()
	}
	own, _ := c.(*conn)
	return own
}

// A conn knows whether somebody waits for it to have something to read: who reads through buffers does only when
// these are empty.
type conn struct {
	net.Conn
	mu      sync.Mutex // guards the fields below
	reading bool
	over    bool          // closed, or not to be used again
	changed chan struct{} // closed when one of them changes; nil: nobody waits
}

func (c *conn) Read(p []byte) (int, error) {
	c.set(&c.reading, true)
	defer c.set(&c.reading, false)
	return c.Conn.Read(p)
}

func (c *conn) Close() error {
	c.keepFromOthers()
	return c.Conn.Close()
}

// CloseWrite says that nothing follows, if the kind of connection can.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *conn) keepFromOthers() { c.set(&c.over, true) }

func (c *conn) set(field *bool, to bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*field = to
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// clean reports whether all that came on a connection that is used again was read and belonged to an answer. It waits
// until the reader has either come back for more or found what is wrong, which it does in its next step.
func (c *conn) clean(ctx context.Context) bool {
	for {
		c.mu.Lock()
		reading, over := c.reading, c.over
		if c.changed == nil && !reading && !over {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		switch {
		case over:
			return false
		case reading:
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
