package proxy

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"pollbridge/poller"
)

// transports are the ways as the access log and the metrics call them: words
// that were once given stay.
var transports = map[Way]string{
	WayPass: "pass", WaySocket: "websocket", WayEvents: "events", WayLongPoll: "longpoll", WayGet: "get",
	WayPreflight: "preflight", WayReserved: "reserved",
}

// An answer is what a client is given for one request. It is the ResponseWriter
// that takes note of what goes through it; the server's own stays within reach
// of http.ResponseController.
type answer struct {
	http.ResponseWriter
	started  time.Time
	way      Way
	rule     *endpoint   // that matches the request; nil: none
	cache    string      // as in Cache-Status (RFC 9211): hit, or why the upstream was asked
	span     poller.Span // nil: requests are not traced
	status   int         // the final one; 0 until it is known
	bytes    atomic.Int64
	upgraded bool // a socket has the connection, and says itself what becomes of it
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if (status >= 200 || status == http.StatusSwitchingProtocols) && a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.begun()
	n, err := a.ResponseWriter.Write(p)
	a.bytes.Add(int64(n))
	return n, err
}

// begun takes note that the body has begun, and with it what comes before.
func (a *answer) begun() {
	if a.status == 0 {
		a.status = http.StatusOK
	}
}

// ReadFrom implements io.ReaderFrom, so that the server can have the kernel copy
// a file.
func (a *answer) ReadFrom(src io.Reader) (int64, error) {
	a.begun()
	n, err := io.Copy(a.ResponseWriter, src)
	a.bytes.Add(n)
	return n, err
}

// Hijack implements http.Hijacker. What goes through a tunnel counts; a socket
// counts for itself, and needs the connection as it is.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil && a.way == WayPass {
		if a.status == 0 { // else an answer is broken off
			a.status = http.StatusSwitchingProtocols
		}
		conn = &counted{conn, &a.bytes}
	}
	return conn, buffered, err
}

// counted is a connection whose bytes to the client are counted.
type counted struct {
	net.Conn
	sent *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// NetConn returns the connection itself.
func (c *counted) NetConn() net.Conn { return c.Conn }

// CloseWrite tells the client that nothing follows, if its kind of connection
// can.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// statusGone is what is noted of a client that did not wait for its answer:
// nginx's number, in want of a standard one.
const statusGone = 499

// outcome is the status that an answer ended with.
func (a *answer) outcome(r *http.Request) int {
	switch gone := r.Context().Err() != nil; {
	case gone && (a.status == 0 || a.status == http.StatusBadGateway):
		return statusGone
	case a.status == 0:
		return http.StatusOK
	}
	return a.status
}

// logsAccess reports whether there is to be a line for each request.
func (p *Proxy) logsAccess() bool {
	return p.access != nil && p.access.Enabled(context.Background(), slog.LevelInfo)
}

// ended takes note of an answer when it has been given, or broken off.
func (p *Proxy) ended(a *answer, r *http.Request) {
	p.counts.ended(a.way, a.outcome(r), time.Since(a.started))
	if a.span != nil {
		a.endSpan(r)
	}
	if !p.logsAccess() || a.upgraded {
		return
	}
	sent := a.bytes.Load()
	if r.Method == http.MethodHead {
		sent = 0
	}
	p.accessLine(a, r)(a.outcome(r), sent, 0)
}

// What a client chooses is cut off in a line of the log, in bytes.
const (
	maxMethod = 32
	maxPath   = 1 << 10
)

func loggedMethod(r *http.Request) string {
	return strings.Clone(r.Method[:min(len(r.Method), maxMethod)])
}

// loggedPath is the path of a request as the log has it, with ?… in place of a
// query.
func loggedPath(r *http.Request) string {
	path := r.URL.EscapedPath()
	path = strings.Clone(path[:min(len(path), maxPath)])
	if r.URL.RawQuery != "" {
		path += "?…"
	}
	return path
}

// accessLine returns what writes the line about a request when it is over. It
// keeps nothing else of the request. No value of a header is in it, and no query.
func (p *Proxy) accessLine(a *answer, r *http.Request) func(status int, sent int64, closed cause) {
	method, path := loggedMethod(r), loggedPath(r)
	started, transport, cache, trace := a.started, transports[a.way], a.cache, a.traceID(r)
	client, rule := "", ""
	if addr := p.remote(r); addr.IsValid() {
		client = addr.String()
	}
	if a.rule != nil {
		rule = a.rule.config.Path
	}
	return func(status int, sent int64, closed cause) {
		p.access.LogAttrs(context.Background(), slog.LevelInfo, "request",
			slog.String("method", method), slog.String("path", path), slog.Int("status", status),
			slog.Int64("bytes", sent), slog.Float64("duration_ms", float64(time.Since(started).Microseconds())/1e3),
			slog.String("client", client), slog.String("rule", rule), slog.String("transport", transport),
			slog.String("cache", cache), slog.String("closed", closed.String()), slog.String("trace_id", trace))
	}
}
