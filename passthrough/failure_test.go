package passthrough

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// reporting serves a handler for that upstream and hands on what it reports.
func reporting(t testing.TB, upstream *url.URL) (*url.URL, <-chan error) {
	reports := make(chan error, 10)
	return serve(t, newHandler(t, Options{Upstream: upstream, OnError: func(_ *http.Request, err error) { reports <- err }})), reports
}

// closedPort is an address on which nobody listens, and nobody can: it is the near end of a connection.
func closedPort(t *testing.T) *url.URL {
	far := listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	return &url.URL{Scheme: "http", Host: dial(t, far).LocalAddr().String()}
}

// sending is an upstream that reads a request, sends that, and closes.
func sending(t *testing.T, answer string) *url.URL {
	return newRawUpstream(t, func(message) string { return answer }).url
}

// An upstream that gives no answer is a 502 whose text says why in words and names nothing of the inside; the report names all.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	secure := closedPort(t)
	secure.Scheme, secure.User, secure.Path = "https", url.UserPassword("admin", "hunter2"), "/secret-base"
	plainAsTLS := listen(t, func(conn net.Conn) {
		io.WriteString(conn, lines("HTTP/1.1 400 Bad Request", "Connection: close"))
		io.Copy(io.Discard, conn)
	})
	plainAsTLS.Scheme = "https"
	unknownCA := httptest.NewUnstartedServer(http.NotFoundHandler())
	unknownCA.Config.ErrorLog = log.New(io.Discard, "", 0)
	unknownCA.StartTLS()
	t.Cleanup(unknownCA.Close)
	unknownCAURL, _ := url.Parse(unknownCA.URL)
	for _, c := range []struct {
		name     string
		upstream *url.URL
		why      string // in the body
		report   string // in OnError's
	}{
		{"down", closedPort(t), "the upstream refused the connection", "connection refused"},
		{"down, with credentials", secure, "the upstream refused the connection", "connection refused"},
		{"unknown name", &url.URL{Scheme: "http", Host: "no-such-host.invalid"}, "the name of the upstream was not found", "no-such-host.invalid"},
		{"no TLS", plainAsTLS, "the TLS handshake with the upstream failed", "tls: first record"},
		{"unknown CA", unknownCAURL, "the TLS handshake with the upstream failed", "unknown authority"},
		{"not HTTP", sending(t, "not HTTP at all\r\n\r\n"), "the upstream gave no answer that can be passed on", "malformed HTTP"},
		{"closes", sending(t, ""), "the upstream closed the connection before it answered", "EOF"},
		{"cut in the header", sending(t, "HTTP/1.1 200 OK\r\nX-A: 1\r\n"), "the upstream closed the connection before it answered", "unexpected EOF"},
		{"two lengths", sending(t, lines(ok, "Content-Length: 1", "Content-Length: 2")+"a"), "the upstream gave no answer that can be passed on", "Content-Length"},
		{"status 099", sending(t, lines("HTTP/1.1 099 What", "Connection: close", "Content-Length: 0")), "the upstream gave no answer that can be passed on", "status 099"},
		{"status 99", sending(t, lines("HTTP/1.1 99 What", "Content-Length: 0")), "the upstream gave no answer that can be passed on", "malformed HTTP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			proxy, reports := reporting(t, c.upstream)
			for _, body := range []string{"", "hello"} {
				_, m := ask(t, proxy, lines("POST /x HTTP/1.1", "Host: h", fmt.Sprint("Content-Length: ", len(body)))+body)
				want := "502 Bad Gateway: " + c.why + ".\nTo look at next: whether the upstream is up and well; the log of this proxy has the details.\n"
				if m.start != "HTTP/1.1 502 Bad Gateway" || m.body != want {
					t.Errorf("got %q %q, want %q", m.start, m.body, want)
				}
				if m.header["content-type"][0] != "text/plain; charset=utf-8" || m.header["cache-control"][0] != "no-store" {
					t.Errorf("header %q", m.header)
				}
				if err := await(t, reports, "the report"); !strings.Contains(err.Error(), c.report) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("reported %q, want %q in it", err, c.report)
				}
			}
		})
	}
}

// The limits on an answer to begin, and on a "100 Continue" of the transport that is used by default, in simulated time.
func TestSlowUpstream(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer string // sent as soon as the request's body is there
		status       int
		took         time.Duration
	}{
		{"never answers", "", http.StatusGatewayTimeout, 61 * time.Second},
		{"never says 100", plainAnswer, http.StatusOK, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				go func() {
					readMessage(bufio.NewReader(theirs), "")
					io.WriteString(theirs, c.answer)
				}()
				tr := newTransport()
				tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
				defer tr.CloseIdleConnections()
				var report error
				h := New(Options{
					Upstream:  &url.URL{Scheme: "http", Host: "upstream"},
					Transport: tr,
					Answer:    time.Minute,
					OnError:   func(_ *http.Request, err error) { report = err },
				})
				in := httptest.NewRequest("POST", "/", strings.NewReader("hello"))
				in.Header.Set("Expect", "100-continue")
				rec, start := httptest.NewRecorder(), time.Now()
				h.ServeHTTP(rec, in)
				if took := time.Since(start); rec.Code != c.status || took != c.took {
					t.Errorf("%d after %v, want %d after %v", rec.Code, took, c.status, c.took)
				}
				if c.status == http.StatusGatewayTimeout && (report == nil || !strings.HasPrefix(rec.Body.String(),
					"504 Gateway Timeout: the upstream did not answer in time.\n")) {
					t.Errorf("body %q, report %v", rec.Body, report)
				}
			})
		})
	}
}

// A request goes out before the first byte of its body is there, also where net/http would wait to see whether there is any.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		body, unsent := io.Pipe()
		start := time.Now()
		go func() {
			br := bufio.NewReader(theirs)
			readLine(br)
			if waited := time.Since(start); waited > 0 {
				t.Errorf("the request was held back for %v", waited)
			}
			go unsent.Close()
			for line := "-"; line != "0"; {
				line, _ = readLine(br)
			}
			readLine(br)
			io.WriteString(theirs, plainAnswer)
		}()
		tr := newTransport()
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
		defer tr.CloseIdleConnections()
		in := httptest.NewRequest("GET", "/", body)
		in.ContentLength = -1
		rec := httptest.NewRecorder()
		New(Options{Upstream: &url.URL{Scheme: "http", Host: "upstream"}, Transport: tr}).ServeHTTP(rec, in)
		if rec.Code != http.StatusOK {
			t.Errorf("status %d", rec.Code)
		}
	})
}

// An upstream that dies in the middle of a body never looks like the end of one: the client's connection breaks off, and
// where HTTP/1.0 marks the end by nothing but closing, it is reset.
func TestAnswerBreaksOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, proto, answer string }{
		{"known length", "HTTP/1.1", lines(ok, "Content-Length: 9") + "half"},
		{"chunked", "HTTP/1.1", lines(ok, "Transfer-Encoding: chunked") + "4\r\nhalf\r\n"},
		{"cut in a chunk", "HTTP/1.1", lines(ok, "Transfer-Encoding: chunked") + "9\r\nhalf"},
		{"bad chunk", "HTTP/1.1", lines(ok, "Transfer-Encoding: chunked") + "4\r\nhalf\r\nxx\r\n"},
		{"event stream", "HTTP/1.1", lines(ok, "Transfer-Encoding: chunked", "Content-Type: text/event-stream") + "6\r\ndata: \r\n"},
		{"chunked", "HTTP/1.0", lines(ok, "Transfer-Encoding: chunked") + "4\r\nhalf\r\n"},
		{"known length", "HTTP/1.0", lines(ok, "Content-Length: 9") + "half"},
	} {
		t.Run(c.name+" "+c.proto, func(t *testing.T) {
			t.Parallel()
			proxy, reports := reporting(t, sending(t, c.answer))
			conn := dial(t, proxy)
			io.WriteString(conn, lines("GET / "+c.proto, "Host: h"))
			_, m, err := readResponse(bufio.NewReader(conn), "GET")
			if err == nil || strings.Contains(m.start, "502") {
				t.Errorf("%q looks complete", m)
			}
			if c.proto == "HTTP/1.0" && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("error %v, want a reset", err)
			}
			if err := await(t, reports, "the report"); !strings.Contains(err.Error(), "broke off") {
				t.Errorf("reported %v", err)
			}
		})
	}
}

// A client that goes away ends the upstream's request too, and is not reported: not while it waits, not while it
// reads, not while it sends, not when what it sends is broken.
func TestClientIsNoError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, request string
		answer        string // sent before the client goes
		stays         string // what it gets if it does not go
	}{
		{name: "waiting", request: lines("GET / HTTP/1.1", "Host: h")},
		{name: "reading", request: lines("GET / HTTP/1.1", "Host: h"), answer: lines(ok, "Content-Length: 100") + "half"},
		{name: "sending", request: lines("POST / HTTP/1.1", "Host: h", "Content-Length: 100") + "half"},
		{name: "broken chunk", request: lines("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") + "4\r\nhalf\r\nxx\r\n",
			stays: "400 Bad Request: the request's body is broken.\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			arrived, ended := make(chan bool), make(chan bool)
			upstream := listen(t, func(conn net.Conn) {
				br := bufio.NewReader(conn)
				for line := "-"; line != ""; {
					line, _ = readLine(br)
				}
				io.WriteString(conn, c.answer)
				arrived <- true
				io.Copy(io.Discard, br)
				ended <- true
			})
			finished := make(chan bool, 1)
			h := newHandler(t, Options{Upstream: upstream, OnError: func(_ *http.Request, err error) { t.Errorf("reported: %v", err) }})
			proxy := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() { finished <- true }()
				h.ServeHTTP(w, r)
			}))
			conn := dial(t, proxy)
			io.WriteString(conn, c.request)
			await(t, arrived, "the request's arrival")
			if c.stays != "" {
				_, m, err := readResponse(bufio.NewReader(conn), "POST")
				if !strings.HasPrefix(m.body, c.stays) || err != nil {
					t.Errorf("got %q, %v, want %q", m.body, err, c.stays)
				}
			}
			if c.answer != "" {
				if _, err := io.ReadFull(conn, make([]byte, len(c.answer))); err != nil { // Date makes it longer
					t.Error(err)
				}
			}
			conn.Close()
			await(t, ended, "the end of the upstream's request")
			await(t, finished, "the end of the handler")
		})
	}
}

// Whoever limits or times the client's body in front of the handler gets the status that says so.
func TestLimitedUpload(t *testing.T) {
	t.Parallel()
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	h := newHandler(t, Options{Upstream: upstream, OnError: func(_ *http.Request, err error) { t.Errorf("reported: %v", err) }})
	for want, limited := range map[int]io.Reader{
		http.StatusRequestEntityTooLarge: http.MaxBytesReader(nil, io.NopCloser(zeros(9)), 5),
		http.StatusRequestTimeout:        iotest.ErrReader(os.ErrDeadlineExceeded),
		http.StatusBadRequest:            iotest.ErrReader(io.ErrUnexpectedEOF),
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("POST", "/", limited))
		if rec.Code != want {
			t.Errorf("status %d, want %d", rec.Code, want)
		}
	}
}

// After the end of a body the server may close it, and then the transport must not be told of that.
func TestUploadEndsOnce(t *testing.T) {
	t.Parallel()
	body := iotest.DataErrReader(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.EOF)))
	closed := iotest.ErrReader(http.ErrBodyReadAfterClose)
	u := newUpload(io.NopCloser(&firstThen{body, closed}), httptest.NewRequest("POST", "/", nil), new(pace))
	for range 3 {
		if _, err := u.Read(make([]byte, 5)); err != io.EOF {
			t.Errorf("got %v, want the end", err)
		}
	}
}

// firstThen reads once from first, and from then on.
type firstThen struct{ first, then io.Reader }

func (f *firstThen) Read(p []byte) (int, error) {
	r := f.first
	f.first = f.then
	return r.Read(p)
}
