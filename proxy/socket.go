package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"pollbridge/poller"
)

// A socket is one WebSocket connection and its subscriptions.
//
// It holds one goroutine, which waits for the client to say something. Whoever
// wakes a subscription puts it on the list of those that are due and, if nobody
// is writing, the socket into the queue of the writers. What is due goes out in
// one send; what happens in the meantime is put on the list once, however often
// it happens. So a socket whose peer is slow holds the newest state and no more.
//
// What a delivery needs comes first, and in wire too: with ten thousand sockets
// it has to be fetched from memory for each.
type socket struct {
	p       *Proxy
	deflate bool // the peer takes deflated frames

	// mu guards the fields up to wire, and more below. It is taken after a
	// resource's lock, in Wake, so a Watch is never touched with it held.
	mu       sync.Mutex
	writing  bool // is in the queue of the writers, or with one of them
	closed   bool
	cause    cause         // why it was closed
	firstDue *subscription // the list of those that are due
	lastDue  *subscription
	wire     wire

	// Guarded by mu, and seldom needed.
	leave         int64 // when it ends, whatever its age, in ticks; 0: that is not said
	subscriptions []*subscription
	ping          *time.Timer

	ws     *websocket.Conn
	client netip.Addr
	header http.Header                                // credentials for subscriptions to come
	kept   []string                                   // the names that header could have
	opened int64                                      // in ticks
	share  float32                                    // of max_connection_age
	log    func(status int, sent int64, closed cause) // writes the access log's line; nil: there is none

	// Only the reading goroutine uses this.
	messages pace
}

const (
	readLimit    = 64 << 10 // of a client's message
	pingInterval = 30 * time.Second
	messageRate  = 50 // a second, that a client may send
	messageBurst = 500
)

// serveSocket upgrades a request. With a target that a rule matches, that is
// subscribed to at once.
func (p *Proxy) serveSocket(w *answer, r *http.Request, e *endpoint, url string) {
	w.way = WaySocket
	if err := p.checkOrigin(r); err != nil {
		p.reject(rejectOrigin, "origin", shownOrigin(r), "host", r.Host[:min(len(r.Host), 100)])
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	client := p.client(r)
	if limit := p.connect(client, WaySocket); limit != nil {
		refuse(w, limit)
		return
	}
	now := p.now()
	s := &socket{p: p, client: client, header: now.only(r.Header), kept: now.credentials}
	h := &hijacker{ResponseWriter: w, wire: &s.wire}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols: []string{subprotocol}, InsecureSkipVerify: true, CompressionMode: p.compression(),
	})
	if err != nil { // Accept has answered
		p.disconnect(client, WaySocket)
		return
	}
	s.ws = ws
	w.upgraded = true
	if p.logsAccess() {
		s.log = p.accessLine(w, r)
	}
	ws.SetReadLimit(readLimit)
	s.wire.buffered.Reset(&s.wire) // it read from a chain of readers for what was there already: nothing was
	s.deflate = strings.Contains(w.Header().Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	s.opened, s.share = ticks(), newShare()
	first, _ := s.rotate(pingInterval/2 + rand.N(pingInterval/2))
	s.mu.Lock()
	s.ping = time.AfterFunc(first, s.keepAlive)
	s.mu.Unlock()
	p.tidy.joined()
	defer s.survive() // nobody reads yet who would see that it is over
	if !p.sockets.add(s) {
		go s.end(websocket.StatusGoingAway, "shutting down")
		return
	}
	if e != nil {
		s.subscribe(e, url, subscribe{URL: requestTarget(r)}, s.header)
	}
	if s.wire.canAwait() {
		go s.listen()
	} else {
		go s.read()
	}
}

const subprotocol = "pollbridge.v1"

// listen waits until there is something to read. It does nothing else, so that
// a silent client costs the smallest stack there is.
func (s *socket) listen() {
	s.wire.await()
	go s.read()
}

// read takes in the client's messages, until there is none for now or the
// connection ends.
func (s *socket) read() {
	defer s.survive()
	for s.readMessage() {
		if s.wire.canAwait() {
			go s.listen()
			return
		}
	}
	s.close()
}

// readMessage takes in one message. It reports false when that was the last.
func (s *socket) readMessage() bool {
	kind, text, err := s.ws.Read(context.Background())
	if err != nil {
		return false
	}
	switch {
	case !s.messages.allow(ticks(), messageRate, messageBurst+2*s.p.now().cfg.Limits.SubscriptionsPerConnection):
		s.blame(causePolicy)
		s.ws.Close(websocket.StatusPolicyViolation, "too many messages")
		return false
	case kind != websocket.MessageText:
		s.complain("messages are text frames, each one JSON object")
	case !utf8.Valid(text):
		s.blame(causePolicy)
		s.ws.Close(websocket.StatusInvalidFramePayloadData, "a text frame must be UTF-8") // RFC 6455, section 8.1
		return false
	default:
		s.handle(text)
	}
	return true
}

// A pace is how far ahead of its allowance somebody is: when what was sent so
// far would have been due, at the rate allowed (the generic cell rate
// algorithm). It is small, because every connection has one. The zero value
// works.
type pace struct{ due int64 } // ticks

// allow reports whether one more at now, in ticks, is within rate a second and
// bursts of burst.
func (p *pace) allow(now int64, rate, burst int) bool {
	each := int64(time.Second) / int64(rate)
	due := p.due + each
	if p.due == 0 || p.due < now {
		due = now + each
	}
	if due > now+each*int64(burst) {
		return false
	}
	p.due = due
	return true
}

// subscribe and unsubscribe are the messages that a client sends.
type subscribe struct {
	Type     string            `json:"type"`
	URL      string            `json:"url"`
	Version  string            `json:"version"`
	Headers  map[string]string `json:"headers"`
	Throttle float64           `json:"throttle"` // ms
}

// pong answers a client's ping: browsers do not tell their pages of the
// server's own.
var pong = textFrame(func(b []byte) []byte { return append(b, `{"type":"pong"}`...) })

// handle acts on one message.
func (s *socket) handle(text []byte) {
	var m subscribe
	if err := json.Unmarshal(text, &m); err != nil {
		s.complain(`not a message: want a JSON object such as {"type":"subscribe","url":"/api/x"}`)
		return
	}
	switch {
	case m.Type == "ping":
		s.send(pong)
	case m.Type != "subscribe" && m.Type != "unsubscribe":
		s.complain(fmt.Sprintf("type %.40q is unknown: want subscribe, unsubscribe or ping", m.Type))
	case m.URL == "":
		s.complain(m.Type + ": url is missing")
	case m.Type == "unsubscribe":
		s.unsubscribe(m.URL)
	case m.Throttle < 0 || m.Throttle > 3.6e6:
		s.complain("subscribe: throttle is in ms, from 0 to 3600000")
	default:
		s.resolve(m)
	}
}

// resolve finds what a subscribe message names.
func (s *socket) resolve(m subscribe) {
	asked, _, _ := strings.Cut(m.URL, "#")
	e, url, err := s.p.now().resolve(asked)
	if err != nil {
		s.refuse(m.URL, m.URL, codeNotFound, "no rule matches this url; it is a path and query such as /api/x")
		return
	}
	header, err := s.withHeaders(e, m.Headers)
	if err != nil {
		s.complain(fmt.Sprintf("subscribe to %s: %v", url, err))
		return
	}
	s.subscribe(e, url, m, header)
}

// varies reports whether a header, or a cookie of it, tells users apart.
func (e *endpoint) varies(name string) bool {
	return slices.ContainsFunc(e.rule.Vary, func(v string) bool {
		v, _, _ = strings.Cut(v, ":")
		return v == name
	})
}

// complain answers what was not understood. It writes in the reader's own
// time: a client that does not read its answers is not read from either.
func (s *socket) complain(text string) {
	s.send(textFrame(func(b []byte) []byte { return appendBadMessage(b, text) }))
}

// refuse ends a subscription that did not begin, to the url that the client
// asked for in its own spelling.
func (s *socket) refuse(asked, url, code, text string) {
	var frames net.Buffers
	if asked != url {
		frames = append(frames, textFrame(func(b []byte) []byte { return appendAlias(b, url, asked) }))
	}
	s.send(append(frames, textFrame(func(b []byte) []byte {
		return appendEnd(b, url, &poller.Error{Code: code, Message: text})
	}))...)
}

func (s *socket) send(frames ...[]byte) {
	if s.wire.writeFrames(frames) != nil {
		s.ws.CloseNow()
	}
}

// keepAlive pings, and gives up a peer that has said nothing since the last
// two times, or whose time is over.
func (s *socket) keepAlive() {
	next, over := s.rotate(pingInterval)
	if over {
		return
	}
	if s.wire.silence() > 2*pingInterval+pingInterval/2 || s.wire.ping() != nil {
		s.blame(causeSilent)
		s.ws.CloseNow()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.ping.Reset(next)
	}
}

// end closes the socket with a reason.
func (s *socket) end(code websocket.StatusCode, reason string) {
	s.blame(causes[code])
	s.ws.Close(code, reason)
	s.close()
}

// A cause is why a socket is closed. The first counts.
type cause uint8

const (
	causeClient    cause = iota + 1 // the client has closed it, or is gone
	causeSilent                     // the client does not answer pings
	causeSlow                       // the client does not take what it is sent
	causePolicy                     // the client broke a rule, or sent too much
	causeGoingAway                  // we shut down, or it has to connect again
	causeError                      // of ours
)

var causeNames = [...]string{"", "client", "silent", "slow", "policy", "going_away", "error"}

func (c cause) String() string { return causeNames[c] }

// causes are those that a close code tells.
var causes = map[websocket.StatusCode]cause{
	websocket.StatusGoingAway: causeGoingAway, websocket.StatusInternalError: causeError,
}

// blame says why the socket is about to be closed.
func (s *socket) blame(c cause) {
	s.mu.Lock()
	s.cause = cmp.Or(s.cause, c)
	s.mu.Unlock()
}

// close lets go of everything. The connection is closed, or is being.
func (s *socket) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	why := s.cause
	switch {
	case why == 0 && s.wire.slow.Load():
		why = causeSlow
	case why == 0:
		why = causeClient
	}
	subs := s.subscriptions
	s.subscriptions, s.firstDue, s.lastDue = nil, nil, nil
	for _, sub := range subs {
		sub.endLocked()
	}
	s.ping.Stop()
	s.mu.Unlock()
	for _, sub := range subs {
		sub.letGo()
	}
	s.ws.CloseNow()
	s.p.tidy.left()
	s.p.sockets.remove(s)
	s.p.disconnect(s.client, WaySocket)
	s.p.counts.closed(why)
	if s.log != nil {
		s.log(http.StatusSwitchingProtocols, s.wire.written(), why)
	}
}
