package passthrough

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
)

// Hijack gives httputil.ReverseProxy the client's connection for a tunnel. It reads from the connection alone, past what
// the server has already taken from it; a client that talks before the 101 arrives would lose those bytes.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := x.control().Hijack()
	if err != nil {
		return conn, buffered, err
	}
	x.pace.tunnels(conn)
	t := &tunnel{Conn: conn, pace: &x.pace, all: conn}
	if n := buffered.Reader.Buffered(); n > 0 {
		early := make([]byte, n)
		buffered.Read(early) // gives all that it has
		t.all = io.MultiReader(bytes.NewReader(early), conn)
	}
	return t, buffered, nil
}

// A tunnel is a client's connection, of which some bytes may have been read too early. What moves either way counts.
type tunnel struct {
	net.Conn
	pace *pace
	all  io.Reader
}

// Read implements net.Conn.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.all.Read(p)
	t.pace.took(n, true)
	return n, err
}

// Write implements net.Conn.
func (t *tunnel) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.pace.took(n, true)
	return n, err
}

// CloseWrite tells the client that the upstream is done, if its kind of connection can. An error ends the tunnel.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
