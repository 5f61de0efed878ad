package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"pollbridge/poller"
)

// A subscription is one resource that a socket watches.
type subscription struct {
	socket *socket

	// Guarded by socket.mu.
	watch    source        // by which it is watched
	nextDue  *subscription // on the list
	live     bool          // watch, endpoint and release are set; a reload may change them
	anew     bool          // watch is another one than the client was told from
	isDue    bool          // is on the list, or will be when it is live
	ending   bool          // its end is to be told
	over     bool          // nothing more is sent
	reason   *poller.Error // of the end; nil: the client has asked for it
	replaces *subscription // whose client keeps its document: other credentials, the same url

	// Only the writing goroutine uses these.
	view  view
	alias string    // the spelling that the client used, until it is told
	last  time.Time // when the last message was sent

	throttle time.Duration
	url      string

	// Guarded by socket.mu.
	header   http.Header // that it was asked for with; nil: it is over
	endpoint *endpoint   // by which it is watched
	release  func()      // of the identity that is kept alive; nil: none is
	wait     *time.Timer // until throttle allows the next message
}

// maxVersion bounds what a client may call the version that it holds, in bytes.
const maxVersion = 64

// subscribe starts a subscription, in place of one to the same url.
func (s *socket) subscribe(e *endpoint, url string, m subscribe, header http.Header) {
	if len(m.URL) > maxTarget { // it would be kept until the first message
		s.refuse(url, url, codeLimit, fmt.Sprintf("the url has %d bytes, and may have %d", len(m.URL), maxTarget))
		return
	}
	if !s.holds(e, header) {
		go s.comeBack()
		return
	}
	sub := &subscription{socket: s, url: url, throttle: time.Duration(m.Throttle * float64(time.Millisecond))}
	if len(m.Version) <= maxVersion {
		sub.view.version = m.Version // a longer one is nobody's, and would be kept
	}
	if m.URL != url {
		sub.alias = m.URL
	}
	old := s.find(url)
	if limit := s.p.now().cfg.Limits.SubscriptionsPerConnection; old == nil && s.full(limit) {
		s.p.reject(rejectSubscriptions, "client", s.client)
		s.refuse(m.URL, url, codeLimit, fmt.Sprintf("this connection has %d subscriptions, which is its limit", limit))
		return
	}
	if old != nil {
		s.drop(old)
		if m.Version == "" && len(m.Headers) > 0 {
			sub.replaces = s.lastTold(old)
		}
	}
	header, ok := s.keepOnce(header)
	if !ok {
		s.refuse(m.URL, url, codeLimit, fmt.Sprintf("the headers that this connection has subscribed with are longer than %d bytes", maxHeaders))
		return
	}
	watch, err := s.p.watch(e, poller.Request{URL: url, Header: header, Client: s.client}, sub)
	if err != nil {
		reason := watchError(err)
		s.refuse(m.URL, url, reason.Code, reason.Message)
		return
	}
	s.mu.Lock()
	sub.endpoint, sub.watch, sub.release, sub.header = e, watch, s.p.hold(e, url, header), header
	sub.url = watch.URL() // the same, in memory once
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
	if e.routes != s.p.now().routes {
		s.overtaken(sub)
	}
}

// watchError is why a watch could not begin, as clients are told.
func watchError(err error) *poller.Error {
	code := codeLimit
	if errors.Is(err, poller.ErrClosed) {
		code = codeShuttingDown
	}
	return &poller.Error{Code: code, Message: err.Error()}
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
	if s.lastDue == nil {
		s.firstDue = sub
	} else {
		s.lastDue.nextDue = sub
	}
	s.lastDue = sub
	if !s.writing && !s.closed {
		s.writing = true
		s.p.writers.add(s)
	}
}

// undueLocked takes sub off the list.
func (s *socket) undueLocked(sub *subscription) {
	var before *subscription
	for at := s.firstDue; at != nil; before, at = at, at.nextDue {
		if at != sub {
			continue
		}
		if before == nil {
			s.firstDue = sub.nextDue
		} else {
			before.nextDue = sub.nextDue
		}
		if s.lastDue == sub {
			s.lastDue = before
		}
		sub.nextDue = nil
		return
	}
}

// news puts into o the frames that tell a subscription's client what it does
// not know yet.
func (s *socket) news(o *outbox, t task) {
	sub := t.sub
	if sub.alias != "" {
		o.frames = append(o.frames, textFrame(func(b []byte) []byte { return appendAlias(b, sub.url, sub.alias) }))
		sub.alias = ""
	}
	if t.ending {
		s.drop(sub)
		o.frames = append(o.frames, textFrame(func(b []byte) []byte { return appendEnd(b, sub.url, t.reason) }))
		return
	}
	snapshot := t.watch.Newest()
	if snapshot == nil || sub.throttled() {
		return
	}
	prompt, joins, resumes := sub.view.sent && sub.throttle == 0, sub.view.version == "", sub.view.resumes()
	messages, n := sub.view.next(snapshot)
	for _, m := range messages[:n] {
		o.frames = append(o.frames, o.build(m, s.deflate))
		if joins && m.kind == kindSnapshot {
			o.joined++
		}
		if resumes {
			o.resumed++
		}
		if prompt && m.changes() {
			o.prompt++
		}
	}
	if n > 0 && sub.throttle > 0 {
		sub.last = time.Now()
	}
	if snapshot.Over {
		s.drop(sub)
	}
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

// frame returns the frame of m.
func (m message) frame(deflate bool) []byte {
	if deflate {
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
	sub := s.find(asked) // it may be what another rule made of what was asked for
	if _, url, err := s.p.now().resolve(asked); sub == nil && err == nil {
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
	if i := slices.Index(s.subscriptions, sub); i >= 0 {
		s.subscriptions = slices.Delete(s.subscriptions, i, i+1)
	}
	s.undueLocked(sub)
	s.mu.Unlock()
	sub.letGo()
}

// letGo ends what a subscription holds. No lock is held.
func (sub *subscription) letGo() {
	sub.socket.mu.Lock()
	watch, release := sub.watch, sub.release
	sub.release = nil
	sub.socket.mu.Unlock()
	watch.Close()
	if release != nil {
		release()
	}
}

func (sub *subscription) endLocked() {
	sub.over, sub.header = true, nil
	if sub.wait != nil {
		sub.wait.Stop()
	}
}
