package passthrough

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
)

// Hijack gives httputil.ReverseProxy the client's connection for a tunnel. It reads from the connection alone, past what
// the server has already taken from it; a client that talks before the 101 arrives would lose those bytes.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err != nil || buffered.Reader.Buffered() == 0 {
		return conn, buffered, err
	}
	early := make([]byte, buffered.Reader.Buffered())
	buffered.Read(early) // gives all that it has
	return &earlyConn{conn, io.MultiReader(bytes.NewReader(early), conn)}, buffered, nil
}

// earlyConn is a connection of which some bytes were read too early.
type earlyConn struct {
	net.Conn
	all io.Reader
}

func (c *earlyConn) Read(p []byte) (int, error) { return c.all.Read(p) }

// CloseWrite tells the client that the upstream is done, if its kind of connection can.
func (c *earlyConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
