package proxy

import (
	"bytes"
	"errors"
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
		p.counts.reject(rejectOrigin)
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
		p.refuseEvents(w, r, codeLimit, limit)
		return
	}
	defer p.disconnect(client, WayEvents)
	news := make(poller.Signal, 1)
	watch, err := p.watch(e, poller.Request{URL: url, Header: r.Header, Client: client}, news)
	switch {
	case errors.Is(err, poller.ErrClosed):
		p.refuseEvents(w, r, codeShuttingDown, err)
		return
	case err != nil:
		p.refuseEvents(w, r, codeLimit, err)
		return
	}
	defer watch.Close()
	if release := p.hold(e, url, r.Header); release != nil {
		defer release()
	}
	p.beginEvents(w, r)
	s := &stream{w: w, control: http.NewResponseController(w), news: news, watch: watch, throttle: throttle}
	s.view.version = lastEventID(r)
	if s.send([]byte(fmt.Sprintf("retry: %d\n\n", retryDelay.Milliseconds()))) {
		s.run(p, r)
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
func (p *Proxy) refuseEvents(w http.ResponseWriter, r *http.Request, code string, reason error) {
	p.beginEvents(w, r)
	text := appendError(nil, &poller.Error{Code: code, Message: reason.Error()})
	fmt.Fprintf(w, "retry: %d\nevent: end\ndata: {\"type\":\"end\"%s}\n\n", retryRefused.Milliseconds(), text)
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
	w        http.ResponseWriter
	control  *http.ResponseController
	news     poller.Signal
	watch    source
	view     view
	throttle time.Duration
}

// run tells the client what is newest, waits until there is something newer,
// and so on until one of them goes. While throttle holds news back the stream
// stays as alive as any other.
func (s *stream) run(p *Proxy, r *http.Request) {
	beat := time.NewTimer(heartbeat)
	defer beat.Stop()
	var leave, quiet <-chan time.Time
	leaving, news := p.leaving, s.news
	for {
		if quiet == nil {
			told, open := s.tell()
			if !open {
				return
			}
			if told && s.throttle > 0 {
				quiet, news = time.After(s.throttle), nil
			}
		}
		beat.Reset(heartbeat)
		select {
		case <-news:
		case <-quiet:
			quiet, news = nil, s.news
		case <-beat.C:
			if !s.send([]byte(":\n\n")) {
				return
			}
		case <-leaving: // at a time of one's own, as sockets do
			leaving, leave = nil, time.After(rand.N(p.cfg.Drain+1))
		case <-leave:
			return
		case <-r.Context().Done():
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
	prompt := s.view.sent && s.throttle == 0
	messages, n := s.view.next(snapshot)
	for _, m := range messages[:n] {
		event := m.encoded("event", buildEvent)
		if !s.send(event) {
			return true, false
		}
		m.sent(1, len(event))
		if prompt && m.changes() {
			snapshot.Told(1)
		}
	}
	return n > 0, !snapshot.Over
}

func (s *stream) send(event []byte) bool {
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // not supported: the server's own limits hold
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
