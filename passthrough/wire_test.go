package passthrough

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait of a test for something that must come. Nothing waits for it to pass.
const patience = 2 * time.Minute

// message is an HTTP/1 message as it was on the wire, read without net/http, which would tidy it up.
type message struct {
	start   string
	header  map[string][]string // by lower-case name
	body    string
	trailer map[string][]string
}

// readMessage reads one message. Method is that of the request a response answers, "" if a request is read.
func readMessage(br *bufio.Reader, method string) (m message, err error) {
	if m.start, err = readLine(br); err != nil {
		return m, err
	}
	if m.header, err = readFields(br); err != nil {
		return m, err
	}
	response := method != ""
	switch {
	case response && (method == "HEAD" || bodyless(m.start)):
	case slices.Contains(m.header["transfer-encoding"], "chunked"):
		if m.body, err = readChunks(br); err == nil {
			m.trailer, err = readFields(br)
		}
	case m.header["content-length"] != nil:
		n, _ := strconv.Atoi(m.header["content-length"][0])
		buf := make([]byte, n)
		n, err = io.ReadFull(br, buf)
		m.body = string(buf[:n])
	case response:
		var b []byte
		b, err = io.ReadAll(br)
		m.body = string(b)
	}
	return m, err
}

func bodyless(status string) bool {
	_, code, _ := strings.Cut(status, " ")
	return strings.HasPrefix(code, "1") || strings.HasPrefix(code, "204") || strings.HasPrefix(code, "304")
}

func readLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

func readFields(br *bufio.Reader) (map[string][]string, error) {
	fields := make(map[string][]string)
	for {
		line, err := readLine(br)
		if err != nil || line == "" {
			return fields, err
		}
		name, value, _ := strings.Cut(line, ":")
		name = strings.ToLower(name)
		fields[name] = append(fields[name], textproto.TrimString(value))
	}
}

func readChunks(br *bufio.Reader) (string, error) {
	var body strings.Builder
	for {
		line, err := readLine(br)
		if err != nil {
			return body.String(), err
		}
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil {
			return body.String(), fmt.Errorf("chunk size %q", line)
		}
		if n == 0 {
			return body.String(), nil
		}
		if _, err := io.CopyN(&body, br, n); err != nil {
			return body.String(), err
		}
		readLine(br)
	}
}

// readResponse reads the informational answers and then the final one.
func readResponse(br *bufio.Reader, method string) (informational []message, final message, err error) {
	for {
		m, err := readMessage(br, method)
		if err != nil || !strings.Contains(m.start, " 1") || strings.Contains(m.start, " 101 ") {
			return informational, m, err
		}
		informational = append(informational, m)
	}
}

// difference lists what of two messages is not equal, a line each, sorted.
func difference(a, b message) []string {
	var d []string
	add := func(what string, x, y any) {
		if xs, ys := fmt.Sprintf("%q", x), fmt.Sprintf("%q", y); xs != ys {
			d = append(d, fmt.Sprintf("%s: %s -> %s", what, xs, ys))
		}
	}
	add("start", a.start, b.start)
	for _, name := range slices.Sorted(maps.Keys(union(a.header, b.header))) {
		add(name, a.header[name], b.header[name])
	}
	add("body", a.body, b.body)
	for _, name := range slices.Sorted(maps.Keys(union(a.trailer, b.trailer))) {
		add("trailer "+name, a.trailer[name], b.trailer[name])
	}
	return d
}

func union(a, b map[string][]string) map[string][]string {
	u := maps.Clone(b)
	if u == nil {
		u = make(map[string][]string)
	}
	maps.Copy(u, a)
	return u
}

// rawUpstream is a server that neither adds nor hides anything: it notes each request and sends the bytes it is told to.
type rawUpstream struct {
	url  *url.URL
	mu   sync.Mutex // guards seen
	seen []message
}

// newRawUpstream answers each request with what answer gives for it, and then closes the connection.
func newRawUpstream(t testing.TB, answer func(message) string) *rawUpstream {
	t.Helper()
	u := new(rawUpstream)
	u.url = listen(t, func(conn net.Conn) {
		m, err := readMessage(bufio.NewReader(conn), "")
		if err != nil {
			return // a client that gave up
		}
		u.mu.Lock()
		u.seen = append(u.seen, m)
		u.mu.Unlock()
		io.WriteString(conn, answer(m))
	})
	return u
}

// take gives the requests seen since it was last asked.
func (u *rawUpstream) take() []message {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen
	u.seen = nil
	return seen
}

// listen serves each connection with handle and then closes it.
func listen(t testing.TB, handle func(net.Conn)) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				handle(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return &url.URL{Scheme: "http", Host: l.Addr().String()}
}

// serve runs the handler on a real server. What the server logs, such as a panic, fails the test.
func serve(t testing.TB, h http.Handler) *url.URL {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.DisableGeneralOptionsHandler = true
	s.Config.ErrorLog = log.New(failing{t}, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	u, _ := url.Parse(s.URL)
	return u
}

// through serves a handler for that upstream. Errors that it reports fail the test.
func through(t testing.TB, upstream *url.URL) *url.URL {
	t.Helper()
	return serve(t, newHandler(t, Options{Upstream: upstream, OnError: func(in *http.Request, err error) {
		t.Errorf("%s %s: %v", in.Method, in.RequestURI, err)
	}}))
}

// newHandler makes a handler whose idle connections end with the test.
func newHandler(t testing.TB, o Options) http.Handler {
	tr := NewTransport()
	t.Cleanup(tr.CloseIdleConnections)
	o.Transport = tr
	return New(o)
}

type failing struct{ t testing.TB }

func (f failing) Write(p []byte) (int, error) {
	f.t.Errorf("server logged: %s", p)
	return len(p), nil
}

func dial(t testing.TB, u *url.URL) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// ask sends a request as it is written and reads the answer.
func ask(t testing.TB, u *url.URL, request string) (informational []message, final message) {
	t.Helper()
	conn := dial(t, u)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	informational, final, err := readResponse(bufio.NewReader(conn), method)
	if err != nil {
		t.Fatalf("%.60q: reading the answer: %v (got %q)", request, err, final)
	}
	conn.Close()
	return informational, final
}

// lines joins lines of a message with CRLF and ends its head.
func lines(l ...string) string { return strings.Join(l, "\r\n") + "\r\n\r\n" }

// await receives, or fails the test.
func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}
