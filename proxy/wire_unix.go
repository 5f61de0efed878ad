//go:build unix

package proxy

import (
	"net"
	"sync"
	"syscall"
)

// A descriptor is that of a connection, written to past net.Conn, which takes a
// lock of its own and looks at deadlines for each write: with ten thousand
// sockets that is memory which has to be fetched for each. The zero value is
// that of a connection that has none of its own, such as under TLS.
type descriptor struct {
	mu  sync.Mutex      // guards fd; held for as long as a write that does not wait takes
	fd  int             // -1: it is closed, or about to be
	raw syscall.RawConn // nil: there is none
}

// open takes over the descriptor of conn, if it has one.
func (d *descriptor) open(conn net.Conn) {
	if behind, ok := conn.(interface{ Raw() net.Conn }); ok { // a PROXY protocol header was read, and what came with it
		conn = behind.Raw()
	}
	own, ok := conn.(interface {
		syscall.Conn
		SetWriteBuffer(bytes int) error
	})
	if !ok {
		return
	}
	own.SetWriteBuffer(sendBuffer)
	raw, err := own.SyscallConn()
	if err != nil {
		return
	}
	if raw.Control(func(fd uintptr) { d.fd = int(fd) }) == nil {
		d.raw = raw
	}
}

func (d *descriptor) isThere() bool { return d.raw != nil }

// close has nothing written any more. It returns when nobody is writing.
func (d *descriptor) close() {
	d.mu.Lock()
	d.fd = -1
	d.mu.Unlock()
}

// send writes what the kernel takes of b at once and returns how much that is.
func (d *descriptor) send(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return 0, net.ErrClosed
	}
	for {
		switch n, err := sendNow(d.fd, b); err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return max(0, n), err
		}
	}
}

// await waits until there is something to read, or the connection ends. Answers
// to pings are taken in here.
func (w *wire) await() {
	w.descriptor.raw.Read(w.readable)
}

// readable reports whether there is something to read.
func (w *wire) readable(fd uintptr) bool {
	for {
		var head [len(pongFrame)]byte
		n, _, err := syscall.Recvfrom(int(fd), head[:], syscall.MSG_PEEK)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		case n < len(head) || head[0] != pongFrame[0] || head[1] != pongFrame[1]:
			return true
		}
		if n, _ = syscall.Read(int(fd), head[:]); n != len(head) { // cannot be: they were there
			return true
		}
		w.lastSign.Store(ticks())
	}
}
