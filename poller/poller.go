// Package poller polls each distinct upstream request once, however many watch
// it, and tells its watchers when the answer changed.
//
// # How it works
//
// A resource is one distinct upstream request: a rule, a URL, and the values of
// the request headers that the rule says tell users apart (see [Request]). While
// somebody watches it is polled, by one of a few goroutines that make the polls
// of all; what they see becomes a [Snapshot], which is immutable and superseded by the next. Publishing stores the new
// snapshot and then calls every watcher's Wake, which must not block. A watcher
// reads the newest snapshot whenever it gets round to it.
//
// That is all there is: no queue, so no limit on one, no drop policy and no
// backlog. A slow watcher wakes late and finds the newest. Wake is a level, not
// an edge: a watcher is registered before it first reads, so an update can be
// seen twice but never missed. A failed poll is a snapshot too, the last good
// one with an error, so that data and health travel on one path.
//
// # What is promised
//
//   - never two polls of one resource at once, and a poll's rate does not depend
//     on the number of watchers;
//   - the snapshots that a watcher sees are, in order, a subsequence of what the
//     upstream answered;
//   - a document reaches only watchers whose request makes the same key.
//
// The package knows no WebSocket and no configuration file.
package poller

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// ErrTooMany is returned by Watch when Options.Resources are polled already.
var ErrTooMany = errors.New("too many resources are polled at once")

// ErrTooManyOfClient is returned by Watch when Options.ResourcesPerClient are
// polled because of the same client already.
var ErrTooManyOfClient = errors.New("too many resources are polled at once because of this client")

// ErrClosed is returned by Watch after Close.
var ErrClosed = errors.New("poller is closed")

// Options configure a Poller. The zero value works.
type Options struct {
	// Transport makes the requests. Nil means one with HTTP/1.1 keep-alive
	// connections, as many as Concurrency.
	Transport http.RoundTripper

	// Resources is how many may be polled at once. Zero means 10,000.
	Resources int

	// ResourcesPerClient is how many of them may be there because of one client:
	// it was the first to ask for them, whoever else watches them now. Zero means
	// no limit.
	ResourcesPerClient int

	// Concurrency is how many polls may be under way at once. Zero means 64.
	Concurrency int

	// Rate is how many polls may start a second. Zero means no limit.
	Rate float64

	// Idle is how many bytes are spent on remembering resources that nobody
	// watches, so that those who come back resume. Zero means 64 MiB.
	Idle int

	// Tracer makes a span of each poll. Nil makes none.
	Tracer Tracer

	// Log takes changes of state: a resource fails, recovers, is refused.
	// Nil discards them.
	Log *slog.Logger
}

// A Poller holds the resources. Create it with New.
type Poller struct {
	o       Options
	fetch   fetcher
	allowed atomic.Pointer[allowance]
	ctx     context.Context
	cancel  context.CancelFunc
	turns   turns
	running sync.WaitGroup // the goroutines of turns

	// mu guards the fields below. It is taken before a resource's own.
	mu        sync.Mutex
	rules     map[ruleID]*Rule // in force; nil: all are
	watched   map[key]*resource
	causedBy  map[netip.Addr]int // how many of watched each Request.Client is the cause of
	outgoing  int                // how many of watched have a rule that is no longer in force
	idle      *lru.Cache[key, idleResource]
	idleBytes int
	evicted   uint64                     // idle resources that had to make room
	refused   *lru.Cache[key, time.Time] // until when Refused says so
	tallies   map[string]*ruleTally      // of the rules, by name
	closed    bool

	// unwatched is how many of watched nobody watches: where there is none, there
	// is nothing to give up.
	unwatched atomic.Int64
}

// New returns a Poller that polls nothing yet.
func New(o Options) *Poller {
	o = o.withDefaults()
	if o.Idle <= 0 {
		o.Idle = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Transport == nil {
		o.Transport = NewTransport(o.Concurrency)
	}
	p := &Poller{
		o:       o,
		fetch:   newFetcher(o.Transport),
		watched: make(map[key]*resource), causedBy: make(map[netip.Addr]int),
		tallies: make(map[string]*ruleTally),
	}
	p.turns.came.L = &p.turns.mu
	p.allowed.Store(newAllowance(o.Concurrency, o.Rate))
	p.idle, _ = lru.NewWithEvict(maxIdle, func(_ key, i idleResource) { p.idleBytes -= i.snapshot.size() }) // fails on a size of zero only
	p.refused, _ = lru.New[key, time.Time](maxIdle)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

func (o Options) withDefaults() Options {
	if o.Resources <= 0 {
		o.Resources = 10_000
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 64
	}
	return o
}

// An idleResource is what is remembered of one that nobody watches.
type idleResource struct {
	snapshot *Snapshot
	rule     ruleID
}

// Forget gives up what is remembered of resources that nobody watches.
func (p *Poller) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.evicted += uint64(p.idle.Len())
	p.idle.Purge()
}

// maxIdle is how many idle resources are remembered, however small they are.
const maxIdle = 100_000

// remember keeps the snapshot of a resource that nobody watches. p.mu is held.
func (p *Poller) remember(k key, i idleResource) {
	if p.idle.Add(k, i) {
		p.evicted++
	}
	p.idleBytes += i.snapshot.size()
	for p.idleBytes > p.o.Idle {
		p.idle.RemoveOldest()
		p.evicted++
	}
}

// A Watcher is told that there may be something newer to read.
type Watcher interface {
	// Wake must return at once, and must not call the Watch. It may be called
	// more often than there is news.
	Wake()
}

// A Signal is a Watcher for a goroutine that waits: after any number of wakes
// one value can be received. Make it with a capacity of one.
type Signal chan struct{}

// Wake implements Watcher.
func (s Signal) Wake() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// A Watch is one watcher's hold on a resource: while it is open the resource
// is polled. Close it when done.
type Watch struct {
	resource *resource
	watcher  Watcher
	index    int // in resource.watches, -1 when closed; guarded by resource.mu
}

// URL returns that of the resource, as all who watch it may share it.
func (w *Watch) URL() string { return w.resource.req.URL }

// Watch has w woken when the resource that req names changes. It starts the
// polling of a resource that nobody watched. The error is ErrTooMany,
// ErrTooManyOfClient, ErrClosed or nil.
func (p *Poller) Watch(req Request, w Watcher) (*Watch, error) {
	k := p.fetch.key(req)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	r, known := p.watched[k]
	if known && r.outgoing && p.retireLocked(r) {
		known = false
	}
	if !known {
		if err := p.room(req.Client); err != nil {
			return nil, err
		}
		r, known = p.start(k, req)
	}
	return r.join(w, known || !req.Once), nil
}

// room makes sure that one more resource may be polled because of a client.
// p.mu is held.
func (p *Poller) room(client netip.Addr) error {
	limit := p.o.ResourcesPerClient
	if limit > 0 && client.IsValid() && p.causedBy[client] >= limit && !p.evict(func(r *resource) bool { return r.client == client }) {
		return ErrTooManyOfClient
	}
	if len(p.watched)-p.outgoing >= p.o.Resources && !p.evict(func(*resource) bool { return true }) {
		return ErrTooMany
	}
	return nil
}

// start begins to poll a resource. It reports whether that was known, from a
// while ago. p.mu is held.
func (p *Poller) start(k key, req Request) (r *resource, known bool) {
	inForce := p.inForce(&req)
	r = newResource(p, k, req)
	last, known := p.idle.Get(k)
	if known {
		p.idle.Remove(k)
		r.resume(last.snapshot)
	}
	p.watched[k] = r
	p.causedBy[r.client]++
	if !inForce {
		p.dismissLocked(r)
	}
	p.unwatched.Add(1)
	return r, known
}

// evict makes room for one more resource by giving up one of those that merely
// linger, and reports whether there was any. One client that looks at many things
// cannot keep others from what they want to watch. p.mu is held.
func (p *Poller) evict(which func(*resource) bool) bool {
	if p.unwatched.Load() == 0 {
		return false
	}
	for _, r := range p.watched {
		if which(r) && p.retireLocked(r) {
			return true
		}
	}
	return false
}

// retire takes a resource that nobody watches out of the map, unless somebody
// came at the last moment, and remembers its snapshot without the credentials
// it was polled with. It reports whether the resource is retired.
func (p *Poller) retire(r *resource) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.retireLocked(r)
}

func (p *Poller) retireLocked(r *resource) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.watches) > 0 {
		return false
	}
	if p.watched[r.key] != r {
		return true // it was retired before
	}
	delete(p.watched, r.key)
	r.stopLocked()
	p.unwatched.Add(-1)
	if p.causedBy[r.client]--; p.causedBy[r.client] == 0 {
		delete(p.causedBy, r.client)
	}
	if r.outgoing {
		p.outgoing--
	}
	r.history.settle(r.takeWatchedLocked())
	s := r.newest.Load()
	if s != nil {
		s.push.end()
	}
	switch {
	case s == nil, r.outgoing:
	case s.Over:
		p.refused.Add(r.key, time.Now().Add(r.refusal(s.Err)))
	case s.Version != "":
		p.remember(r.key, idleResource{s.bare(), r.rule.Load().id()})
	}
	return true
}

// refusal is how long it is remembered that a resource cannot be watched:
// credentials may be good again soon.
func (r *resource) refusal(err *Error) time.Duration {
	rule := r.rule.Load()
	if err.Code == CodeUnauthorized || err.Code == CodeForbidden {
		return rule.Interval
	}
	return max(rule.Linger, rule.Interval)
}

// Refused reports whether a watch of what req names ended a short while ago
// with an error that ends subscriptions, so that asking the upstream anew is
// not worth it for one who can do without.
func (p *Poller) Refused(req Request) bool {
	until, ok := p.refused.Get(p.fetch.key(req))
	return ok && time.Now().Before(until)
}

// Refresh polls at once those watched resources that match says, and returns
// how many. A poll that is under way when Refresh is called is followed by
// another, because it may have read what was true before.
func (p *Poller) Refresh(match func(rule *Rule, url string) bool) int {
	now := time.Now()
	n := 0
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.watched {
		if match(r.rule.Load(), r.req.URL) {
			r.pollAfter(now)
			n++
		}
	}
	return n
}

// Watched is the number of resources that are polled at present.
func (p *Poller) Watched() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watched)
}

// Close stops all polls and waits until they have ended. Watches stay valid
// and see nothing new.
func (p *Poller) Close() {
	p.mu.Lock()
	p.closed = true
	for _, r := range p.watched {
		r.mu.Lock()
		r.stopLocked()
		r.mu.Unlock()
	}
	p.mu.Unlock()
	p.cancel()
	p.turns.close()
	p.running.Wait()
}
