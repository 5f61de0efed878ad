//go:build !unix

package proxy

import (
	"net"
	"syscall"
)

// Where there are no descriptors all goes by blocking reads and writes: descriptor
// returns nil, and what needs one is never called.

func descriptor(net.Conn) syscall.RawConn { return nil }

func (s *sender) send(syscall.RawConn, []byte) (int, error) { return 0, net.ErrClosed }

func (w *wire) await() {}
