package poller

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestRedirects: those within the upstream are followed, with the headers of
// the poll but without its validators; all others are not, whoever asks.
func TestRedirects(t *testing.T) {
	for _, to := range []string{
		"http://elsewhere.test/target", "https://upstream.test/target", "http://upstream.test:81/target", "//elsewhere.test/target",
		"http://upstream.test@elsewhere.test/target", "http://upstream.test.elsewhere.test/target", "file:///target", "/loop", "http://[::1", "",
	} {
		run(t, func(t *testing.T, p *Poller, u *upstream) {
			u.answer(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Location", to); w.WriteHeader(302) })
			p.fetch = newFetcher(onlyTo{t, p.o.Transport, "http://upstream.test"})
			r := rule()
			r.Header, r.Vary = http.Header{"X-Api-Key": {"canary"}}, []string{"Authorization"}
			w := mustWatch(t, p, Request{Rule: r, URL: "/x", Header: http.Header{"Authorization": {"canary"}}})
			defer w.Close()
			settle(100 * time.Millisecond)
			if s := w.Newest(); s == nil || s.Err == nil || s.Body != nil {
				t.Errorf("%s: %+v", to, s)
			}
			for _, sent := range u.requests {
				if sent.Host != "upstream.test" || sent.URL.Path == "/target" {
					t.Errorf("%s: asked %s%s", to, sent.Host, sent.URL)
				}
			}
			if n := u.count(); n > 10 {
				t.Errorf("%s: %d requests for one poll", to, n)
			}
		})
	}
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		var target atomic.Value
		target.Store("/one")
		var conditional atomic.Int64
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Api-Key") != "key" || r.Header.Get("Authorization") != "me" || r.Header.Get("Referer") != "" {
				w.WriteHeader(401)
				return
			}
			if r.Header.Get("If-None-Match") != "" {
				conditional.Add(1)
				w.WriteHeader(http.StatusNotModified) // versions count from 1 under every path
				return
			}
			if r.URL.Path == "/x" {
				http.Redirect(w, r, "http://upstream.test"+target.Load().(string), http.StatusFound)
				return
			}
			w.Header().Set("Etag", `"1"`)
			fmt.Fprintf(w, "%q", r.URL.Path)
		})
		r := rule()
		r.Header, r.Vary = http.Header{"X-Api-Key": {"key"}}, []string{"Authorization"}
		w := mustWatch(t, p, Request{Rule: r, URL: "/x", Header: http.Header{"Authorization": {"me"}}})
		defer w.Close()
		for _, to := range []string{"/one", "/two", "/one"} {
			target.Store(to)
			settle(3 * time.Second)
			if s := w.Newest(); s == nil || s.Err != nil || string(s.Body) != `"`+to+`"` {
				t.Errorf("redirected to %s: %+v", to, s)
			}
		}
		if conditional.Load() > 0 {
			t.Errorf("%d requests with the validators of another URL", conditional.Load())
		}
	})
	run(t, func(t *testing.T, p *Poller, u *upstream) { // answers itself, with validators, and later redirects
		var moved atomic.Bool
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/x" && moved.Load():
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
			case r.Header.Get("If-None-Match") == `"1"`:
				w.WriteHeader(http.StatusNotModified)
			default:
				w.Header().Set("Etag", `"1"`)
				w.Header().Set("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
				fmt.Fprintf(w, "%q", r.URL.Path)
			}
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(3 * time.Second)
		moved.Store(true)
		settle(3 * time.Second)
		if s := w.Newest(); s.Err != nil || string(s.Body) != `"/elsewhere"` {
			t.Errorf("moved: %s %v", s.Body, s.Err)
		}
		for _, sent := range u.requests {
			if sent.URL.Path == "/elsewhere" && sent.Header.Get("If-None-Match")+sent.Header.Get("If-Modified-Since") != "" {
				t.Errorf("asked there with %v", sent.Header)
			}
		}
	})
}

// onlyTo is a transport that fails the test where a request goes elsewhere.
type onlyTo struct {
	t *testing.T
	http.RoundTripper
	origin string
}

func (o onlyTo) RoundTrip(r *http.Request) (*http.Response, error) {
	if origin := r.URL.Scheme + "://" + r.URL.Host; origin != o.origin {
		o.t.Errorf("a request to %s", origin)
	}
	return o.RoundTripper.RoundTrip(r)
}

// TestLyingValidators: an upstream that goes on saying 304 is found out.
func TestLyingValidators(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"never another"`)
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			fmt.Fprintf(w, "[%d]", time.Now().Unix())
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(time.Second)
		first := w.Newest()
		settle((unconditional + 1) * time.Second)
		if second := w.Newest(); second.Version == first.Version {
			t.Errorf("after %d polls still %s", u.count(), second.Body)
		}
	})
}

// TestShrinkingBodies: where the end of the connection is that of the body, a
// part of it looks like all of it; it is believed when another poll says so.
func TestShrinkingBodies(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		const whole = "a,1\nb,2\nc,3\n"
		var body atomic.Value
		body.Store(whole)
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, "HTTP/1.0 200 OK\r\nContent-Type: text/csv\r\n\r\n"+body.Load().(string))
			conn.Close()
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(2 * time.Second)
		for range 5 { // cut off once, and once again, but not twice in a row
			n := u.count()
			body.Store(whole[:4])
			for u.count() == n {
				settle(10 * time.Millisecond)
			}
			body.Store(whole)
			for range 200 {
				settle(10 * time.Millisecond)
				if s := w.Newest(); s.Err != nil || string(s.Body) != whole {
					t.Fatalf("believed %q %v", s.Body, s.Err)
				}
			}
		}
		body.Store(whole[:4])
		settle(3 * time.Second)
		if s := w.Newest(); string(s.Body) != body.Load().(string) {
			t.Errorf("still %q though it stays %q", s.Body, body.Load())
		}
	})
}

// TestBombs: what is small on the wire and huge in memory is given up at the
// limit, and costs about that.
func TestBombs(t *testing.T) {
	if raceEnabled {
		t.Skip("what these take in time and memory is not what it is without the race detector")
	}
	var zeros bytes.Buffer
	zw := gzip.NewWriter(&zeros)
	for range 200 {
		zw.Write(bytes.Repeat([]byte(" "), 1<<20))
	}
	zw.Close()
	for name, c := range map[string]struct {
		encoding string
		body     []byte
		code     string // empty: it is a document
	}{
		"200 MiB in gzip":                {"gzip", zeros.Bytes(), CodeBodyTooLarge},
		"gzip in gzip":                   {"gzip, gzip", zeros.Bytes(), CodeBodyInvalid},
		"100,000 deep":                   {"", []byte(strings.Repeat("[", 100_000)), CodeBodyInvalid},
		"2 million deep objects":         {"", []byte(strings.Repeat(`{"":`, 2_000_000)), CodeBodyInvalid},
		"4 million members":              {"", []byte("[" + strings.Repeat("0,", 4_000_000) + "0]"), ""},
		"600,000 names":                  {"", manyNames(600_000), ""},
		"one long number":                {"", bytes.Repeat([]byte("9"), 8_000_000), ""},
		"one long string":                {"", []byte(`"` + strings.Repeat(`\u0000`, 1_300_000) + `"`), ""},
		"400 KiB of gzip's empty blocks": {"gzip", manyMembers(20_000), CodeBodyInvalid},
	} {
		run(t, func(t *testing.T, p *Poller, u *upstream) {
			body := c.body
			u.answer(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if c.encoding != "" {
					w.Header().Set("Content-Encoding", c.encoding)
				}
				w.Write(body)
			})
			before, start := allocated(), cpu()
			w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
			defer w.Close()
			settle(1500 * time.Millisecond)
			s := w.Newest()
			if s == nil || (s.Err == nil) != (c.code == "") || s.Err != nil && s.Err.Code != c.code {
				t.Fatalf("%s: %+v", name, s)
			}
			if n := only(t, p).Polls[0].Bytes; c.code == CodeBodyTooLarge && n > int64(len(body))/4 {
				t.Errorf("%s: %d of %d bytes were read on, though the document was too large long before", name, n, len(body))
			}
			if c.code == "" { // and compared with its like
				body = slices.Concat(body[:len(body)-2], body[len(body)-1:])
				settle(2 * time.Second)
			}
			if n := allocated() - before; n > 700<<20 {
				t.Errorf("%s of %d KiB took %d MiB of memory", name, len(c.body)>>10, n>>20)
			}
			t.Logf("%s: %d KiB took %d MiB and %v", name, len(c.body)>>10, (allocated()-before)>>20, (cpu() - start).Round(time.Millisecond))
		})
	}
}

func manyNames(n int) []byte {
	b := []byte("{")
	for i := range n {
		b = fmt.Appendf(b, `"%x":0,`, i)
	}
	b[len(b)-1] = '}'
	return b
}

// manyMembers is gzip of nothing, n times.
func manyMembers(n int) []byte {
	var one bytes.Buffer
	zw := gzip.NewWriter(&one)
	zw.Close()
	return bytes.Repeat(one.Bytes(), n)
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// cpu is what the process has used: in a bubble no other time passes.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// panics is a transport that fails in the worst way for some.
type panics struct{ http.RoundTripper }

func (p panics) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.URL.Query().Get("panic") {
	case "at once":
		panic("canary: at once")
	case "in the body":
		res := httptest.NewRecorder().Result()
		res.Body = io.NopCloser(panicking{})
		return res, nil
	}
	return p.RoundTripper.RoundTrip(r)
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("canary: in the body") }

// TestPanicInOneResource: it is that resource's failure, told as such, and
// nobody else's.
func TestPanicInOneResource(t *testing.T) {
	var log bytes.Buffer
	runWith(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(t *testing.T, p *Poller, u *upstream) {
		p.fetch = newFetcher(panics{p.o.Transport})
		var bad []*Watch
		for _, how := range []string{"at+once", "in+the+body"} {
			bad = append(bad, mustWatch(t, p, Request{Rule: rule(), URL: "/x?panic=" + how}))
		}
		good := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		settle(time.Minute)
		for _, w := range bad {
			if s := w.Newest(); s == nil || s.Err == nil || s.Err.Code != CodeBodyInvalid || strings.Contains(s.Err.Message, "canary") || s.Over {
				t.Errorf("%+v", s)
			}
			w.Close()
		}
		if s := good.Newest(); s.Err != nil || time.Since(s.Confirmed()) > time.Second {
			t.Errorf("and the other %+v", s)
		}
		good.Close()
		if n := strings.Count(log.String(), "canary"); n < 2 || !strings.Contains(log.String(), "hazards_test.go") {
			t.Errorf("the log does not say where it was:\n%s", log.String())
		}
	})
}

// TestDiscreet: what a broken upstream says, of which a part may be somebody's
// secret, is in no error and not in the log.
func TestDiscreet(t *testing.T) {
	for _, answer := range []string{
		"canary\r\n\r\n", "HTTP/1.1 canary OK\r\n\r\n", "HTTP/canary 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncanary\r\n\r\n", "HTTP/1.1 200 OK\r\n X: canary\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX\x01canary: 1\r\n\r\n", "HTTP/1.1 200 OK\r\nX: \x00canary\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: canary\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: canary\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ncanary",
		"HTTP/1.1 302 Found\r\nLocation: http://u:canary@h:%zz/\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/?canary\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: :canary\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: \"\\\"canary\r\n\r\n",
		"HTTP/1.1 500 canary\r\n\r\ncanary", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\ncanary",
		"HTTP/1.1 200 OK\r\nContent-Type: image/png; name=canary\r\nContent-Length: 1\r\n\r\nc",
		"HTTP/1.1 200 OK\r\nContent-Encoding: " + strings.Repeat("x", 60) + "canary\r\nContent-Length: 1\r\n\r\nc",
		"HTTP/1.1 200 OK\r\nVary: " + strings.Repeat("x", 60) + "canary\r\nContent-Length: 1\r\n\r\nc",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: canary\r\nConnection: upgrade\r\n\r\ncanary",
	} {
		var log bytes.Buffer
		runWith(t, Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, func(t *testing.T, p *Poller, u *upstream) {
			u.answer(func(w http.ResponseWriter, r *http.Request) {
				conn, _, _ := w.(http.Hijacker).Hijack()
				io.WriteString(conn, answer)
				conn.Close()
			})
			r := rule()
			r.Vary = []string{"X-Key"}
			w := mustWatch(t, p, Request{Rule: r, URL: "/x?canary", Header: http.Header{"X-Key": {"canary"}}})
			defer w.Close()
			settle(time.Second)
			if s := w.Newest(); s == nil || s.Err == nil {
				t.Errorf("%.60q is an answer: %+v", answer, s)
			} else if text := s.Err.Error() + s.Err.Message; strings.Contains(text, "canary") {
				t.Errorf("%.60q: error %s", answer, text)
			}
			if strings.Contains(strings.ToLower(log.String()), "canary") || !strings.Contains(log.String(), "poll failed") {
				t.Errorf("%.60q: the log says %s", answer, log.String())
			}
		})
	}
}

// TestClosedWhileIdle: a connection that the upstream has closed at the wrong
// moment is no failure: a GET is sent again.
func TestClosedWhileIdle(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			conn, b, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			http.ReadRequest(bufio.NewReader(b)) // the next one is not answered
			conn.Close()
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		for range 1000 {
			settle(10 * time.Millisecond)
			if s := w.Newest(); s == nil || s.Err != nil {
				t.Fatalf("%+v", s)
			}
		}
		if n := u.count(); n < 9 {
			t.Errorf("%d polls in 10 s", n)
		}
	})
}

// TestIntervalsAreMonotonic: no interval is measured on the wall clock, which
// jumps. What takes the wall clock's reading out of a time is used to write one
// down, and where it is not, the reason is here.
func TestIntervalsAreMonotonic(t *testing.T) {
	for _, name := range []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Round"} {
		for _, dir := range []string{".", "../proxy"} {
			files, _ := filepath.Glob(dir + "/*.go")
			for _, file := range files {
				if strings.HasSuffix(file, "_test.go") {
					continue
				}
				set := token.NewFileSet()
				f, err := parser.ParseFile(set, file, nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				ast.Inspect(f, func(n ast.Node) bool {
					s, ok := n.(*ast.SelectorExpr)
					if !ok || s.Sel.Name != name {
						return true
					}
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && filepath.Base(file) == "resource.go" {
						return true // 1970 stands for at once
					}
					t.Errorf("%s: %s has no monotonic reading: what is the time for?", set.Position(s.Pos()), name)
					return true
				})
			}
		}
	}
}

// TestNothingIsReadTwice: the buffer that a poll is read into is used again,
// and no document of before changes with it.
func TestNothingIsReadTwice(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"url":%q,"n":%d}`, r.URL.Path, u.count()%7)
		})
		seen := make(map[*Snapshot]string)
		var watches []*Watch
		for i := range 10 {
			w := mustWatch(t, p, Request{Rule: rule(), URL: fmt.Sprint("/", i)})
			defer w.Close()
			watches = append(watches, w)
		}
		for range 100 {
			settle(333 * time.Millisecond)
			for _, w := range watches {
				s := w.Newest()
				if _, ok := seen[s]; !ok {
					seen[s] = string(s.Body)
				}
				if !strings.Contains(string(s.Body), `"`+s.URL+`"`) || s.Version != versionOf(s.Body) {
					t.Fatalf("%s is shown %s", s.URL, s.Body)
				}
			}
		}
		for s, body := range seen {
			if string(s.Body) != body || string(s.Doc.Bytes()) != body {
				t.Errorf("%s became %s", body, s.Body)
			}
		}
		if len(seen) < 100 {
			t.Errorf("only %d snapshots", len(seen))
		}
	})
}
