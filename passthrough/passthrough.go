// Package passthrough hands a request on to the upstream and its answer back, both as they came.
//
// What no rule of the proxy names goes through here, and whoever deploys the proxy must be able to
// forget that it is there. The package is therefore judged by comparison: the same bytes are sent to the
// upstream directly and through the handler, and what either side saw must be equal but for the list below.
//
// It stands on httputil.ReverseProxy, which knows hop-by-hop headers, trailers, informational answers,
// protocol switches and aborts, and repairs what that changes on the way: it re-encodes queries with ';' or a
// bad '%', cleans paths by way of url.URL, loses trailers of requests, holds an answer back until the request's body
// is read, and lets net/http guess a Content-Type. The fields of a request are filled in with Rewrite, after the
// client's Connection header has had its effect: no client can make the proxy drop what the proxy adds.
//
// # What arrives changed, and why
//
//   - Hop-by-hop headers (RFC 9110, section 7.6.1) end here: Connection and what it names, Keep-Alive, TE other than
//     trailers, Transfer-Encoding, Proxy-*, and Upgrade to anything but a WebSocket. So do their consequences: each
//     side has its own keep-alive, a body of unknown length is chunked anew, and a 426 loses its Upgrade.
//   - X-Forwarded-For, -Host and -Proto are set; the whole family of such headers is taken from peers that are not
//     trusted (see Options), in trailers too.
//   - An absolute-form target becomes the origin form (RFC 9112, section 3.2.2). The base path of the upstream is a
//     prefix of the text, not a jail: "/.." is handed on like everything else.
//   - A request with Authorization: NTLM or Negotiate has Connection: close, because the login would hold for the connection.
//   - CONNECT is refused: this is no forward proxy.
//   - Of the informational answers, a client of HTTP/1.0 gets none, and a request with "Expect: 100-continue" that alone.
//   - No Via is added, against RFC 9110, section 7.6.3, and like nginx, which as an upstream stops compressing when it sees one.
//
// net/http, which reads and writes the messages, leaves these out of reach:
//
//   - the case and the order of header names, though not the order of values under one name; folded lines are unfolded;
//   - the reason phrase of a status, and Content-Type and Content-Length of a 304;
//   - Date is added to an answer that has none (RFC 9110, section 6.6.1, asks for it); Pragma: no-cache
//     alone is joined by Cache-Control: no-cache; of several User-Agent lines one is kept, of an empty one none;
//   - Content-Length: 0 is added to a POST, PUT or PATCH without a body and dropped from a GET or HEAD;
//   - a request without Host gets the upstream's; a zone in an IPv6 Host is dropped (RFC 6874);
//   - a target that begins with "//" and also holds bytes that no URL may hold (such as '"', '|' or UTF-8) has those
//     percent-encoded, where the upstream has no base path;
//   - a client that half-closes its connection after the request counts as gone;
//   - what net/http refuses never gets here: targets with spaces or a bad '%' in the path, two Hosts, Expect of anything but 100-continue.
//
// The http.Server must have DisableGeneralOptionsHandler set, or it answers "OPTIONS *" itself.
// It must have no WriteTimeout, or streams end at it.
package passthrough

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Options say where requests go and who is told what became of them. Only Upstream must be given.
type Options struct {
	// Upstream is scheme, host and an optional base path, which is put before each target as text. The rest is ignored.
	Upstream *url.URL

	// TrustedProxies are the networks of peers whose Forwarded, X-Forwarded-* and X-Real-IP are believed and extended.
	// Those of others are replaced. Names that only look alike to an upstream that folds '_' or '.'
	// into '-' (X_Forwarded_For) are taken from everybody: no proxy sends them.
	TrustedProxies []netip.Prefix

	// Transport carries the requests; nil is one of its own, that uses no proxy of the environment, speaks HTTP/1.1,
	// compresses nothing, and waits 10 s for a connection.
	// Another one must not decompress answers (http.Transport.DisableCompression).
	Transport http.RoundTripper

	// Answer is how long the upstream may take to begin its answer once it has the request, and Idle how long nothing
	// may move: no byte of a request's body, of an answer or through a tunnel, either way. Of a body of known length 32 KiB
	// have to, or what is left. Then the exchange ends: with 408 if it was for the client to send, with 504 if the upstream was
	// to answer, and else by breaking off. 0 is no limit.
	Answer, Idle time.Duration

	// OnRequest is called with the header as it is about to be sent on, and may change it. The ResponseWriter
	// is the one that the handler was called with.
	OnRequest func(w http.ResponseWriter, out http.Header)

	// OnResponse is called once when the upstream's final status is known (101 is one; 103 is not) and nothing
	// of that answer has been sent on. It is not called for what the handler answers itself. Its body aside,
	// which is the upstream's by now, in is the client's request as it arrived.
	OnResponse func(in *http.Request, status int, header http.Header)

	// OnError is told why the upstream gave no answer, or half of one. A client that went away or sent a
	// broken body is no error. The text of err may name the upstream's address.
	OnError func(in *http.Request, err error)
}

// flushInterval is how long an answer of known length may rest in a buffer while more of it is awaited.
// Answers of unknown length and event streams are flushed at every write.
const flushInterval = 20 * time.Millisecond

type handler struct {
	Options
	base    string // the upstream's path as text, without a slash at its end
	buffers *bufferPool
	discard *log.Logger
}

// New makes the handler that passes everything through to o.Upstream. It must be served by an http.Server:
// an answer that breaks off panics with http.ErrAbortHandler, which only a server understands.
func New(o Options) http.Handler {
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	return &handler{
		Options: o,
		base:    strings.TrimSuffix(o.Upstream.EscapedPath(), "/"),
		buffers: new(bufferPool),
		discard: log.New(io.Discard, "", 0), // OnError is told instead
	}
}

// ServeHTTP hands in on and copies the answer to w. It reads in.RequestURI, not in.URL, which a router may have rewritten.
func (h *handler) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	target, ok := originForm(in.Method, in.RequestURI)
	switch {
	case in.Method == http.MethodConnect:
		w.Header().Set("Connection", "close") // what follows may be meant for a tunnel, and is no request
		refuse(w, http.StatusNotImplemented, "CONNECT is not supported", "this server is no forward proxy")
		return
	case in.Method == "PRI": // the preface of HTTP/2 on a connection that does not speak it
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusHTTPVersionNotSupported, "HTTP/2 is not spoken here without TLS", "use HTTP/1.1")
		return
	case !ok:
		refuse(w, http.StatusBadRequest, "the request target is neither a path nor an http URL", "send a path that begins with /")
		return
	}
	x := &exchange{ResponseWriter: w, h: h, in: in, target: target}
	proxy := httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		ModifyResponse: x.answered,
		ErrorHandler:   x.failed,
		Transport:      h.Transport,
		FlushInterval:  flushInterval,
		BufferPool:     h.buffers,
		ErrorLog:       h.discard,
	}
	x.pace.begin(in.Context(), x.control(), h.Answer, h.Idle)
	complete := false
	defer func() {
		x.end()
		if !complete && !in.ProtoAtLeast(1, 1) {
			reset(w)
		}
	}()
	proxy.ServeHTTP(x, in)
	complete = true
}
