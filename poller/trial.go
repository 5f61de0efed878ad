package poller

import (
	"bytes"
	"context"
	"net/http"
	"time"
)

// A Trial polls one resource when it is told to, exactly as it would be polled
// while somebody watches, for who wants to see how that goes. Nobody else sees
// it, and nothing of it is kept. It is not for use by several goroutines.
type Trial struct{ resource *resource }

// Try returns a Trial that has not polled yet.
func (p *Poller) Try(req Request) *Trial {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &Trial{newResource(p, key{}, req)}
}

// An Attempt is one poll as it went. What the upstream gave is whole, and may
// not be shown to anybody but whose credentials it was asked with.
type Attempt struct {
	Status      int         // 0: no answer
	Header      http.Header // as it came
	Bytes       int         // of the body, after decompression
	Took        time.Duration
	Conditional bool // it was asked with validators
	Redirected  bool // another URL than the one asked for has answered

	Snapshot *Snapshot // the newest document; nil: none yet
	Err      *Error
}

// Poll makes one poll. The error of a context that has ended is CodeUnreachable.
func (t *Trial) Poll(ctx context.Context) (got Attempt) {
	r := t.resource
	slot, ok := r.p.acquire(ctx)
	if !ok {
		return Attempt{Err: exchangeError(ctx.Err(), r.req.Rule)}
	}
	defer func() { <-slot }()
	v := r.validators
	got.Conditional = v != validators{}
	r.span = r.p.pollSpan(r.req.Rule)
	defer func() { r.endSpan(got.Err) }()
	started := time.Now()
	a, err := r.ask(ctx, v, new(bytes.Buffer))
	got.Took = time.Since(started)
	if a != nil {
		got.Status, got.Header, got.Bytes, got.Redirected = a.status, a.header.Clone(), len(a.body), a.redirected()
	}
	if err == nil {
		_, err = r.take(a)
	}
	got.Err, got.Snapshot = err, r.base
	return got
}

// RetryAfter is how long the upstream asked to be left alone. Zero: it did not.
func (a Attempt) RetryAfter() time.Duration { return parseRetryAfter(a.Header, time.Now()) }
