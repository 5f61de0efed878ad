package listen

import (
	"net"
	"time"

	"github.com/pires/go-proxyproto"
)

// headerTimeout is how long a proxy may take to say for whom it connects.
const headerTimeout = 5 * time.Second

// A proxied connection begins with a PROXY protocol header; else reading from it
// fails, and refused is told why, unless the other side has said nothing at all.
type proxied struct {
	*proxyproto.Conn
	under   *heard
	refused func(want string) // nil: nobody, or nobody any more
}

func newProxied(conn net.Conn, refused func(want string)) *proxied {
	under := &heard{Conn: conn}
	return &proxied{proxyproto.NewConn(under, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(headerTimeout)), under, refused}
}

// Read implements net.Conn.
func (p *proxied) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if p.refused != nil {
		if err != nil && p.under.something && p.ProxyHeader() == nil {
			p.refused(Header)
		}
		p.refused = nil // the first read is the one that tells
	}
	return n, err
}

// Raw returns the connection itself, once the header was read.
func (p *proxied) Raw() net.Conn { return p.under.Conn }

// A heard connection knows whether anything came.
type heard struct {
	net.Conn
	something bool
}

// Read implements net.Conn.
func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	h.something = h.something || n > 0
	return n, err
}
