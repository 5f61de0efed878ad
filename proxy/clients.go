package proxy

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"pollbridge/config"
)

// clients counts open connections by client.
type clients struct {
	mu          sync.Mutex // guards the fields below
	total, each int        // at most
	count       int
	by          map[netip.Addr]int
}

// limit sets how many there may be. Those that are there stay.
func (c *clients) limit(l config.Limits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total, c.each = l.Connections, l.ConnectionsPerClient
}

// add counts one more connection, unless a limit forbids it.
func (c *clients) add(a netip.Addr) *limitError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count >= c.total {
		return &limitError{rejectConnections, c.total, http.StatusServiceUnavailable, 5}
	}
	if c.by[a] >= c.each {
		return &limitError{rejectClient, c.each, http.StatusTooManyRequests, 5}
	}
	if c.by == nil {
		c.by = make(map[netip.Addr]int)
	}
	c.count++
	c.by[a]++
	return nil
}

func (c *clients) remove(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count--
	if c.by[a]--; c.by[a] == 0 {
		delete(c.by, a)
	}
}

// client is who sent a request, as limits count: an IPv4 address, or the first
// 64 bits of an IPv6 address, of which whoever has one has 2^64 (RFC 6177).
func (p *Proxy) client(r *http.Request) netip.Addr {
	addr := p.remote(r)
	if addr.Is6() {
		network, _ := addr.Prefix(64) // fails on other lengths only
		return network.Addr()
	}
	return addr
}

// remote is the address that a request comes from: the peer, or, where that is
// a trusted proxy, whom it and those before it say they speak for. It is not
// valid where there is none, as on a Unix socket.
func (p *Proxy) remote(r *http.Request) netip.Addr {
	addr := peerOf(r)
	if !addr.IsValid() {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trusts(addr.Unmap()); i-- {
		hop, err := parseHop(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop
	}
	return addr.Unmap().WithZone("")
}

// peerOf is the address of the other end of the connection, an IPv4 one as such and
// without a zone, which no network contains; not valid where there is none.
func peerOf(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(host) // not valid otherwise
	return addr.Unmap().WithZone("")
}

// parseHop reads an address as proxies write it: some with the port.
func parseHop(text string) (netip.Addr, error) {
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr(), nil
	}
	return netip.ParseAddr(strings.Trim(text, "[]"))
}

func (p *Proxy) trusts(a netip.Addr) bool {
	for _, network := range p.now().cfg.TrustedProxies {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// sockets are the open ones.
type sockets struct {
	mu       sync.Mutex // guards the fields below
	open     map[*socket]struct{}
	draining bool
	none     chan struct{} // made when draining begins, closed when none is open
}

// add reports false when new sockets are not wanted any more.
func (ss *sockets) add(s *socket) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.draining {
		return false
	}
	if ss.open == nil {
		ss.open = make(map[*socket]struct{})
	}
	ss.open[s] = struct{}{}
	return true
}

// all returns the open ones.
func (ss *sockets) all() []*socket {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return slices.Collect(maps.Keys(ss.open))
}

func (ss *sockets) remove(s *socket) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.open, s)
	ss.doneLocked()
}

func (ss *sockets) doneLocked() {
	if !ss.draining || len(ss.open) > 0 {
		return
	}
	select {
	case <-ss.none: // it was so before
	default:
		close(ss.none)
	}
}

func (ss *sockets) drain(ctx context.Context, over time.Duration) {
	ss.mu.Lock()
	var open []*socket
	if !ss.draining { // else they are being closed already
		ss.draining, ss.none = true, make(chan struct{})
		for s := range ss.open {
			open = append(open, s)
		}
		ss.doneLocked()
	}
	none := ss.none
	ss.mu.Unlock()
	for i, s := range open { // a map's order is random enough
		s.leaveIn(over * time.Duration(i) / time.Duration(len(open)))
	}
	select {
	case <-none:
	case <-ctx.Done():
	}
}
