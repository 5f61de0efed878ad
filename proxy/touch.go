package proxy

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"pollbridge/poller"
)

// Polls often keep a login alive, and where one poll serves many users most of
// them send none any more. A rule's touch sends one real request per identity
// and period for as long as that identity watches.

// touches are the identities that are kept alive: as many as resources may be
// polled, so that nobody fills the memory with invented ones.
type touches struct {
	failed seldom
	mu     sync.Mutex // guards by, and refs and endpoint of what is in it
	by     map[[sha256.Size]byte]*touch
}

type touch struct {
	refs     int // how many watch with this identity
	endpoint *endpoint
	url      string
	identity http.Header // nil: nobody watches
	timer    *time.Timer
}

// identityHeaders are what a login is carried by.
var identityHeaders = []string{"Authorization", "Cookie"}

// touchKey identifies a rule and who watches it, by a keyed hash; not ok where
// nobody can be told from the request, or where every poll is that user's own already.
func (p *Proxy) touchKey(e *endpoint, h http.Header) (key [sha256.Size]byte, ok bool) {
	if e.config.Touch <= 0 {
		return key, false
	}
	hash := hmac.New(sha256.New, p.secret[:])
	length := func(n int) { hash.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	field := func(s string) {
		length(len(s))
		hash.Write([]byte(s))
	}
	field(e.config.Path)
	own := true
	for _, name := range identityHeaders {
		length(len(h[name]))
		for _, v := range h[name] {
			field(v)
			ok = true
		}
		own = own && (len(h[name]) == 0 || slices.Contains(e.config.Vary, name))
	}
	hash.Sum(key[:0])
	return key, ok && !own
}

// hold keeps the identity that header carries alive until release is called, once;
// nil where there is nothing to keep.
func (p *Proxy) hold(e *endpoint, url string, header http.Header) (release func()) {
	key, ok := p.touchKey(e, header)
	if !ok {
		return nil
	}
	p.touches.mu.Lock()
	defer p.touches.mu.Unlock()
	t := p.touches.by[key]
	if t == nil && len(p.touches.by) >= p.now().cfg.Limits.Resources {
		return nil
	}
	if t == nil {
		t = p.newTouchLocked(key, e)
	}
	if t.refs == 0 {
		t.url, t.identity = url, identityOf(header)
	}
	if e.routes.generation > t.endpoint.routes.generation {
		t.endpoint = e
	}
	t.refs++
	return func() {
		p.touches.mu.Lock()
		if t.refs--; t.refs == 0 {
			t.identity = nil
		}
		p.touches.mu.Unlock()
	}
}

func identityOf(header http.Header) http.Header {
	identity := make(http.Header)
	for _, name := range identityHeaders {
		if v := header[name]; len(v) > 0 {
			identity[name] = v
		}
	}
	return identity
}

// newTouchLocked remembers an identity, which the caller gives it; the first
// request is sent within the period, at a time of its own.
func (p *Proxy) newTouchLocked(key [sha256.Size]byte, e *endpoint) *touch {
	t := &touch{endpoint: e}
	if p.touches.by == nil {
		p.touches.by = make(map[[sha256.Size]byte]*touch)
	}
	p.touches.by[key] = t
	period := e.config.Touch
	t.timer = time.AfterFunc(period/2+rand.N(period/2+1), func() { p.touch(key, t) })
	return t
}

// touch sends the request that is due, or forgets who does not watch any more:
// one who comes back within the period is not touched more often for it.
func (p *Proxy) touch(key [sha256.Size]byte, t *touch) {
	p.touches.mu.Lock()
	select {
	case <-p.leaving:
		t.refs = 0
	default:
	}
	if t.refs == 0 || p.touches.by[key] != t {
		if p.touches.by[key] == t {
			delete(p.touches.by, key)
		}
		p.touches.mu.Unlock()
		return
	}
	e, url, identity := t.endpoint, t.url, t.identity
	t.timer.Reset(e.config.Touch)
	p.touches.mu.Unlock()
	rule := e.rule
	if e.alone != nil { // whose headers are not the operator's
		rule = e.alone
	}
	status, err := p.poller.Touch(context.Background(), poller.Request{Rule: rule, URL: url}, identity)
	if err != nil || status >= 400 {
		if more, ok := p.touches.failed.tell(tellEvery); ok {
			p.log.Info("touch failed", "rule", e.config.Path, "status", status, "err", err, "more", more)
		}
	}
}

// follow goes over to the rules in force. Who watches by a rule that asks for
// something else is touched by that when it is watched again.
func (ts *touches) follow(rt *routes) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for key, t := range ts.by {
		if e := rt.byPath[t.endpoint.config.Path]; e != nil && e.continues(t.endpoint) {
			if e.config.Touch != t.endpoint.config.Touch {
				t.timer.Reset(rand.N(e.config.Touch))
			}
			t.endpoint = e
			continue
		}
		t.timer.Stop()
		delete(ts.by, key)
	}
}

// passForTouch reports whether a GET that could be answered from the snapshot
// should pass through instead, because it is time for its sender's touch: then
// even the cookies of the answer reach the client.
func (p *Proxy) passForTouch(e *endpoint, header http.Header) bool {
	key, ok := p.touchKey(e, header)
	if !ok {
		return false
	}
	p.touches.mu.Lock()
	defer p.touches.mu.Unlock()
	if p.touches.by[key] != nil || len(p.touches.by) >= p.now().cfg.Limits.Resources {
		return false
	}
	p.newTouchLocked(key, e) // with nobody watching it is forgotten when its time comes
	return true
}
