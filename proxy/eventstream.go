package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pollbridge/internal/field"
	"pollbridge/poller"
)

const (
	heartbeat    = 15 * time.Second // between comments on a stream that is silent
	retryDelay   = 2 * time.Second  // that an EventSource waits before it comes back
	maxThrottle  = 3.6e6            // ms
	retryRefused = 10 * time.Second // after a limit stood in the way
	retryEnded   = 60 * time.Second // after the subscription was ended for a reason that lasts
)

// wantsEvents reports whether a request is an EventSource's.
func wantsEvents(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, item := range field.List(r.Header["Accept"]) {
		if name, _, _ := strings.Cut(item, ";"); strings.TrimSpace(name) == "text/event-stream" {
			return true
		}
	}
	return false
}

// serveEvents answers with an event stream (WHATWG HTML, "Server-sent events"):
// the messages of the socket, each as an event of its type.
func (p *Proxy) serveEvents(w *answer, r *http.Request, e *endpoint, url string) {
	if err := p.checkOrigin(r); err != nil {
		p.reject(rejectOrigin, "origin", shownOrigin(r), "host", r.Host[:min(len(r.Host), 100)])
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	throttle, err := parseThrottle(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	client := p.client(r)
	if limit := p.connect(client, WayEvents); limit != nil {
		p.refuseEvents(w, r, &poller.Error{Code: codeLimit, Message: limit.Error()})
		return
	}
	defer p.disconnect(client, WayEvents)
	s := &stream{
		p: p, w: w, r: r, control: http.NewResponseController(w), throttle: throttle,
		req: poller.Request{URL: url, Header: r.Header, Client: client}, news: make(poller.Signal, 1),
	}
	s.view.version = lastEventID(r)
	if err := s.begin(e); err != nil {
		p.refuseEvents(w, r, err)
		return
	}
	defer func() { s.letGo() }()
	p.beginEvents(w, r)
	if s.send([]byte(fmt.Sprintf("retry: %d\n\n", retryDelay.Milliseconds()))) {
		s.run()
	}
}

// beginEvents sets the headers of a stream.
func (p *Proxy) beginEvents(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	p.allowOrigin(h, r)
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would collect events otherwise
}

// refuseEvents answers with a stream that ends at once and says why: after any
// status but 200 an EventSource would never come back.
func (p *Proxy) refuseEvents(w http.ResponseWriter, r *http.Request, reason *poller.Error) {
	p.beginEvents(w, r)
	w.Write(endEvent(retryRefused, reason))
}

// endEvent is the last event of a stream.
func endEvent(retry time.Duration, reason *poller.Error) []byte {
	return fmt.Appendf(nil, "retry: %d\nevent: end\ndata: {\"type\":\"end\"%s}\n\n", retry.Milliseconds(), appendError(nil, reason))
}

// lastEventID is the version that the client holds, if it is one.
func lastEventID(r *http.Request) string {
	id := r.Header.Get("Last-Event-Id")
	if len(id) > 64 {
		return ""
	}
	return id
}

// parseThrottle reads Pollbridge-Throttle: at most one message in so many ms.
func parseThrottle(r *http.Request) (time.Duration, error) {
	v := r.Header.Get("Pollbridge-Throttle")
	if v == "" {
		return 0, nil
	}
	ms, err := strconv.ParseFloat(v, 64)
	if err != nil || !(ms >= 0 && ms <= maxThrottle) {
		return 0, fmt.Errorf("header Pollbridge-Throttle: %q is no number of ms from 0 to %.0f", v, maxThrottle)
	}
	return time.Duration(ms * float64(time.Millisecond)), nil
}

// A stream is one event stream being written.
type stream struct {
	p        *Proxy
	w        *answer
	r        *http.Request
	control  *http.ResponseController
	req      poller.Request // but for the rule
	news     poller.Signal
	endpoint *endpoint // by which it is watched
	watch    source
	release  func() // of the identity that is kept alive; nil: none is
	view     view
	throttle time.Duration
}

// begin subscribes by an endpoint.
func (s *stream) begin(e *endpoint) *poller.Error {
	watch, err := s.p.watch(e, s.req, s.news)
	if err != nil {
		return watchError(err)
	}
	s.endpoint, s.watch, s.release = e, watch, s.p.hold(e, s.req.URL, s.r.Header)
	return nil
}

func (s *stream) letGo() {
	s.watch.Close()
	if s.release != nil {
		s.release()
		s.release = nil
	}
}

// follow goes over to the rules in force. It reports whether the stream goes on.
func (s *stream) follow() bool {
	if e, overtaken := s.p.goOn(s.endpoint, s.req.URL, s.watch); !overtaken {
		s.endpoint = e
		return true
	}
	e, _, err := s.p.now().resolve(s.req.URL)
	if err != nil {
		s.send(endEvent(retryEnded, errNoMore))
		return false
	}
	s.letGo()
	s.view = view{version: s.view.version}
	if err := s.begin(e); err != nil {
		s.send(endEvent(retryRefused, err))
		return false
	}
	return true
}

// run tells the client what is newest, waits until there is something newer,
// and so on until one of them goes. While throttle holds news back the stream
// stays as alive as any other.
func (s *stream) run() {
	beat := time.NewTimer(heartbeat)
	defer beat.Stop()
	var leave, quiet <-chan time.Time
	share, opened := newShare(), time.Now()
	leaving, news := s.p.leaving, s.news
	for s.follow() {
		if quiet == nil {
			told, open := s.tell()
			if !open {
				return
			}
			if told && s.throttle > 0 {
				quiet, news = time.After(s.throttle), nil
			}
		}
		wait := heartbeat
		if lifetime := s.p.lifetime(share); lifetime > 0 {
			left := lifetime - time.Since(opened)
			if left <= 0 {
				return
			}
			wait = min(wait, left)
		}
		beat.Reset(wait)
		select {
		case <-news:
		case <-quiet:
			quiet, news = nil, s.news
		case <-beat.C:
			if !s.send([]byte(":\n\n")) {
				return
			}
		case <-leaving: // at a time of one's own, as sockets do
			leaving, leave = nil, time.After(rand.N(s.p.now().cfg.Drain+1))
		case <-leave:
			return
		case <-s.endpoint.routes.replaced:
		case <-s.r.Context().Done():
			return
		}
	}
}

// tell sends what the client does not know yet. It reports whether that was
// anything, and whether the stream goes on.
func (s *stream) tell() (told, open bool) {
	snapshot := s.watch.Newest()
	if snapshot == nil {
		return false, true
	}
	prompt, joins, resumes := s.view.sent && s.throttle == 0, s.view.version == "", s.view.resumes()
	messages, n := s.view.next(snapshot)
	for _, m := range messages[:n] {
		event := m.encoded("event", buildEvent)
		if !s.send(event) {
			return true, false
		}
		m.sent(1, len(event))
		if joins && m.kind == kindSnapshot {
			snapshot.Joined(1)
		}
		if resumes {
			m.resumed(1)
		}
		if prompt && m.changes() {
			snapshot.Told(1)
		}
	}
	return n > 0, !snapshot.Over
}

// send has the client take an event in time. The deadline ends with that: HTTP/2
// would reset a stream whose deadline passes while nothing is written.
func (s *stream) send(event []byte) bool {
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // not supported: the server's own limits hold
	defer s.control.SetWriteDeadline(time.Time{})
	if _, err := s.w.Write(event); err != nil {
		return false
	}
	return s.control.Flush() == nil
}

// buildEvent returns a message as an event. A JSON text without insignificant
// white space has no line breaks, so data is one line.
func buildEvent(s *poller.Snapshot, k poller.Key) []byte {
	m := messageOf(s, k)
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\n", m.kind)
	switch m.kind {
	case kindSnapshot, kindPatch, kindCurrent:
		fmt.Fprintf(&b, "id: %s\n", s.Version)
	case kindEnd:
		fmt.Fprintf(&b, "retry: %d\n", retryEnded.Milliseconds())
	}
	b.WriteString("data: ")
	b.Write(m.append(nil, ""))
	b.WriteString("\n\n")
	return b.Bytes()
}
