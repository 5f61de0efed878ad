package passthrough

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"
)

// exchange is one request and its answer. To httputil.ReverseProxy it is the ResponseWriter, so that it sees the
// final header before net/http does.
type exchange struct {
	http.ResponseWriter
	h      *handler
	in     *http.Request
	target string        // of the request line, in origin form
	out    *http.Request // nil until it is made
	upload *upload       // the client's body; nil if there is none
	status int           // the upstream's final one; 0 until it is known
	stream bool          // its answer is of unknown length
	pace   pace
}

// Unwrap lets http.ResponseController reach the server's own writer, to flush and to hijack.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

func (x *exchange) control() *http.ResponseController {
	return http.NewResponseController(x.ResponseWriter)
}

// rewrite makes the request as it goes out. Its hop-by-hop headers are gone by now.
func (x *exchange) rewrite(r *httputil.ProxyRequest) {
	if x.pace.ctx != nil {
		r.Out = r.Out.WithContext(x.pace.ctx)
	}
	in, out := r.In, r.Out
	x.out = out
	out.URL = x.h.outURL(x.target)
	x.h.forward(out.Header, in)
	if !strings.EqualFold(out.Header.Get("Upgrade"), "websocket") {
		out.Header.Del("Connection")
		out.Header.Del("Upgrade")
	}
	if x.h.OnRequest != nil {
		x.h.OnRequest(x.ResponseWriter, out.Header)
	}
	switch {
	case out.Body != nil:
		if out.ContentLength < 0 {
			out.TransferEncoding = []string{"chunked"} // said outright, or net/http waits for the first byte of a GET's
		}
		x.upload = newUpload(out.Body, in, &x.pace)
		x.control().SetReadDeadline(time.Time{}) // the server's is for bodies that nobody reads
		out.Body, out.Trailer = x.upload, x.upload.trailer
		// An upstream that answers instead of asking for the body is not sent it all the same, as it would
		// be on a connection that is to be used again.
		out.Close = expectsContinue(in)
	case in.Header.Get("Content-Length") != "":
		out.Body, out.TransferEncoding = http.NoBody, []string{"identity"} // has net/http send Content-Length: 0
	}
	if x.upload == nil {
		x.pace.enter(waiting)
	}
}

// answered looks at the upstream's answer before anything of it is sent on.
func (x *exchange) answered(res *http.Response) error {
	switch {
	case res.StatusCode < 100: // net/http reads 0xx, and panics on writing it
		return fmt.Errorf("upstream answered with status %03d", res.StatusCode)
	case res.StatusCode == http.StatusSwitchingProtocols:
		asked, got := x.out.Header.Get("Upgrade"), res.Header.Get("Upgrade")
		if asked == "" || !strings.EqualFold(asked, got) {
			return fmt.Errorf("upstream switched to protocol %q, asked for was %q", got, asked)
		}
	default:
		res.Body = &download{res.Body, x}
	}
	x.status, x.stream = res.StatusCode, res.ContentLength < 0
	x.pace.enter(answering)
	if x.h.OnResponse != nil {
		x.h.OnResponse(x.in, res.StatusCode, res.Header)
	}
	return nil
}

// WriteHeader passes the header on as the upstream gave it.
func (x *exchange) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		x.inform(status)
		return
	}
	header := x.Header()
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil // keeps net/http from guessing one
	}
	if x.upload != nil && !x.upload.ended.Load() {
		x.answerEarly()
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write passes on a piece of the answer.
func (x *exchange) Write(p []byte) (int, error) {
	n, err := x.ResponseWriter.Write(p)
	x.pace.took(n, x.stream)
	return n, err
}

// inform passes on an informational answer, unless the client is too old for any (RFC 9110, section 15.2).
// A 100 that is expected the server sends by itself when the body is read, which the transport does as soon as the
// upstream says 100. That write happens in another goroutine, so that such a request can have no other.
func (x *exchange) inform(status int) {
	x.pace.took(1, true)
	if x.in.ProtoAtLeast(1, 1) && !expectsContinue(x.in) {
		x.ResponseWriter.WriteHeader(status)
	}
}

// answerEarly lets the answer go out while the request's body is still coming in. The connection is not used again: net/http
// panics where it finds the rest of a body that was not read in this mode (golang/go#68560).
func (x *exchange) answerEarly() {
	if x.in.ProtoMajor == 1 { // later versions can do it anyway
		x.control().EnableFullDuplex()
		x.Header().Set("Connection", "close")
	}
}

// leftTime is how long net/http may wait for the rest of a body that is not wanted any more. It takes some of that in.
const leftTime = 10 * time.Second

// end is called when the exchange has ended. The transport may still be reading the client's body then. It is to stop: net/http would
// stop it by a deadline of its own and set none after that, and then wait for the rest for ever.
func (x *exchange) end() {
	x.pace.end()
	if x.upload != nil && !x.upload.ended.Load() && x.in.ProtoMajor == 1 {
		x.control().SetReadDeadline(longAgo)
		x.upload.stop()
		x.control().SetReadDeadline(time.Now().Add(leftTime))
	}
}

// failed answers in place of the upstream.
func (x *exchange) failed(_ http.ResponseWriter, _ *http.Request, err error) {
	late, client := x.pace.tooLate()
	switch {
	case x.status == http.StatusSwitchingProtocols: // too late for an answer
		x.report(fmt.Errorf("protocol switch: %w", err))
		panic(http.ErrAbortHandler)
	case x.out == nil:
		refuse(x, http.StatusBadRequest, "the Upgrade header names no protocol", "the client")
	case late != nil && client:
		status, reason := explainUpload(context.DeadlineExceeded)
		refuse(x, status, reason, "the client and what is between it and this server")
	case late != nil:
		x.report(fmt.Errorf("no answer from upstream: %w", late))
		status, reason := explain(context.DeadlineExceeded)
		refuse(x, status, reason, "whether the upstream is up and well; the log of this proxy has the details")
	case x.gone():
		refuse(x, http.StatusBadGateway, "the request was given up before the upstream answered", "send it again")
	case x.upload != nil && x.upload.failure() != nil:
		status, reason := explainUpload(x.upload.failure())
		refuse(x, status, reason, "the client and what is between it and this server")
	default:
		x.report(fmt.Errorf("no answer from upstream: %w", err))
		status, reason := explain(err)
		refuse(x, status, reason, "whether the upstream is up and well; the log of this proxy has the details")
	}
}

// gone reports whether the client went away, or the server is closing.
func (x *exchange) gone() bool { return errors.Is(x.in.Context().Err(), context.Canceled) }

func (x *exchange) report(err error) {
	if late, _ := x.pace.tooLate(); x.h.OnError != nil && (late != nil || !x.gone()) {
		x.h.OnError(x.in, err)
	}
}

// download is the upstream's body on its way to the client. What it adds is the report of a body that breaks off;
// httputil.ReverseProxy then aborts the client's connection, so that no client takes half of it for all.
type download struct {
	io.ReadCloser
	x *exchange
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		if late, _ := d.x.pace.tooLate(); late != nil {
			err = late
		}
		d.x.report(fmt.Errorf("upstream's answer broke off: %w", err))
	}
	return n, err
}
