package proxy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollbridge/internal/field"
	"pollbridge/poller"
)

// maxWait bounds how long a long-poll is held, in seconds: proxies on the way
// give up after a minute.
const maxWait = 50

// preferredWait reads "Prefer: wait=N" (RFC 7240, section 4.3) of a request
// that says which version it holds. Zero: it is no long-poll.
func preferredWait(r *http.Request) int {
	if r.Method != http.MethodGet || len(r.Header["If-None-Match"]) == 0 {
		return 0
	}
	for _, preference := range field.List(r.Header["Prefer"]) {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(preference, "=")
		if strings.TrimSpace(name) == "wait" {
			n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err != nil {
				return 0
			}
			return min(int(n), maxWait)
		}
	}
	return 0
}

// serveLongPoll holds a GET until the version is another than the client's or
// the time is over (Comet). It returns false where the request is to pass
// through instead.
func (p *Proxy) serveLongPoll(w *answer, r *http.Request, e *endpoint, url string, wait int) bool {
	req := poller.Request{Rule: e.rule, URL: url, Header: r.Header, Client: p.client(r)}
	if p.poller.Refused(req) {
		return false
	}
	if limit := p.connect(req.Client, WayLongPoll); limit != nil {
		refuse(w, limit)
		return true
	}
	defer p.disconnect(req.Client, WayLongPoll)
	timeout := time.NewTimer(time.Duration(wait) * time.Second)
	defer timeout.Stop()
	for {
		l := longPoll{p: p, w: w, r: r, timeout: timeout.C, applied: "wait=" + strconv.Itoa(wait)}
		if answered, overtaken := l.serve(e, req); !overtaken {
			return answered
		}
		var err error
		if e, req.URL, err = p.now().resolve(requestTarget(r)); err != nil {
			return false
		}
	}
}

// A longPoll is one that is being held.
type longPoll struct {
	p       *Proxy
	w       *answer
	r       *http.Request
	timeout <-chan time.Time
	applied string // Preference-Applied
}

// serve answers, or reports that it is to pass through, or that another rule is
// in force by which it is to be served anew.
func (l *longPoll) serve(e *endpoint, req poller.Request) (answered, overtaken bool) {
	p, r := l.p, l.r
	news := make(poller.Signal, 1)
	watch, err := p.watch(e, req, news)
	if err != nil {
		return false, false
	}
	defer watch.Close()
	if release := p.hold(e, req.URL, r.Header); release != nil {
		defer release()
	}
	s, err := waitFresh(r.Context(), watch)
	if err != nil {
		return r.Context().Err() != nil, false
	}
	held := etags(r.Header["If-None-Match"])
	for waiting := true; ; {
		if e, overtaken = p.goOn(e, req.URL, watch); overtaken {
			return false, true
		}
		if !waiting || differs(s, held) {
			break
		}
		if s != nil && s.Over {
			return false, false
		}
		select {
		case <-news:
		case <-l.timeout:
			waiting = false
		case <-p.leaving:
			waiting = false
		case <-e.routes.replaced:
		case <-r.Context().Done():
			return true, false
		}
		s = watch.Newest()
	}
	if s == nil || s.Version == "" || !p.faithful(r, s) {
		return false, false
	}
	l.w.Header().Set("Preference-Applied", l.applied)
	p.writeSnapshot(l.w, r, s, watch.Interval(), "hit")
	if n := int(l.w.bytes.Load()); n > 0 { // else it was told that nothing is new
		s.Sent(l.w.status == http.StatusIMUsed, 1, n)
		if s.At.After(l.w.started) {
			s.Told(1)
		}
	}
	return true, false
}

// differs reports whether s is a good document that none of the tags names.
func differs(s *poller.Snapshot, held []string) bool {
	return s != nil && s.Err == nil && s.Version != "" && !slices.Contains(held, s.Version) && !slices.Contains(held, "*")
}
