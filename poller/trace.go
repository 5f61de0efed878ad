package poller

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// A Tracer makes spans of what is done, as OpenTelemetry understands them. Its
// methods return at once, and may be called by many.
type Tracer interface {
	// Poll begins a trace of its own, with the span of one poll for a rule.
	Poll(rule string) Span
}

// A Span is something that takes time, as a part of a trace.
type Span interface {
	// Begin begins a part of this span. It may end later than this one.
	Begin(name string) Span

	// TraceID names the trace that the span is a part of: 32 hexadecimal digits.
	TraceID() string

	// Recording reports whether anybody will see the span. Where nobody will
	// there is no use in saying more about it.
	Recording() bool

	// Set says more about it.
	Set(attrs ...slog.Attr)

	// Inject makes the span the parent of what a request with these headers
	// causes elsewhere (W3C Trace Context).
	Inject(h http.Header)

	// End ends the span; err says why in vain.
	End(err error)
}

// pollSpan begins the span of a poll.
func (p *Poller) pollSpan(rule *Rule) Span {
	if p.o.Tracer == nil {
		return noSpan{}
	}
	return p.o.Tracer.Poll(rule.Name)
}

// noSpan is the span of what is not traced. It costs nothing.
type noSpan struct{}

func (noSpan) Begin(string) Span  { return noSpan{} }
func (noSpan) TraceID() string    { return "" }
func (noSpan) Recording() bool    { return false }
func (noSpan) Set(...slog.Attr)   {}
func (noSpan) Inject(http.Header) {}
func (noSpan) End(error)          {}

// endSpan ends the span of the poll that has ended.
func (r *resource) endSpan(err *Error) {
	if !r.span.Recording() {
		r.span.End(nil)
		return
	}
	path, _, _ := strings.Cut(r.req.URL, "?")
	result := r.this.Result
	if err != nil {
		result = Failed
	}
	r.span.Set(slog.String("pollbridge.rule", r.req.Rule.Name), slog.String("url.path", path), slog.String("pollbridge.result", result.String()))
	if r.this.Status != 0 {
		r.span.Set(slog.Int("http.response.status_code", int(r.this.Status)))
	}
	if purpose := r.req.Rule.Purpose; purpose != "" {
		r.span.Set(slog.String("pollbridge.purpose", purpose))
	}
	if err == nil {
		r.span.End(nil)
		return
	}
	r.span.Set(slog.String("error.type", err.Code))
	r.span.End(errors.New(err.Message))
}

// A push is the span of telling a change to all who watched when it was made.
// It ends when as many have been sent it, or when it is superseded.
type push struct {
	span     Span
	watchers int64
	told     atomic.Int64
	once     sync.Once
}

// beginPush begins the span of telling the change that this poll has found; nil
// where nobody watches or nothing is recorded.
func (r *resource) beginPush() *push {
	watchers := r.watchers()
	if watchers == 0 || !r.span.Recording() {
		return nil
	}
	return &push{span: r.span.Begin("push"), watchers: int64(watchers)}
}

// sent takes note that n more were sent the change.
func (p *push) sent(n int) {
	if p != nil && p.told.Add(int64(n)) >= p.watchers {
		p.end()
	}
}

func (p *push) end() {
	if p == nil {
		return
	}
	p.once.Do(func() {
		p.span.Set(slog.Int64("pollbridge.watchers", p.watchers), slog.Int64("pollbridge.sent", p.told.Load()))
		p.span.End(nil)
	})
}
