package passthrough

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// zeros is a body of that many bytes that exists nowhere as a whole.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// client sends requests to the handler from a program's side, with connections that end with the test.
func client(t testing.TB) *http.Client {
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// Bodies are passed on while they come: 256 MiB in all go up and down for a few MiB allocated in all
// by client, proxy and upstream, of known length and of unknown.
func TestBigBodies(t *testing.T) {
	const size = 64 << 20
	for _, length := range []int64{size, -1} {
		upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if n != size || err != nil || r.ContentLength != length {
				t.Errorf("upstream read %d bytes of %d, error %v", n, r.ContentLength, err)
			}
			if length > 0 {
				w.Header().Set("Content-Length", fmt.Sprint(size))
			}
			io.Copy(w, zeros(size))
		}))
		r, _ := http.NewRequest("POST", through(t, upstream).String(), io.NopCloser(zeros(size)))
		r.ContentLength = length
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		res, err := client(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		runtime.ReadMemStats(&after)
		if n != size || err != nil || res.ContentLength != length {
			t.Errorf("client read %d bytes of %d, error %v", n, res.ContentLength, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
			t.Errorf("%d bytes were allocated to pass on %d", got, 2*size)
		}
	}
}

// The first piece of an answer arrives before the upstream has sent the last: it waits for word that it did.
func TestAnswerStreams(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{
		"known length":   {"Content-Length", "10"},
		"unknown length": {"X-A", "1"},
		"event stream":   {"Content-Type", "text/event-stream; charset=utf-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			headed, arrived := make(chan bool), make(chan bool)
			upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(header[0], header[1])
				w.(http.Flusher).Flush()
				await(t, headed, "the header's arrival")
				for range 5 {
					io.WriteString(w, "a\n")
					w.(http.Flusher).Flush()
					await(t, arrived, "a piece's arrival")
				}
			}))
			res, err := client(t).Get(through(t, upstream).String())
			if err != nil {
				t.Fatal(err)
			}
			headed <- true
			body := bufio.NewReader(res.Body)
			for range 5 {
				if line, err := body.ReadString('\n'); line != "a\n" {
					t.Fatalf("got %q, %v", line, err)
				}
				arrived <- true
			}
			if rest, err := io.ReadAll(body); len(rest) > 0 || err != nil {
				t.Errorf("at the end: %q, %v", rest, err)
			}
		})
	}
}

// A conversation in one exchange: each piece of the request is answered before the next one is sent. The connection
// is not reused after that but the next request is served all the same.
func TestBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		body := bufio.NewReader(r.Body)
		for {
			line, err := body.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, strings.ToUpper(line))
			rc.Flush()
		}
	}))
	proxy, c := through(t, upstream), client(t)
	for _, method := range []string{"POST", "GET", "POST"} {
		pr, pw := io.Pipe()
		r, _ := http.NewRequest(method, proxy.String(), pr)
		r.TransferEncoding = []string{"chunked"}
		go io.WriteString(pw, "a\n")
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := bufio.NewReader(res.Body)
		for i, next := range []string{"b\n", "c\n", ""} {
			want := string(rune('A'+i)) + "\n"
			if line, err := body.ReadString('\n'); line != want {
				t.Fatalf("got %q, %v, want %q", line, err, want)
			}
			if next == "" {
				pw.Close()
			} else {
				io.WriteString(pw, next)
			}
		}
		if _, err := body.ReadString('\n'); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		res.Body.Close()
	}
}

// An upstream that answers without reading the body, which is then larger than what net/http would swallow: its
// answer arrives, and nothing panics (golang/go#68560).
func TestAnswerBeforeTheBody(t *testing.T) {
	t.Parallel()
	upstream := listen(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		for line := "-"; line != ""; {
			line, _ = readLine(br)
		}
		io.WriteString(conn, lines("HTTP/1.1 413 Content Too Large", date, "Content-Length: 3")+"no\n")
		io.Copy(io.Discard, br)
	})
	proxy := through(t, upstream)
	for _, size := range []int{1, 5 << 20} {
		conn := dial(t, proxy)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size)
		_, m, err := readResponse(bufio.NewReader(conn), "POST")
		if err != nil || m.body != "no\n" || !slices.Equal(m.header["connection"], []string{"close"}) {
			t.Errorf("body of %d: %q, %v", size, m, err)
		}
		io.CopyN(conn, zeroReader{}, int64(size)) // may fail: nobody has to read it
		conn.Close()
	}
}

// A body is sent when the upstream asks for it and not before, and not at all if it answers instead.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer  string
		informational []string
		want, body    string
	}{
		{"asked for", lines("HTTP/1.1 103 Early Hints", "Link: </a>") + lines("HTTP/1.1 100 Continue"), []string{"HTTP/1.1 100 Continue"}, "HTTP/1.1 200 OK", "hello"},
		{"refused", lines("HTTP/1.1 417 Expectation Failed", date, "Content-Length: 0"), nil, "HTTP/1.1 417 Expectation Failed", ""},
		{"refused and closed", lines("HTTP/1.1 401 Unauthorized", date, "Connection: close", "Content-Length: 0"), nil, "HTTP/1.1 401 Unauthorized", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			upstream := listen(t, func(conn net.Conn) {
				br := bufio.NewReader(conn)
				line, expects := "-", false
				for line != "" {
					line, _ = readLine(br)
					expects = expects || line == "Expect: 100-continue"
				}
				if !expects || br.Buffered() > 0 {
					t.Errorf("expects %v, %d bytes of the body are there unasked", expects, br.Buffered())
				}
				io.WriteString(conn, c.answer)
				body := make([]byte, 5)
				n, _ := io.ReadFull(br, body)
				got <- string(body[:n])
				if n == 5 {
					io.WriteString(conn, plainAnswer)
				}
			})
			conn := dial(t, through(t, upstream))
			br := bufio.NewReader(conn)
			io.WriteString(conn, lines("POST / HTTP/1.1", "Host: h", "Expect: 100-continue", "Content-Length: 5"))
			first, err := readMessage(br, "POST")
			var informational []string
			if strings.Contains(first.start, " 1") {
				informational = append(informational, first.start)
				io.WriteString(conn, "hello")
				first, err = readMessage(br, "POST")
			}
			if err != nil || !slices.Equal(informational, c.informational) || first.start != c.want {
				t.Errorf("client got %q then %q, %v", informational, first.start, err)
			}
			if rest, _ := io.ReadAll(io.LimitReader(br, int64(br.Buffered()))); len(rest) > 0 {
				t.Errorf("client got %q beyond the answer", rest)
			}
			conn.Close()
			if body := await(t, got, "the upstream"); body != c.body {
				t.Errorf("upstream got body %q, want %q", body, c.body)
			}
		})
	}
}

// Informational answers arrive at once, each with its own headers only, and not at clients of HTTP/1.0.
func TestInformational(t *testing.T) {
	t.Parallel()
	arrived := make(chan bool, 1)
	upstream := listen(t, func(conn net.Conn) {
		m, _ := readMessage(bufio.NewReader(conn), "")
		io.WriteString(conn, lines("HTTP/1.1 100 Continue")+lines("HTTP/1.1 102 Processing"))
		io.WriteString(conn, lines("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload", "Link: </b.js>", "Content-Type: x/y"))
		if !strings.HasSuffix(m.start, "/old HTTP/1.1") {
			await(t, arrived, "early hints' arrival")
		}
		io.WriteString(conn, lines("HTTP/1.1 200 OK", date, "Link: </c>", "Content-Length: 6")+"<html>")
	})
	proxy := through(t, upstream)
	conn := dial(t, proxy)
	io.WriteString(conn, lines("GET / HTTP/1.1", "Host: h"))
	br := bufio.NewReader(conn)
	for _, want := range []string{"HTTP/1.1 100 Continue", "HTTP/1.1 102 Processing"} {
		if m, err := readMessage(br, "GET"); m.start != want || len(m.header) > 0 || err != nil {
			t.Errorf("got %q, %v, want %q", m, err, want)
		}
	}
	hints, err := readMessage(br, "GET")
	if err != nil {
		t.Fatal(err)
	}
	arrived <- true
	last, err := readMessage(br, "GET")
	if err != nil {
		t.Fatal(err)
	}
	want := message{start: "HTTP/1.1 103 Early Hints", header: map[string][]string{
		"link": {"</a.css>; rel=preload", "</b.js>"}, "content-type": {"x/y"}}}
	if d := difference(want, hints); d != nil {
		t.Error(d)
	}
	want = message{start: "HTTP/1.1 200 OK", body: "<html>", header: map[string][]string{
		"date": {date[len("Date: "):]}, "link": {"</c>"}, "content-length": {"6"}}}
	if d := difference(want, last); d != nil {
		t.Error(d)
	}
	informational, last := ask(t, proxy, lines("GET /old HTTP/1.0", "Host: h"))
	if informational != nil || last.start != "HTTP/1.0 200 OK" {
		t.Errorf("HTTP/1.0: %q, %q", informational, last.start)
	}
}

// A client of HTTP/2 gets the same, and keeps its connection where one of HTTP/1 would lose it.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	upstream := listen(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		if start, _ := br.Peek(len("PUT")); string(start) == "PUT" {
			io.WriteString(conn, lines("HTTP/1.1 409 Conflict", "Content-Length: 0"))
			io.Copy(io.Discard, br)
			return
		}
		m, _ := readMessage(br, "")
		checkForwarded(t, m, "https")
		want := message{start: "POST //a%2F;b?c;d=%zz HTTP/1.1", body: "hello", header: map[string][]string{
			"host": {"api.example"}, "transfer-encoding": {"chunked"}, "trailer": {"X-Sum"}, "te": {"trailers"}},
			trailer: map[string][]string{"x-sum": {"1"}}}
		if d := difference(want, m); d != nil {
			t.Error(d)
		}
		io.WriteString(conn, lines(ok, "Connection: close", "Transfer-Encoding: chunked", "Trailer: X-End")+"2\r\nhi\r\n0\r\nX-End: 2\r\n\r\n")
	})
	s := httptest.NewUnstartedServer(newHandler(t, Options{Upstream: upstream, OnError: func(_ *http.Request, err error) { t.Error(err) }}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	tr := s.Client().Transport.(*http.Transport)
	tr.DisableCompression = true
	body, unsent := io.Pipe()
	r, _ := http.NewRequest("PUT", s.URL, body)
	go io.WriteString(unsent, "never ending")
	if res, err := tr.RoundTrip(r); err != nil || res.StatusCode != http.StatusConflict {
		t.Fatalf("early answer: %v, %v", res, err)
	}
	for range 2 {
		r, _ := http.NewRequest("POST", s.URL, io.NopCloser(strings.NewReader("hello")))
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "//a/;b", "//a%2F;b", "c;d=%zz"
		r.Host, r.ContentLength = "api.example", -1
		r.Header = http.Header{"Te": {"trailers"}, "User-Agent": nil}
		r.Trailer = http.Header{"X-Sum": {"1"}}
		reused := false
		r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}))
		res, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if res.ProtoMajor != 2 || string(body) != "hi" || err != nil || res.Trailer.Get("X-End") != "2" {
			t.Errorf("%s %q %v %v", res.Proto, body, res.Trailer, err)
		}
		if !reused {
			t.Error("connection was not used again")
		}
	}
}
