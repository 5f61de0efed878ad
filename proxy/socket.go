package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/time/rate"

	"pollbridge/poller"
)

// A socket is one WebSocket connection and its subscriptions.
//
// It holds one goroutine, which reads. Writing is done by a goroutine that
// lives as long as there is something to write: whoever wakes a subscription
// puts it on the list of those that are due and, if nobody is writing, starts
// one. What is due goes out in one send; what happens in the meantime is put
// on the list once, however often it happens. So a socket whose peer is slow
// holds the newest state and no more.
type socket struct {
	p       *Proxy
	ws      *websocket.Conn
	wire    *wire
	header  http.Header // credentials for subscriptions to come
	client  client
	deflate bool // the peer takes deflated frames

	// Only the reading goroutine uses these.
	messages *rate.Limiter

	// mu guards the fields below. It is taken after a resource's lock, in Wake,
	// so a Watch is never touched with it held.
	mu            sync.Mutex
	ping          *time.Timer
	subscriptions []*subscription
	due           []*subscription
	writing       bool
	closed        bool
}

// A subscription is one resource that a socket watches.
type subscription struct {
	socket   *socket
	watch    source
	url      string
	alias    string // the spelling that the client used, until it is told
	throttle time.Duration
	release  func() // of the identity that is kept alive; nil: none is

	// Only the writing goroutine uses these.
	view view
	last time.Time // when the last message was sent

	// Guarded by socket.mu.
	live     bool          // watch is set
	isDue    bool          // is on the list, or will be when it is live
	ending   bool          // the client has asked for its end
	over     bool          // nothing more is sent
	wait     *time.Timer   // until throttle allows the next message
	replaces *subscription // whose client keeps its document: other credentials, the same url
}

const (
	readLimit    = 64 << 10 // of a client's message
	pingInterval = 30 * time.Second
	messageRate  = 50 // a second, that a client may send
	messageBurst = 500
)

// serveSocket upgrades a request. With a target that a rule matches, that is
// subscribed to at once.
func (p *Proxy) serveSocket(w http.ResponseWriter, r *http.Request, e *endpoint, url string) {
	if err := p.checkOrigin(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	cl, limit := p.clients.add(p.remote(r))
	if limit != nil {
		refuse(w, limit)
		return
	}
	h := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols: []string{subprotocol}, InsecureSkipVerify: true, CompressionMode: p.compression(),
	})
	if err != nil { // Accept has answered
		p.clients.remove(cl)
		return
	}
	ws.SetReadLimit(readLimit)
	s := &socket{p: p, ws: ws, wire: h.wire, client: cl, header: p.routes.Load().only(r.Header)}
	s.deflate = strings.Contains(w.Header().Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	s.mu.Lock()
	s.ping = time.AfterFunc(pingInterval/2+rand.N(pingInterval/2), s.keepAlive)
	s.mu.Unlock()
	if !p.sockets.add(s) {
		go s.end(websocket.StatusGoingAway, "shutting down")
		return
	}
	if e != nil {
		s.subscribe(e, url, subscribe{URL: requestTarget(r)}, s.header)
	}
	go s.read()
}

const subprotocol = "pollbridge.v1"

// read takes in the client's messages until the connection ends.
func (s *socket) read() {
	defer s.close()
	for {
		kind, text, err := s.ws.Read(context.Background())
		if err != nil {
			return
		}
		if s.messages == nil {
			s.messages = rate.NewLimiter(messageRate, messageBurst+2*s.p.cfg.Limits.SubscriptionsPerConnection)
		}
		switch {
		case !s.messages.Allow():
			s.ws.Close(websocket.StatusPolicyViolation, "too many messages")
			return
		case kind != websocket.MessageText:
			s.complain("messages are text frames, each one JSON object")
		case !utf8.Valid(text):
			s.ws.Close(websocket.StatusInvalidFramePayloadData, "a text frame must be UTF-8") // RFC 6455, section 8.1
			return
		default:
			s.handle(text)
		}
	}
}

// subscribe and unsubscribe are the messages that a client sends.
type subscribe struct {
	Type     string            `json:"type"`
	URL      string            `json:"url"`
	Version  string            `json:"version"`
	Headers  map[string]string `json:"headers"`
	Throttle float64           `json:"throttle"` // ms
}

// handle acts on one message.
func (s *socket) handle(text []byte) {
	var m subscribe
	if err := json.Unmarshal(text, &m); err != nil {
		s.complain(`not a message: want a JSON object such as {"type":"subscribe","url":"/api/x"}`)
		return
	}
	switch {
	case m.Type != "subscribe" && m.Type != "unsubscribe":
		s.complain(fmt.Sprintf("type %.40q is unknown: want subscribe or unsubscribe", m.Type))
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
	e, url, ok := s.p.routes.Load().resolve(asked)
	if !ok {
		s.refuse(m.URL, m.URL, codeNotFound, "no rule matches this url; it is a path and query such as /api/x")
		return
	}
	header := s.header
	if len(m.Headers) > 0 {
		header = header.Clone()
		if header == nil {
			header = make(http.Header)
		}
		for name, value := range m.Headers {
			name = http.CanonicalHeaderKey(name)
			if !httpguts.ValidHeaderFieldValue(value) {
				s.complain(fmt.Sprintf("subscribe to %s: the value of %.40q has a control character", url, name))
				return
			}
			if !e.varies(name) {
				s.complain(fmt.Sprintf("subscribe to %s: headers may name only what the rule's vary lists; %.40q is not among %s", url, name, strings.Join(e.rule.Vary, ", ")))
				return
			}
			header[name] = []string{value}
		}
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

// subscribe starts a subscription, in place of one to the same url.
func (s *socket) subscribe(e *endpoint, url string, m subscribe, header http.Header) {
	sub := &subscription{socket: s, url: url, throttle: time.Duration(m.Throttle * float64(time.Millisecond))}
	sub.view.version = m.Version
	if m.URL != url {
		sub.alias = m.URL
	}
	old := s.find(url)
	if limit := s.p.cfg.Limits.SubscriptionsPerConnection; old == nil && s.full(limit) {
		s.refuse(m.URL, url, codeLimit, fmt.Sprintf("this connection has %d subscriptions, which is its limit", limit))
		return
	}
	if old != nil {
		s.drop(old)
		if m.Version == "" && len(m.Headers) > 0 {
			sub.replaces = s.lastTold(old)
		}
	}
	watch, err := s.p.watch(e, url, header, sub)
	if err != nil {
		code := codeLimit
		if errors.Is(err, poller.ErrClosed) {
			code = codeShuttingDown
		}
		s.refuse(m.URL, url, code, err.Error())
		return
	}
	s.mu.Lock()
	sub.watch, sub.release = watch, s.p.hold(e, url, header)
	if s.closed {
		s.mu.Unlock()
		sub.letGo()
		return
	}
	sub.live = true
	s.subscriptions = append(s.subscriptions, sub)
	if sub.alias != "" || watch.Newest() != nil {
		sub.isDue = true
	}
	if sub.isDue {
		s.dueLocked(sub)
	}
	s.mu.Unlock()
}

// Wake implements poller.Watcher: there is something to tell.
func (sub *subscription) Wake() {
	s := sub.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.isDue || sub.over {
		return
	}
	sub.isDue = true
	if sub.live {
		s.dueLocked(sub)
	}
}

// dueLocked puts sub on the list and sees to it that somebody writes.
func (s *socket) dueLocked(sub *subscription) {
	s.due = append(s.due, sub)
	if !s.writing && !s.closed {
		s.writing = true
		go s.write()
	}
}

// write sends what is due until nothing is.
func (s *socket) write() {
	var frames net.Buffers
	var batch []*subscription
	for {
		s.mu.Lock()
		batch, s.due = s.due, batch[:0]
		if len(batch) == 0 || s.closed {
			s.writing, s.due = false, nil
			s.mu.Unlock()
			return
		}
		for _, sub := range batch {
			sub.isDue = false
		}
		s.mu.Unlock()

		frames = frames[:0]
		for _, sub := range batch {
			frames = s.news(frames, sub)
		}
		clear(batch)
		if err := s.wire.writeFrames(frames); err != nil {
			s.ws.CloseNow() // read ends, and with it the socket
			return
		}
	}
}

// news appends the frames that tell a subscription's client what it does not
// know yet.
func (s *socket) news(frames net.Buffers, sub *subscription) net.Buffers {
	s.mu.Lock()
	over, ending := sub.over, sub.ending
	if old := sub.replaces; old != nil && !over {
		sub.view.version, sub.replaces = old.view.version, nil
	}
	s.mu.Unlock()
	if over {
		return frames
	}
	if sub.alias != "" {
		frames = append(frames, textFrame(func(b []byte) []byte { return appendAlias(b, sub.url, sub.alias) }))
		sub.alias = ""
	}
	if ending {
		s.drop(sub)
		return append(frames, textFrame(func(b []byte) []byte { return appendEnd(b, sub.url, nil) }))
	}
	snapshot := sub.watch.Newest()
	if snapshot == nil || sub.throttled() {
		return frames
	}
	messages, n := sub.view.next(snapshot)
	for _, m := range messages[:n] {
		frames = append(frames, s.frame(m))
		sub.last = time.Now()
	}
	if snapshot.Over {
		s.drop(sub)
	}
	return frames
}

// throttled reports whether the client wants to hear nothing yet, and sees to
// it that it hears the newest when it does.
func (sub *subscription) throttled() bool {
	if sub.throttle == 0 || !sub.view.begun {
		return false
	}
	left := time.Until(sub.last.Add(sub.throttle))
	if left <= 0 {
		return false
	}
	sub.socket.mu.Lock()
	defer sub.socket.mu.Unlock()
	switch {
	case sub.over:
	case sub.wait == nil:
		sub.wait = time.AfterFunc(left, sub.Wake)
	default:
		sub.wait.Reset(left)
	}
	return true
}

// frame returns m as this peer takes it.
func (s *socket) frame(m message) []byte {
	if s.deflate {
		return m.encoded("deflated", buildDeflated)
	}
	return m.encoded("frame", buildFrame)
}

func buildFrame(s *poller.Snapshot, k poller.Key) []byte {
	return textFrame(func(b []byte) []byte { return messageOf(s, k).append(b, s.URL) })
}

func buildDeflated(s *poller.Snapshot, k poller.Key) []byte {
	return deflateFrame(messageOf(s, k).encoded("frame", buildFrame))
}

// unsubscribe has the writer send the end of a subscription, after what is
// under way.
func (s *socket) unsubscribe(asked string) {
	asked, _, _ = strings.Cut(asked, "#")
	var sub *subscription
	if _, url, ok := s.p.routes.Load().resolve(asked); ok {
		sub = s.find(url)
	}
	if sub == nil {
		s.complain(fmt.Sprintf("unsubscribe: there is no subscription to %.200q", asked))
		return
	}
	s.mu.Lock()
	sub.ending = true
	wake := !sub.isDue
	if wake {
		sub.isDue = true
		s.dueLocked(sub)
	}
	s.mu.Unlock()
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

func (s *socket) find(url string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subscriptions {
		if sub.url == url && !sub.ending {
			return sub
		}
	}
	return nil
}

// full reports whether there is no room for another subscription. Those whose
// end is still to be told make room, up to as many again: a client that does
// not read cannot pile them up.
func (s *socket) full(limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, sub := range s.subscriptions {
		if !sub.ending {
			n++
		}
	}
	return n >= limit || len(s.subscriptions) >= 2*limit
}

// lastTold is the subscription whose view says what the client holds: old, or
// the one that old was to take over from and has not yet.
func (s *socket) lastTold(old *subscription) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old.replaces != nil {
		return old.replaces
	}
	return old
}

// drop takes a subscription off the socket; nothing more is sent for it, and
// nothing keeps it.
func (s *socket) drop(sub *subscription) {
	s.mu.Lock()
	sub.endLocked()
	for _, list := range []*[]*subscription{&s.subscriptions, &s.due} {
		if i := slices.Index(*list, sub); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
		}
	}
	s.mu.Unlock()
	sub.letGo()
}

// letGo ends what a subscription holds. No lock is held.
func (sub *subscription) letGo() {
	sub.watch.Close()
	if sub.release != nil {
		sub.release()
	}
}

func (sub *subscription) endLocked() {
	sub.over = true
	if sub.wait != nil {
		sub.wait.Stop()
	}
}

// keepAlive pings, and gives up a peer that has said nothing since the last
// two times.
func (s *socket) keepAlive() {
	if s.wire.silence() > 2*pingInterval+pingInterval/2 || s.wire.ping() != nil {
		s.ws.CloseNow()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.ping.Reset(pingInterval)
	}
}

// end closes the socket with a reason.
func (s *socket) end(code websocket.StatusCode, reason string) {
	s.ws.Close(code, reason)
	s.close()
}

// close lets go of everything. The connection is closed, or is being.
func (s *socket) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	subs := s.subscriptions
	s.subscriptions, s.due = nil, nil
	for _, sub := range subs {
		sub.endLocked()
	}
	s.ping.Stop()
	s.mu.Unlock()
	for _, sub := range subs {
		sub.letGo()
	}
	s.ws.CloseNow()
	s.p.sockets.remove(s)
	s.p.clients.remove(s.client)
}
