package proxy

import (
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"pollbridge/poller"
)

// Why somebody is turned away. Those that are limits of the configuration are
// called as there.
const (
	rejectOrigin             = "origin"
	rejectFiles              = "open_files"
	rejectMemory             = "memory"
	rejectHeader             = "proxy_protocol"
	rejectConnections        = "connections"
	rejectClient             = "connections_per_client"
	rejectSubscriptions      = "subscriptions_per_connection"
	rejectResources          = "resources"
	rejectResourcesPerClient = "resources_per_client"
)

// counts are what is counted of requests, beside what the poller counts of
// rules. The zero value works.
type counts struct {
	mu       sync.Mutex // guards the fields below
	open     map[Way]int
	requests map[requestKind]uint64
	passed   map[int]*poller.Times // by class of the status
	rejected map[string]*rejection
	sockets  [len(causeNames)]uint64 // that were closed, by why
}

// closed counts a socket that was closed.
func (c *counts) closed(why cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sockets[why]++
}

// A requestKind is what requests are counted by.
type requestKind struct {
	way   Way
	class int // of the status: 2 is 2xx
}

// ended counts a request that has been answered in so long.
func (c *counts) ended(way Way, status int, took time.Duration) {
	class := status / 100
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests == nil {
		c.requests, c.passed = make(map[requestKind]uint64), make(map[int]*poller.Times)
	}
	c.requests[requestKind{way, class}]++
	if way != WayPass || status == http.StatusSwitchingProtocols { // which takes as long as its tunnel is used
		return
	}
	times := c.passed[class]
	if times == nil {
		times = new(poller.Times)
		c.passed[class] = times
	}
	times.Observe(took, 1)
}

// A rejection is why somebody is turned away.
type rejection struct {
	n    uint64 // how often; guarded by counts.mu
	told seldom
}

// reject takes note that somebody was turned away. The log is told what else is known of it, in pairs.
func (p *Proxy) reject(why string, known ...any) {
	p.counts.mu.Lock()
	if p.counts.rejected == nil {
		p.counts.rejected = make(map[string]*rejection)
	}
	r := p.counts.rejected[why]
	if r == nil {
		r = new(rejection)
		p.counts.rejected[why] = r
	}
	r.n++
	p.counts.mu.Unlock()
	if more, ok := r.told.tell(tellEvery); ok {
		p.log.Warn("clients are turned away", append([]any{"reason", why, "more", more}, known...)...)
	}
}

// TurnedAway takes note that a connection was refused for want of open_files,
// memory, or a proxy_protocol header.
func (p *Proxy) TurnedAway(want string) { p.reject(want) }

// SetCrowded has those who come over a connection that is open be turned away,
// too, or not any more: there is too little memory for them.
func (p *Proxy) SetCrowded(crowded bool) { p.crowded.Store(crowded) }

// Crowded reports whether those who come are to be turned away.
func (p *Proxy) Crowded() bool { return p.crowded.Load() }

// Forget gives up what is remembered of what nobody watches.
func (p *Proxy) Forget() { p.poller.Forget() }

// hold counts n more connections that stay open, or fewer.
func (c *counts) hold(way Way, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[Way]int)
	}
	c.open[way] += n
}

// connect counts one more connection of a client, unless a limit forbids it.
// disconnect takes it back.
func (p *Proxy) connect(client netip.Addr, way Way) *limitError {
	if p.crowded.Load() {
		p.reject(rejectMemory)
		return &limitError{limit: rejectMemory, status: http.StatusServiceUnavailable, retryAfter: 5}
	}
	if limit := p.clients.add(client); limit != nil {
		p.reject(limit.limit, "client", client)
		return limit
	}
	p.counts.hold(way, 1)
	return nil
}

func (p *Proxy) disconnect(client netip.Addr, way Way) {
	p.clients.remove(client)
	p.counts.hold(way, -1)
}

// rejectWatch counts a watch that a limit stands in the way of.
func (p *Proxy) rejectWatch(client netip.Addr, err error) {
	switch {
	case errors.Is(err, poller.ErrTooMany):
		p.reject(rejectResources, "client", client)
	case errors.Is(err, poller.ErrTooManyOfClient):
		p.reject(rejectResourcesPerClient, "client", client)
	}
}

// A Status is what a Proxy is at and has done. Counts only grow.
type Status struct {
	Rules []poller.RuleStatus // in the order of the configuration
	Usage poller.Usage

	Connections map[string]int // that stay open, by transport
	Requests    []RequestCount
	Passed      map[int]poller.Times // how long requests that passed through took, by the class of their status: 2 is 2xx
	Closed      map[string]uint64    // sockets, by why they were closed
	Rejected    map[string]uint64    // who was turned away, by why: origin, or the limit as the configuration calls it
	Limits      map[string]float64   // those of the configuration that a number here can reach
}

// A RequestCount says how many requests have been answered in one way.
type RequestCount struct {
	Transport string // as in the access log
	Class     int    // of the status: 2 is 2xx
	Count     uint64
}

// Status returns what the proxy is at.
func (p *Proxy) Status() Status {
	limits := p.now().cfg.Limits
	s := Status{
		Rules: p.Rules(), Usage: p.poller.Usage(), Connections: make(map[string]int), Passed: make(map[int]poller.Times), Closed: make(map[string]uint64),
		Rejected: map[string]uint64{
			rejectOrigin: 0, rejectFiles: 0, rejectMemory: 0, rejectHeader: 0, rejectConnections: 0, rejectClient: 0, rejectSubscriptions: 0, rejectResources: 0, rejectResourcesPerClient: 0,
		},
		Limits: map[string]float64{
			"connections": float64(limits.Connections), "resources": float64(limits.Resources), "upstream_concurrency": float64(limits.UpstreamConcurrency),
		},
	}
	c := &p.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, way := range []Way{WaySocket, WayEvents, WayLongPoll} {
		s.Connections[transports[way]] = c.open[way]
	}
	for kind, n := range c.requests {
		s.Requests = append(s.Requests, RequestCount{transports[kind.way], kind.class, n})
	}
	for class, times := range c.passed {
		s.Passed[class] = *times
	}
	for why, n := range c.sockets {
		if why > 0 {
			s.Closed[cause(why).String()] = n
		}
	}
	for why, r := range c.rejected {
		s.Rejected[why] = r.n
	}
	return s
}
