package passthrough

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// refuse answers in plain text: the status, why, and where to look next. Nothing of it is about the inside:
// no address, no header, no error text.
func refuse(w http.ResponseWriter, status int, why, next string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintf(w, "%d %s: %s.\nTo look at next: %s.\n", status, http.StatusText(status), why, next)
}

// explain gives the status and the reason for an upstream that did not answer:
// 504 if it ran out of time, 502 otherwise (RFC 9110, section 15.6).
func explain(err error) (status int, why string) {
	var (
		name *net.DNSError
		op   *net.OpError
		cert *tls.CertificateVerificationError
		rec  tls.RecordHeaderError
	)
	switch {
	case timedOut(err):
		return http.StatusGatewayTimeout, "the upstream did not answer in time"
	case errors.As(err, &name):
		return http.StatusBadGateway, "the name of the upstream was not found"
	case errors.Is(err, syscall.ECONNREFUSED):
		return http.StatusBadGateway, "the upstream refused the connection"
	case errors.As(err, &cert), errors.As(err, &rec):
		return http.StatusBadGateway, "the TLS handshake with the upstream failed"
	case errors.As(err, &op) && op.Op == "dial":
		return http.StatusBadGateway, "the upstream could not be reached"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return http.StatusBadGateway, "the upstream closed the connection before it answered"
	}
	return http.StatusBadGateway, "the upstream gave no answer that can be passed on"
}

// explainUpload gives the status and the reason for a request whose body could not be read: the client's fault,
// as RFC 9110, section 15.5, sees it.
func explainUpload(err error) (status int, why string) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, "the request's body is too large"
	case timedOut(err):
		return http.StatusRequestTimeout, "the request's body did not arrive in time"
	}
	return http.StatusBadRequest, "the request's body is broken"
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// reset drops the client's connection such that it cannot be taken for the end of the answer. HTTP/1.0 marks
// that end by closing and nothing else; a reset, and TLS without its close_notify, are the only ways to say otherwise.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	for { // TLS, and what else stands around the connection itself
		outer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = outer.NetConn()
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
