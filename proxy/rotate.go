package proxy

import (
	"math/rand/v2"
	"time"

	"github.com/coder/websocket"
)

// Connections that last for days would stay where they were opened, whatever
// has been added beside it since. So each ends when it is about as old as
// max_connection_age, at a time of its own, and its client comes back to where
// it is sent now. A drain is the same, sooner.

// MaxConnectionAge is about how old a connection may become. Zero: any age.
func (p *Proxy) MaxConnectionAge() time.Duration { return p.now().cfg.MaxConnectionAge }

// newShare is how much of max_connection_age one connection has: those that were
// opened together do not end together.
func newShare() float32 { return 0.9 + 0.2*rand.Float32() }

// lifetime is how long a connection with a share may last. Zero: any time.
func (p *Proxy) lifetime(share float32) time.Duration {
	return time.Duration(float64(share) * float64(p.MaxConnectionAge()))
}

// leaveIn has the socket end in a while, whatever its age.
func (s *socket) leaveIn(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave = ticks() + int64(d)
	if !s.closed {
		s.ping.Reset(min(d, pingInterval))
	}
}

// rotate ends the socket if its time is over. Otherwise it returns when to look
// again, no later than d from now.
func (s *socket) rotate(d time.Duration) (again time.Duration, over bool) {
	s.mu.Lock()
	until, reason := s.leave, "shutting down"
	s.mu.Unlock()
	if lifetime := s.p.lifetime(s.share); until == 0 && lifetime > 0 {
		until, reason = s.opened+int64(lifetime), "connect again"
	}
	left := time.Duration(until - ticks())
	switch {
	case until == 0:
		return d, false
	case left > 0:
		return min(d, left), false
	}
	s.end(websocket.StatusGoingAway, reason)
	return 0, true
}
