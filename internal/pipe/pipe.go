// Package pipe is a network in memory, for tests: a listener whose connections
// are net.Pipe pairs. Nothing in it waits on the kernel, so a whole proxy with
// real servers and real clients runs inside one testing/synctest bubble, where
// minutes pass in milliseconds.
package pipe

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// A Listener is a net.Listener whose connections come from Dial. The zero
// value does not work: use Listen.
type Listener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

// Listen returns a new Listener.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return addr{} }

// Dial connects to the listener. Its network and address are not looked at,
// so that it fits http.Transport.DialContext.
func (l *Listener) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- conn{server}:
		return conn{client}, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Transport returns an http.Transport that dials the listener.
func (l *Listener) Transport() *http.Transport {
	return &http.Transport{DialContext: l.Dial, DisableCompression: true}
}

// conn has an address that parses, as those of real peers do.
type conn struct{ net.Conn }

func (conn) RemoteAddr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "127.0.0.1:1" }
