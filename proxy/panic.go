package proxy

import (
	"runtime/debug"

	"github.com/coder/websocket"
)

// A panic is a fault of this program, and whoever has run into it is not let
// down further than need be: one socket is closed, one comparison fails, and
// everybody else goes on. net/http does the same for requests, and the poller
// for polls.

// panicked logs what was recovered, with where it was.
func (p *Proxy) panicked(where string, v any) {
	p.log.Error("panic", "in", where, "panic", v, "stack", string(debug.Stack()))
}

// survive, deferred, has a panic end the socket with 1011 (RFC 6455, section
// 7.4.1) and nothing else.
func (s *socket) survive() {
	if v := recover(); v != nil {
		s.p.panicked("socket", v)
		go s.end(websocket.StatusInternalError, "internal error")
	}
}
