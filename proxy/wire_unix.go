//go:build unix

package proxy

import (
	"net"
	"syscall"
)

// descriptor returns what gives access to a connection's descriptor; nil where it
// has none of its own, such as under TLS.
func descriptor(conn net.Conn) syscall.RawConn {
	if behind, ok := conn.(interface{ Raw() net.Conn }); ok { // a PROXY protocol header was read, and what came with it
		conn = behind.Raw()
	}
	own, ok := conn.(interface {
		syscall.Conn
		SetWriteBuffer(bytes int) error
	})
	if !ok {
		return nil
	}
	own.SetWriteBuffer(sendBuffer)
	raw, err := own.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// send writes what the kernel takes of b at once and returns how much that is.
func (s *sender) send(raw syscall.RawConn, b []byte) (int, error) {
	if s.write == nil {
		s.write = s.tryWrite
	}
	s.out, s.n, s.err = b, 0, nil
	if err := raw.Write(s.write); err != nil {
		return 0, err
	}
	return s.n, s.err
}

func (s *sender) tryWrite(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), s.out)
		switch err {
		case nil:
			s.n = n
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
		default:
			s.err = err
		}
		return true
	}
}

// await waits until there is something to read, or the connection ends. Answers
// to pings are taken in here.
func (w *wire) await() {
	w.raw.Read(w.readable)
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
		w.lastRead.Store(ticks())
	}
}
