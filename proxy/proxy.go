// Package proxy is the public face of pollbridge: what a rule matches is
// pushed, all else passes through to the upstream untouched.
//
// A request costs one look at the routes. If it is ours, an endpoint says which
// resource it means, and one of the transports tells the client about it; all
// of them do so by one loop (see view): say what is newest, wait until there is
// something newer, repeat.
package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"pollbridge/config"
	"pollbridge/passthrough"
	"pollbridge/poller"
)

// A Proxy serves one configuration at a time. Create it with New.
type Proxy struct {
	log          *slog.Logger
	access       *slog.Logger      // nil: no line for each request
	tracer       Tracer            // nil: nothing is traced
	transport    http.RoundTripper // of what passes through
	state        atomic.Pointer[state]
	reloading    sync.Mutex // held while another state takes over
	poller       *poller.Poller
	clients      clients
	counts       counts
	passFailures seldom
	crowded      atomic.Bool // nobody else is to come
	sockets      sockets
	writers      writers
	tidy         tidy
	touches      touches
	secret       [32]byte      // of identities
	leaving      chan struct{} // closed when the proxy begins to drain
	drain        sync.Once
}

// Options are what a Proxy needs beyond its configuration. The zero value
// works.
type Options struct {
	Log       *slog.Logger      // nil: nothing is logged
	Access    *slog.Logger      // takes a line for each request and each socket; nil, or not enabled: none is written
	Tracer    Tracer            // makes spans of polls and requests; nil: there are none
	Transport http.RoundTripper // to the upstream; nil: one with sane limits
}

// New returns a Proxy that polls nothing until somebody watches.
func New(cfg *config.Config, o Options) (*Proxy, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Proxy{log: o.Log, access: o.Access, tracer: o.Tracer, transport: o.Transport, leaving: make(chan struct{})}
	rand.Read(p.secret[:]) // never fails
	if p.transport == nil {
		p.transport = passthrough.NewTransport()
	}
	first, err := p.newState(cfg)
	if err != nil {
		return nil, err
	}
	polls := pollerOptions(cfg)
	polls.Transport, polls.Log, polls.Tracer = o.Transport, o.Log, o.Tracer
	p.poller = poller.New(polls)
	p.clients.limit(cfg.Limits)
	p.state.Store(first)
	return p, nil
}

func (p *Proxy) passFailed(r *http.Request, err error) {
	if more, ok := p.passFailures.tell(tellEvery); ok {
		p.log.Warn("pass-through failed", "method", loggedMethod(r), "path", loggedPath(r), "err", poller.Discreet(err), "more", more)
	}
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w, started: time.Now()}
	if p.tracer != nil {
		a.span = p.tracer.Request(r)
	}
	defer p.ended(a, r)
	p.serve(a, r)
}

// serve answers a request as the rules say.
func (p *Proxy) serve(w *answer, r *http.Request) {
	r = p.believed(r)
	if p.opensSocket(r) {
		p.serveSocket(w, r, nil, "")
		return
	}
	if name, ours := reserved(r); ours {
		p.serveReserved(w, r, name)
		return
	}
	now := p.now()
	e, url, err := now.resolve(requestTarget(r))
	w.rule = e
	if err != nil || !p.serveEndpoint(w, r, e, url) {
		w.way = WayPass
		now.pass.ServeHTTP(w, r)
	}
}

// opensSocket reports whether a request opens a socket without a subscription.
func (p *Proxy) opensSocket(r *http.Request) bool {
	return r.URL.Path == p.now().cfg.Socket && isUpgrade(r)
}

// serveEndpoint answers a request for a URL that a rule matches, in the way
// that it asks for. It returns false where the request is to pass through.
func (p *Proxy) serveEndpoint(w *answer, r *http.Request, e *endpoint, url string) bool {
	switch w.way = wayOf(r); w.way {
	case WaySocket:
		p.serveSocket(w, r, e, url)
		return true
	case WayPreflight:
		return p.servePreflight(w, r, e)
	case WayEvents:
		p.serveEvents(w, r, e, url)
		return true
	case WayLongPoll:
		return p.serveLongPoll(w, r, e, url, preferredWait(r))
	case WayGet:
		return p.serveGet(w, r, e, url)
	}
	return false
}

// A Way is how a request can be answered.
type Way string

// The ways.
const (
	WayPass      Way = "pass through"
	WaySocket    Way = "socket"
	WayEvents    Way = "event stream"
	WayLongPoll  Way = "long-poll"
	WayGet       Way = "get"
	WayPreflight Way = "preflight"
	WayReserved  Way = "reserved" // below config.Reserved, whatever the rules say
)

// wayOf returns the way in which a request for a URL that a rule matches asks
// to be answered.
func wayOf(r *http.Request) Way {
	switch {
	case isUpgrade(r):
		return WaySocket
	case r.Method == http.MethodOptions:
		return WayPreflight
	case r.Method != http.MethodGet && r.Method != http.MethodHead, r.ContentLength != 0:
		return WayPass
	case wantsEvents(r):
		return WayEvents
	case preferredWait(r) > 0:
		return WayLongPoll
	}
	return WayGet
}

// requestTarget is the path and query of a request as the client spelled them.
func requestTarget(r *http.Request) string {
	target := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	return target
}

// isUpgrade reports whether a request asks for a WebSocket (RFC 6455, section
// 4.1).
func isUpgrade(r *http.Request) bool {
	for _, v := range r.Header["Upgrade"] {
		if strings.EqualFold(v, "websocket") {
			return true
		}
	}
	return false
}

func (p *Proxy) compression() websocket.CompressionMode {
	if p.now().cfg.Compression {
		return websocket.CompressionNoContextTakeover
	}
	return websocket.CompressionDisabled
}

// Drain ends all sockets with 1001, spread over the configured time so that
// their clients do not come back all at once, and refuses new ones. It returns
// when none is left or ctx ends.
func (p *Proxy) Drain(ctx context.Context) {
	p.drain.Do(func() { close(p.leaving) })
	p.sockets.drain(ctx, p.now().cfg.Drain)
}

// Close ends the polling. Call Drain first.
func (p *Proxy) Close() { p.poller.Close() }

// refuse answers a request that a limit stands in the way of.
func refuse(w http.ResponseWriter, err *limitError) {
	w.Header().Set("Retry-After", strconv.Itoa(err.retryAfter))
	http.Error(w, err.Error(), err.status)
}

// A limitError says which limit was met.
type limitError struct {
	limit      string
	value      int // 0: not told
	status     int
	retryAfter int // seconds
}

func (e *limitError) Error() string {
	if e.value == 0 {
		return "limit reached: " + e.limit
	}
	return fmt.Sprintf("limit reached: %s is %d", e.limit, e.value)
}
