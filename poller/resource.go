package poller

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A resource is one upstream request that is polled while somebody watches.
type resource struct {
	p        *Poller
	key      key
	rule     atomic.Pointer[Rule] // in force; adopted between two polls
	identity http.Header          // sent upstream; gone with the resource
	private  bool                 // polled for one identity: nobody else has this key
	client   netip.Addr           // who was the first to ask for it

	newest   atomic.Pointer[Snapshot] // nil until there is something to show
	interval atomic.Int64             // in force, a time.Duration
	ctx      context.Context          // of its polls; ends when it is retired
	cancel   context.CancelFunc

	// While busy, these are the polling goroutine's, else who holds mu may use
	// them. req.URL does not change.
	req        Request    // without the client's headers
	base       *Snapshot  // the last good document, shown or not
	validators validators // of the last good answer
	failures   int        // polls that failed in a row
	doubted    bool       // the latest answer was not believed, because it has lost much
	claim      claim      // what the latest was, if it was a change that is not believed yet
	replaced   string     // the version that base has replaced
	polls      int
	this       Poll // the one under way, or the latest
	span       Span // of the same

	// mu guards the fields below. It is taken after Poller.mu, and Wake is
	// called with it held.
	mu       sync.Mutex
	watches  []*Watch
	busy     bool // a poll is due or under way
	timer    *time.Timer
	outgoing bool          // the rule is no longer in force; written with Poller.mu held, too
	wanted   bool          // polling goes on for Linger after the last watcher has left
	watched  float64       // seconds, of all watchers together, since the latest poll
	counted  time.Time     // up to when they are in watched
	left     time.Time     // when the last watcher left; zero: nobody has yet
	started  time.Time     // start of the latest poll that has ended
	next     time.Time     // when the next is due
	want     time.Time     // a poll that starts no earlier than this is wanted
	polled   chan struct{} // closed when a poll ends; nil: nobody waits

	history history

	after *resource // in line; guarded by turns.mu
}

func newResource(p *Poller, k key, req Request) *resource {
	r := &resource{p: p, key: k, req: Request{Rule: req.Rule, URL: req.URL}, client: req.Client}
	r.ctx, r.cancel = context.WithCancel(p.ctx)
	r.rule.Store(req.Rule)
	r.identity, r.private = identity(req)
	r.interval.Store(int64(req.Rule.Interval))
	r.history.rule, r.history.spark.start = p.tallyLocked(req.Rule), time.Now()
	return r
}

// resume continues from what was known when the resource was last watched. A
// private document is not shown before the upstream has confirmed that these
// credentials still get it.
func (r *resource) resume(last *Snapshot) {
	r.base = last
	if !r.private {
		shown := last.bare()
		shown.Resumed, shown.history = true, &r.history
		r.newest.Store(shown)
	}
}

// join adds a watcher, and says whether the resource is wanted after it has
// left. Poller.mu is held, so the resource is not retired.
func (r *resource) join(w Watcher, wanted bool) *Watch {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.countWatchedLocked(time.Now())
	watch := &Watch{resource: r, watcher: w, index: len(r.watches)}
	r.watches = append(r.watches, watch)
	first := len(r.watches) == 1
	if first {
		r.p.unwatched.Add(-1)
	}
	if first || wanted && !r.wanted {
		r.wanted = r.wanted || wanted
		r.plan()
	}
	return watch
}

// Newest returns the newest snapshot; nil until there is one. It takes no lock.
func (w *Watch) Newest() *Snapshot { return w.resource.newest.Load() }

// Interval returns the interval in force: the rule's, or a longer one while
// nothing changes.
func (w *Watch) Interval() time.Duration { return time.Duration(w.resource.interval.Load()) }

// Close ends the watch: once it has returned, Wake is not called any more.
// After the last one the resource is polled for the rule's Linger, unless all
// that there were had Request.Once and did not ask twice.
func (w *Watch) Close() {
	if w.close() {
		w.resource.p.retire(w.resource)
	}
}

// close takes the watch off its resource. It reports whether that was the last
// one of a resource that is not to be polled any more.
func (w *Watch) close() bool {
	r := w.resource
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.index < 0 {
		return false
	}
	now := time.Now()
	r.countWatchedLocked(now)
	last := len(r.watches) - 1
	r.watches[w.index] = r.watches[last]
	r.watches[w.index].index = w.index
	r.watches[last] = nil
	r.watches = r.watches[:last]
	w.index = -1
	if last == 0 {
		r.p.unwatched.Add(1)
		r.left = now
		r.plan()
	}
	return last == 0 && r.outgoing
}

// After waits until a poll that started no earlier than t has ended, has one made
// if need be, and returns what is newest then. The error is the context's, or ErrClosed.
func (w *Watch) After(ctx context.Context, t time.Time) (*Snapshot, error) {
	r := w.resource
	for {
		r.mu.Lock()
		if r.want.After(t) {
			t = r.want // what was seen before a write is not shown after it
		}
		if !r.started.Before(t) {
			r.mu.Unlock()
			return r.newest.Load(), nil
		}
		if r.polled == nil {
			r.polled = make(chan struct{})
		}
		polled := r.polled
		r.wantAfterLocked(t)
		r.mu.Unlock()
		select {
		case <-polled:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.p.ctx.Done():
			return nil, ErrClosed
		}
	}
}

func (r *resource) pollAfter(t time.Time) {
	r.mu.Lock()
	r.wantAfterLocked(t)
	r.mu.Unlock()
}

func (r *resource) wantAfterLocked(t time.Time) {
	if t.After(r.want) {
		r.want = t
		r.plan()
	}
}

// plan sees to it that the resource is polled when that is due, and looked at
// when it may be given up. Whatever has a part in the times is followed by it;
// while a poll is due or under way it does nothing, and comes after that. r.mu is held.
func (r *resource) plan() {
	if r.busy || r.ctx.Err() != nil {
		return
	}
	r.adoptLocked()
	due, abandoned := r.times()
	now := time.Now()
	if !due.IsZero() && !now.Before(due) {
		r.busy = true
		r.p.addTurn(r)
		return
	}
	if due.IsZero() || !abandoned.IsZero() && abandoned.Before(due) {
		due = abandoned
	}
	switch {
	case due.IsZero():
		if r.timer != nil {
			r.timer.Stop()
		}
	case r.timer == nil:
		r.timer = time.AfterFunc(due.Sub(now), r.wake)
	default:
		r.timer.Reset(due.Sub(now))
	}
}

// wake looks at the times when the earliest of them has come.
func (r *resource) wake() {
	if r.isAbandoned() && r.p.retire(r) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plan()
}

func (r *resource) isAbandoned() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		return false
	}
	_, abandoned := r.times()
	return !abandoned.IsZero() && !time.Now().Before(abandoned)
}

// stopLocked ends the polling for good, and a poll that is under way.
func (r *resource) stopLocked() {
	r.cancel()
	if r.timer != nil {
		r.timer.Stop()
	}
}

// times returns when the next poll is due (zero: never) and when the resource
// is given up unless somebody watches it (zero: somebody does). One that is not
// polled any more is kept until an interval after its last poll, at most maxRest:
// who comes in the meantime is told what that said, so that those who come and
// go, however many, do not make it poll more often. r.mu is held, and the resource
// is not busy.
func (r *resource) times() (due, abandoned time.Time) {
	s := r.newest.Load()
	over := s != nil && s.Over
	rests := over
	if len(r.watches) == 0 {
		abandoned = r.left
		if !over {
			if r.wanted {
				abandoned = r.left.Add(r.req.Rule.Linger)
			}
			rests = !time.Now().Before(abandoned)
		}
		if again := r.started.Add(min(r.req.Rule.Interval, maxRest)); again.After(abandoned) {
			abandoned = again
		}
	}
	switch {
	case rests:
	case r.started.Before(r.want):
		due = time.Unix(1, 0)
	case r.next.IsZero():
		due = time.Unix(1, 0)
	default:
		due = r.next
	}
	return due, abandoned
}

// maxRest is how long a resource that is not polled is kept for newcomers: it
// counts as one of Options.Resources.
const maxRest = 10 * time.Second

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// poll makes one poll and publishes what is new.
func (r *resource) poll(ctx context.Context) {
	started := time.Now()
	r.this = Poll{At: started}
	r.span = r.p.pollSpan(r.req.Rule)
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	changed, retryAfter, err := r.attempt(ctx, buf)
	r.endSpan(err)
	if ctx.Err() != nil {
		return
	}
	buffers.Put(buf)
	if err != nil {
		r.fail(err)
	}
	r.note(err)
	r.schedule(started, changed, retryAfter, err)
}

// attempt makes the exchange and takes in the answer. Nothing that an upstream
// sends may take the process down: a panic is a poll that failed.
func (r *resource) attempt(ctx context.Context, buf *bytes.Buffer) (changed bool, retryAfter time.Duration, err *Error) {
	defer func() {
		if v := recover(); v != nil {
			err = invalid("the answer could not be understood", fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
		}
	}()
	v := r.validators
	if r.polls++; r.base == nil || r.polls%unconditional == 0 {
		v = validators{}
	}
	a, err := r.ask(ctx, v, buf)
	now := time.Now()
	r.this.Took = now.Sub(r.this.At)
	if a != nil {
		retryAfter = parseRetryAfter(a.header, now)
		r.this.Status, r.this.Bytes = uint16(a.status), a.arrived.n
	}
	if err != nil {
		return false, retryAfter, err
	}
	changed, err = r.take(a)
	return changed, retryAfter, err
}

// unconditional is how often a poll goes without validators: some upstreams'
// lie.
const unconditional = 64

// fail publishes that the latest poll failed, unless that is known.
func (r *resource) fail(err *Error) {
	r.failures++
	r.validators, r.claim = validators{}, claim{}
	shown := r.newest.Load()
	next := &Snapshot{URL: r.req.URL, seen: r.unseen()}
	if shown != nil {
		if shown.Over || shown.Err.Same(err) {
			return
		}
		next = shown.failed(err)
	}
	next.Err = err
	next.Over = r.final(err, next.Version != "")
	log := r.log()
	if err.Cause != nil {
		log = log.With("cause", err.Cause)
	}
	log.Warn("poll failed", "code", err.Code, "reason", err.Message, "final", next.Over)
	r.publish(next)
}

// final reports whether an error ends the subscriptions. Credentials that are
// refused do; but those of a shared poll are the operator's, so that clients
// who have its document keep it while the operator mends them.
func (r *resource) final(err *Error, shown bool) bool {
	if r.req.Rule.Probe && err.Refuses() {
		return true
	}
	switch err.Code {
	case CodeNotShareable, CodeUnsupportedType, CodeGone:
		return true
	case CodeUnauthorized, CodeForbidden:
		return r.private || !shown
	}
	return false
}

// confirm takes note that the upstream still says what base says.
func (r *resource) confirm(header http.Header) {
	r.noteTakenBack()
	r.base.seen.set(time.Now(), header)
	if shown := r.newest.Load(); shown == nil || shown.Err != nil || shown.Resumed || r.req.Rule.Tells {
		r.publish(r.base.bare())
	}
}

// publish makes s the newest and wakes all watchers.
func (r *resource) publish(s *Snapshot) {
	s.history = &r.history
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := r.newest.Load(); last != nil {
		last.push.end()
	}
	r.newest.Store(s)
	for _, w := range r.watches {
		w.watcher.Wake()
	}
}

// schedule says when the next poll is due, and tells those who wait for the
// end of this one.
func (r *resource) schedule(started time.Time, changed bool, retryAfter time.Duration, err *Error) {
	rule := r.req.Rule
	interval := time.Duration(r.interval.Load())
	var wait time.Duration
	switch {
	case err != nil:
		wait = max(backoff(rule, r.failures), retryAfter)
	case changed || r.failures > 0 || r.doubted || r.claim.polls > 0:
		interval = rule.Interval
		wait = interval
	default:
		interval = min(interval*3/2, max(rule.MaxInterval, rule.Interval))
		wait = interval
	}
	if err == nil {
		if r.failures > 0 {
			r.log().Info("poll recovered", "failures", r.failures)
		}
		r.failures = 0
	}
	r.interval.Store(int64(interval))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next.IsZero() && err == nil { // after the first poll take a place of one's own in the interval
		wait -= time.Duration(rand.Int64N(int64(wait)/2 + 1))
	}
	r.next = started.Add(wait)
	r.started = started
	if r.polled != nil {
		close(r.polled)
		r.polled = nil
	}
}

// backoff is how long to wait after n failures in a row: between the interval
// and its 2^n-fold, at most the larger of max_interval and a minute, anywhere
// in between, so that resources that failed together do not come back together.
func backoff(rule *Rule, n int) time.Duration {
	ceiling := max(rule.MaxInterval, time.Minute)
	top := rule.Interval
	for range n {
		if top *= 2; top >= ceiling {
			top = ceiling
			break
		}
	}
	if top <= rule.Interval {
		return rule.Interval
	}
	return rule.Interval + time.Duration(rand.Int64N(int64(top-rule.Interval)))
}

// note takes the poll that has ended into the history.
func (r *resource) note(err *Error) {
	if err != nil {
		r.this.Result, r.this.Why = Failed, err.brief()
		r.history.rule.fail(err)
	}
	r.mu.Lock()
	w := r.takeWatchedLocked()
	r.mu.Unlock()
	r.history.poll(&r.this, w)
}

// countWatchedLocked is called before the number of watchers changes.
func (r *resource) countWatchedLocked(now time.Time) {
	r.watched += float64(len(r.watches)) * now.Sub(r.counted).Seconds()
	r.counted = now
}

// takeWatchedLocked returns what there was of watching since it was last called.
// Who watches what is polled beside the document watches the document, too.
func (r *resource) takeWatchedLocked() watched {
	r.countWatchedLocked(time.Now())
	seconds := r.watched
	r.watched = 0
	rule := r.rule.Load()
	if rule.Purpose != "" {
		return watched{}
	}
	return watched{seconds, seconds / rule.Interval.Seconds()}
}

// log names the resource by its rule and path; a query may hold a secret.
func (r *resource) log() *slog.Logger {
	path, _, query := strings.Cut(r.req.URL, "?")
	if query {
		path += "?…"
	}
	l := r.p.o.Log.With("rule", r.req.Rule.Name, "url", path)
	if purpose := r.req.Rule.Purpose; purpose != "" {
		l = l.With("purpose", purpose)
	}
	return l
}
