package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"pollbridge/poller"
)

// A source is where a transport gets its snapshots from: a poller.Watch, or
// one that a gate stands before.
type source interface {
	URL() string
	Newest() *poller.Snapshot
	After(ctx context.Context, t time.Time) (*poller.Snapshot, error)
	Interval() time.Duration
	Behind() bool
	Close()
}

// watch begins to watch what a client asks for. The rule of req is the
// endpoint's.
func (p *Proxy) watch(e *endpoint, req poller.Request, w poller.Watcher) (s source, err error) {
	defer func() { p.rejectWatch(req.Client, err) }()
	if e.probe == nil {
		return p.poller.Watch(req.With(e.rule), w)
	}
	g := &gate{p: p, req: req, watcher: w}
	g.e.Store(e)
	g.ctx, g.cancel = context.WithCancel(context.Background())
	if g.shared, err = p.poller.Watch(req.With(e.rule), w); err != nil {
		g.cancel()
		return nil, err
	}
	if g.probe, err = p.poller.Watch(req.With(e.probe), w); err != nil {
		g.cancel()
		g.shared.Close()
		return nil, err
	}
	return g, nil
}

// A gate shows a client the document that is polled for all, with the
// operator's credentials, while the upstream lets that client have it: it is
// asked with the client's own headers before anything is shown, and again
// every reauthorize. To ask is to poll, at another interval and for another
// identity, so that clients of one identity share the answer and all that
// holds for polls (limits, backoff, one at a time) holds for these.
//
// With authorize: same the client's own answer must also be the document that
// is shared. Where it is another, the client is polled for alone.
type gate struct {
	p       *Proxy
	e       atomic.Pointer[endpoint] // another one with other times may take its place
	req     poller.Request
	watcher poller.Watcher
	shared  *poller.Watch
	probe   *poller.Watch
	ctx     context.Context
	cancel  context.CancelFunc

	// mu guards the fields below.
	mu      sync.Mutex
	proven  time.Time     // of the answer that was last found to be the shared document
	shown   string        // the version of the shared document that was shown last
	proving bool          // that is being found out
	alone   *poller.Watch // of the client's own document; nil: the shared one is the same
	closed  bool
}

// Newest implements source. It shows nothing before the client is let in.
func (g *gate) Newest() *poller.Snapshot {
	grant := g.probe.Newest()
	switch {
	case grant == nil:
		return nil
	case grant.Err.Refuses(): // with authorize: true it is over, too
		return grant.Ended(grant.Err)
	case grant.Over || grant.Version == "":
		return grant
	case grant.Resumed && grant.Err == nil: // it was let in before, and is being asked for
		return nil
	case grant.Resumed:
		return grant.Withheld()
	case grant.Err != nil && time.Since(grant.Confirmed()) > 2*g.e.Load().config.Reauthorize:
		return grant.Ended(grant.Err) // it has been too long since the client was let in
	case g.e.Load().config.Authorize != "same":
		return g.current()
	}
	return g.compared(grant)
}

// current returns the shared document without what was last seen when nobody
// watched: then this client may not have been let in.
func (g *gate) current() *poller.Snapshot {
	s := g.shared.Newest()
	switch {
	case s == nil || !s.Resumed:
		return s
	case s.Err == nil:
		return nil
	}
	return s.Withheld()
}

// compared returns the document that is the client's: the shared one, once it
// is proved to be. Where the client has been asked for again that has to be proved
// again before it is shown anything new. While the shared one cannot be read nothing can be proved.
func (g *gate) compared(grant *poller.Snapshot) *poller.Snapshot {
	shared := g.current()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.alone != nil {
		return g.alone.Newest()
	}
	if shared == nil {
		return nil
	}
	fails := shared.Err != nil
	due := grant.Err == nil && !grant.Confirmed().Equal(g.proven)
	if due && !fails && shared.Version == grant.Version {
		g.proven, due = grant.Confirmed(), false
	}
	if due && !fails && !g.proving && !g.closed {
		g.proving = true
		go g.prove(grant)
	}
	switch {
	case !g.proven.IsZero() && (!due || shared.Version == g.shown):
		g.shown = shared.Version
		return shared
	case fails:
		return shared.Withheld()
	}
	return nil
}

// proofs is how often two answers that were given at different times may
// differ before they are taken to be different documents.
const proofs = 3

// prove finds out whether the client's own answer is the shared document: a
// poll of the one is held against a later poll of the other. Where the
// comparison itself fails nothing is proved.
func (g *gate) prove(grant *poller.Snapshot) {
	defer g.watcher.Wake()
	same, grant, err := g.sameAs(grant)
	if err != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.proving = false
	switch {
	case g.closed, grant == nil, grant.Err != nil:
	case same:
		g.proven = grant.Confirmed()
	default:
		g.proven = time.Time{}
		g.aloneLocked()
	}
}

// aloneLocked polls for the client alone. Where a limit forbids that the client
// is shown nothing, and it is found out again in a while. g.mu is held.
func (g *gate) aloneLocked() {
	var err error
	if g.alone, err = g.p.poller.Watch(g.req.With(g.e.Load().alone), g.watcher); err == nil {
		return
	}
	g.proving = true
	time.AfterFunc(g.e.Load().config.Reauthorize, func() {
		g.mu.Lock()
		g.proving = false
		g.mu.Unlock()
		g.watcher.Wake()
	})
}

// sameAs holds the client's answer against the shared document, and returns
// the answer that it has used last; nil where there was nothing to hold it
// against. The error is that of the gate's end.
func (g *gate) sameAs(grant *poller.Snapshot) (same bool, last *poller.Snapshot, err error) {
	last = grant
	defer func() {
		if v := recover(); v != nil {
			g.p.panicked("comparison of a client's answer with the shared one, rule "+g.e.Load().config.Path, v)
			same = false
		}
	}()
	e := g.e.Load()
	for range proofs {
		shared, err := g.shared.After(g.ctx, last.Confirmed())
		if err != nil || shared == nil || shared.Err != nil {
			return false, nil, err
		}
		if e.same(shared, last) {
			return true, last, nil
		}
		if last, err = g.probe.After(g.ctx, time.Now()); err != nil || last == nil || last.Err != nil {
			return false, last, err
		}
		if e.same(shared, last) {
			return true, last, nil
		}
	}
	return false, last, nil
}

// same reports whether two snapshots are one document. That the one was the other
// a short while ago is no proof: it may have become what only some may see.
func (e *endpoint) same(a, b *poller.Snapshot) bool {
	if a.Lines != b.Lines {
		return false
	}
	if a.Version == b.Version {
		return true
	}
	if a.Lines || a.Doc == nil || b.Doc == nil {
		return false
	}
	doc, _, err := e.rule.Differ.Next(a.Doc, b.Body)
	return err == nil && doc == a.Doc
}

// After implements source.
func (g *gate) After(ctx context.Context, t time.Time) (*poller.Snapshot, error) {
	if grant := g.probe.Newest(); grant == nil || grant.Err == nil {
		if _, err := g.probe.After(ctx, time.Now().Add(-g.e.Load().config.Reauthorize)); err != nil {
			return nil, err
		}
	}
	if s := g.Newest(); s != nil && s.Err != nil {
		return s, nil
	}
	if _, err := g.shared.After(ctx, t); err != nil {
		return nil, err
	}
	g.mu.Lock()
	alone := g.alone
	g.mu.Unlock()
	if alone != nil {
		return alone.After(ctx, t)
	}
	return g.Newest(), nil
}

// URL implements source.
func (g *gate) URL() string { return g.shared.URL() }

// Interval implements source.
func (g *gate) Interval() time.Duration { return g.shared.Interval() }

// Behind implements source.
func (g *gate) Behind() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.alone != nil {
		return g.alone.Behind()
	}
	return g.shared.Behind()
}

// Close implements source.
func (g *gate) Close() {
	g.cancel()
	g.mu.Lock()
	g.closed = true
	alone := g.alone
	g.mu.Unlock()
	g.shared.Close()
	g.probe.Close()
	if alone != nil {
		alone.Close()
	}
}
