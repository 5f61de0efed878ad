package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pollbridge/poller"
)

// An exchange is what an upstream says to one poll, by the byte if raw is set.
type exchange struct {
	status      int
	header, raw string
	body        []byte
}

func (x exchange) serve(w http.ResponseWriter, r *http.Request) {
	if x.raw != "" {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.SetDeadline(time.Now().Add(time.Minute))
			io.WriteString(conn, x.raw)
			conn.Close()
		}
		return
	}
	for line := range strings.SplitSeq(x.header, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			w.Header().Add(name, value)
		}
	}
	w.WriteHeader(x.status)
	w.Write(x.body)
}

// sayAnything has an upstream say one thing after the other to one who
// watches, and checks that every message is one, and that nothing panicked.
func sayAnything(t *testing.T, yaml string, said ...exchange) {
	within(t, yaml, func(w *world) {
		w.answer(said[0].serve)
		cl := listen(w.dial("/api/x", nil).ws)
		ended := false
		for _, x := range said {
			w.answer(x.serve)
			w.proxy.poller.Refresh(func(*poller.Rule, string) bool { return true })
			time.Sleep(5 * time.Second)
			for len(cl.messages) > 0 {
				m := <-cl.messages
				var v struct{ Type, URL string }
				if err := json.Unmarshal(m.text, &v); m.err != nil || err != nil || v.URL != "/api/x" || ended {
					t.Errorf("got %q %v, after an end: %v", m.text, m.err, ended)
				}
				ended = v.Type == "end"
			}
		}
		if log := w.log.String(); strings.Contains(log, "panic") {
			t.Errorf("after %.2000s:\n%s", fmt.Sprintf("%+v", said), log)
		}
		cl.ws.CloseNow()
	})
}

const anything = `
endpoints:
  - {path: "/api/{x}", interval: 1s, timeout: 3s, max_body: 1MiB, vary: [], keys: {"/list": id}, ignore: ["/tick", "/list/*/seen"], format: %s}
`

// TestUpstreamSendsAnything: bodies that are damaged in every way, under every
// type, one after the other; and answers that are no HTTP.
func TestUpstreamSendsAnything(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	whole := []string{
		`{"tick":1,"list":[{"id":1,"seen":2,"v":[1,2,3]},{"id":2,"v":"é\u00e9\ud800"}],"o":{"":{"a/b":null,"m~n":-0.0e-10}}}`,
		`[[],{},"",0,true,null,[[[]]],{"a":{"a":{"a":1}}}]`, `"text"`, "12345678901234567890.5e-300", "null", "[]", "",
		"a,b\n1,2\n", "<html>\r\n<body>", "\xef\xbb\xbf{\"a\":1}", strings.Repeat("[", 600) + strings.Repeat("]", 600), `{"a":1,"a":2}`,
	}
	for _, file := range feedFiles() {
		if text, err := os.ReadFile(file); err == nil && len(text) < 200<<10 {
			whole = append(whole, string(text))
		}
	}
	types := []string{"application/json", "application/json; charset=utf-16", "text/csv", "text/html", "", "application/octet-stream", "image/png", ";;;", "application/problem+json", strings.Repeat("x", 5000)}
	headers := []string{
		"", "Content-Encoding: gzip\n", "Content-Encoding: br\n", "Etag: W/\"x\"\n", "Etag: \x80\xff\n", "Last-Modified: never\n", "Retry-After: -1\n",
		"Retry-After: 99999999999999999999\n", "Cache-Control: ,,=,max-age=x\n", "Vary: ,\n", "Location: http://evil.test/\n", "Location: ::::\n", "Date: x\n",
		"Connection: close, Content-Type\n", "Age: -5\n", "Expires: 0\n",
	}
	next := func() exchange {
		x := exchange{status: 200, body: damage(r, whole[r.IntN(len(whole))])}
		if r.IntN(6) == 0 {
			x.status = []int{204, 206, 301, 304, 307, 400, 401, 418, 429, 500, 503, 599, 999}[r.IntN(13)]
		}
		x.header = "Content-Type: " + types[r.IntN(len(types))*r.IntN(2)] + "\n" + headers[r.IntN(len(headers))*r.IntN(2)]
		if strings.Contains(x.header, "gzip") && r.IntN(2) == 0 {
			x.body = damage(r, string(gzipOf(x.body)))
		}
		if x.status == 204 || x.status == 304 {
			x.body = nil
		}
		return x
	}
	rounds := 150
	if raceDetector {
		rounds = 30
	}
	for i := range rounds {
		said := []exchange{next(), next(), next(), next(), next(), next()}
		sayAnything(t, fmt.Sprintf(anything, []string{"json-patch", "merge-patch", "snapshot"}[i%3]), said...)
	}
	for _, raw := range []string{
		"\x00", "HTTP", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n{}", "HTTP/1.1 -1 X\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nSet-Cookie: a=b\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nbad header\r\n\r\n{}", "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n{}", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n{}",
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100) + "HTTP/1.1 200 OK\r\n\r\n{}", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n{}",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n[]", "HTTP/1.1 304 Not Modified\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: /api/x\r\nContent-Length: 0\r\n\r\n",
	} {
		sayAnything(t, fmt.Sprintf(anything, "json-patch"), exchange{raw: raw}, exchange{status: 200, body: []byte(`{"n":1}`)}, exchange{raw: raw})
	}
}

func feedFiles() []string {
	files, _ := filepath.Glob("../testdata/feeds/*/*")
	return files[:min(len(files), 10)]
}

func gzipOf(b []byte) []byte {
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	zw.Write(b)
	zw.Close()
	return out.Bytes()
}

// damage changes a few bytes of a text, cuts it, repeats a part, or nothing.
func damage(r *rand.Rand, text string) []byte {
	b := []byte(text)
	for range r.IntN(4) {
		if len(b) == 0 {
			break
		}
		i := r.IntN(len(b))
		switch r.IntN(6) {
		case 0:
			b = b[:i]
		case 1:
			b[i] = byte(r.IntN(256))
		case 2:
			j := i + r.IntN(len(b)-i)
			b = append(b[:j:j], b[i:]...)
		case 3:
			b = append(b[:i:i], b[i+r.IntN(len(b)-i):]...)
		case 4:
			b[i] = `{}[],:"\0-e.ntf `[r.IntN(16)]
		case 5:
			b = append(b[:i:i], append([]byte(`{"id":1}`), b[i:]...)...)
		}
	}
	return b
}

// FuzzUpstream: two answers, the second perhaps near to the first, that the
// fuzzer chooses.
func FuzzUpstream(f *testing.F) {
	f.Add("application/json", "Etag: x", []byte(`{"tick":1,"list":[{"id":1,"seen":2},{"id":2}]}`), []byte(`{"tick":1,"list":[{"id":2},{"id":1,"seen":3}]}`))
	f.Add("text/csv", "", []byte("a\nb\n"), []byte("b\r\na"))
	f.Add("", "Content-Encoding: gzip", gzipOf([]byte("[1]")), gzipOf([]byte("[2]")))
	f.Add("application/json", "Vary: x", []byte("[\"\\ud800\",1e999]"), []byte("[\"\xff\",1E+999]"))
	f.Fuzz(func(t *testing.T, kind, header string, first, second []byte) {
		h := "Content-Type: " + kind + "\n" + header + "\n"
		for _, format := range []string{"json-patch", "merge-patch"} {
			sayAnything(t, fmt.Sprintf(anything, format), exchange{status: 200, header: h, body: first}, exchange{status: 200, header: h, body: second})
		}
	})
}
