// Package listen opens what clients connect to: a TCP address, a Unix socket, or
// a socket that systemd has passed. What is spoken on it, TLS or the PROXY
// protocol, can be changed while it is open, for connections to come.
package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"pollbridge/systemd"
)

// Open binds the address that a key of the configuration gives: host:port,
// unix:/path, or systemd. The mode is that of a Unix socket's file.
func Open(key, address string, mode fs.FileMode) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix:")
	var l net.Listener
	var err error
	switch {
	case address == "systemd":
		l, err = systemd.Listen(key)
	case isUnix:
		l, err = openUnix(path, mode)
	default:
		l, err = net.Listen("tcp", address)
	}
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, &BusyError{key, address}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: %s is no address of this machine: give one that is, or none before the port for every address", key, address)
	case errors.Is(err, syscall.ENOENT) && isUnix:
		return nil, fmt.Errorf("%s: %s: there is no such directory, or no socket can be made in it", key, address)
	case errors.Is(err, syscall.EACCES) && isUnix:
		return nil, fmt.Errorf("%s: %s: this user may not make a socket there", key, address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: %s is not permitted to this user: ports below 1024 often are not", key, address)
	}
	return nil, fmt.Errorf("%s: %w", key, err)
}

// openUnix takes the place of a socket that a process has left behind, and of
// nothing else.
func openUnix(path string, mode fs.FileMode) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket && !answers(path) {
		os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func answers(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return !errors.Is(err, syscall.ECONNREFUSED)
	}
	conn.Close()
	return true
}

// A BusyError says that the address of a key is taken.
type BusyError struct{ key, address string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("%s: %s is in use by another program: stop that one, or give another address", e.key, e.address)
}

// Settings are what is spoken on a Listener. The zero value is the client's own
// protocol and nothing around it.
type Settings struct {
	TLS *tls.Config // nil: none

	// Proxies are those that say in a PROXY protocol header, of version 1 or 2, for
	// whom they have connected. Theirs is demanded, and nobody else's is read.
	Proxies []netip.Prefix

	// TurnedAway is called for each connection that is turned away for want of
	// something: because the process has hardly a file left to open, which is for its
	// own connections, or because NoMemory says so; and for each of Proxies that began
	// with anything but a header. Nil: none is turned away but the latter.
	TurnedAway func(want string)
	NoMemory   func() bool // nil: never
}

// What may be wanting.
const (
	Files  = "open_files"
	Memory = "memory"
	Header = "proxy_protocol"
)

// A Listener is one whose settings can change.
type Listener struct {
	net.Listener
	settings atomic.Pointer[Settings]
}

// New returns l with settings.
func New(l net.Listener, s Settings) *Listener {
	n := &Listener{Listener: l}
	n.Set(s)
	return n
}

// Set has connections to come go by other settings.
func (l *Listener) Set(s Settings) { l.settings.Store(&s) }

// Accept implements net.Listener. It waits for nothing that a client may or may
// not send.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.accept()
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(*net.UnixConn); ok {
		conn = local{c}
	}
	s := l.settings.Load()
	if len(s.Proxies) > 0 && among(conn.RemoteAddr(), s.Proxies) {
		conn = newProxied(conn, s.TurnedAway)
	}
	if s.TLS != nil {
		conn = tls.Server(conn, s.TLS)
	}
	return conn, nil
}

// accept turns away those for whom there is no room.
func (l *Listener) accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		s := l.settings.Load()
		want := s.want(conn)
		if want == "" {
			return conn, nil
		}
		s.TurnedAway(want)
		if s.TLS == nil {
			conn.SetWriteDeadline(time.Now().Add(time.Second)) // it fits into the kernel's buffer: none is waited for
			io.WriteString(conn, tooMany)
		}
		conn.Close()
	}
}

// want is what there is too little of to let a connection in; empty: nothing.
func (s *Settings) want(conn net.Conn) string {
	switch {
	case s.TurnedAway == nil:
		return ""
	case takesReserve(conn):
		return Files
	case s.NoMemory != nil && s.NoMemory():
		return Memory
	}
	return ""
}

// tooMany is the answer to who is turned away, whatever the request.
const tooMany = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// A local connection is one over a Unix socket. Its peer, which has no address,
// counts as one at 127.0.0.1: what is trusted there is trusted here.
type local struct{ *net.UnixConn }

// RemoteAddr implements net.Conn.
func (local) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func among(peer net.Addr, networks []netip.Prefix) bool {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}
