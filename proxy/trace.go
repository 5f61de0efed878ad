package proxy

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"pollbridge/poller"
)

// A Tracer makes spans of requests, and of the polls.
type Tracer interface {
	poller.Tracer

	// Request begins the span of a request: a part of the trace that its headers
	// name (W3C Trace Context), or a trace of its own.
	Request(r *http.Request) poller.Span
}

// injectSpan makes the span of a request that passes through the parent of what
// it causes in the upstream. Where requests are not traced, what the client says
// of its trace is passed on like all else.
func injectSpan(w http.ResponseWriter, out http.Header) {
	if a, ok := w.(*answer); ok && a.span != nil {
		a.span.Inject(out)
	}
}

// endSpan ends the span of a request, in the words of OpenTelemetry's semantic
// conventions for HTTP. That of a socket ends with its handshake.
func (a *answer) endSpan(r *http.Request) {
	status := a.outcome(r)
	if a.span.Recording() {
		a.span.Set(
			slog.String("http.request.method", r.Method), slog.String("url.path", r.URL.EscapedPath()),
			slog.Int("http.response.status_code", status), slog.String("pollbridge.transport", transports[a.way]))
		if a.rule != nil {
			a.span.Set(slog.String("http.route", a.rule.config.Path))
		}
		if a.cache != "" {
			a.span.Set(slog.String("pollbridge.cache", a.cache))
		}
	}
	var err error
	if status >= 500 {
		err = errors.New(http.StatusText(status))
	}
	a.span.End(err)
}

// traceID is the id of the trace that a request is a part of; "" where it is of
// none.
func (a *answer) traceID(r *http.Request) string {
	if a.span != nil {
		return a.span.TraceID()
	}
	return traceID(r.Header)
}

// traceID returns the trace-id of a request's traceparent (W3C Trace Context,
// section 3.2); "" where it has none that is valid.
func traceID(h http.Header) string {
	v := h["Traceparent"]
	if len(v) != 1 || len(v[0]) < 55 || v[0][2] != '-' || v[0][35] != '-' {
		return ""
	}
	id := v[0][3:35]
	if strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return strings.Clone(id)
}
