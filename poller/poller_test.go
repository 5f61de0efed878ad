package poller

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollbridge/internal/pipe"
)

// An upstream is a real HTTP server in memory that answers as told.
type upstream struct {
	mu       sync.Mutex // guards the fields below
	handler  http.HandlerFunc
	requests []*http.Request
	times    []time.Time
	inFlight int
	overlap  bool
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.requests = append(u.requests, r)
	u.times = append(u.times, time.Now())
	u.inFlight++
	u.overlap = u.overlap || u.inFlight > 1
	h := u.handler
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		u.inFlight--
		u.mu.Unlock()
	}()
	h(w, r)
}

func (u *upstream) answer(h http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.handler = h
}

// body has the upstream answer 200 with a JSON body.
func (u *upstream) body(text string) {
	u.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, text)
	})
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.requests)
}

// run runs f in a bubble with a poller in front of an upstream.
func run(t *testing.T, f func(t *testing.T, p *Poller, u *upstream)) {
	runWith(t, Options{}, f)
}

func runWith(t *testing.T, o Options, f func(t *testing.T, p *Poller, u *upstream)) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		u.body(`{"n":1}`)
		l := pipe.Listen()
		server := &http.Server{Handler: u, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		go server.Serve(l)
		transport := l.Transport()
		o.Transport = transport
		p := New(o)
		f(t, p, u)
		p.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
}

// pause holds an answer back, unless the request has ended.
func pause(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

func rule() *Rule {
	return &Rule{Name: "/x", Upstream: origin, Interval: time.Second, Linger: 10 * time.Second}
}

var origin = &url.URL{Scheme: "http", Host: "upstream.test"}

// a counter counts wakes.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) Wake() {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
}

func mustWatch(t *testing.T, p *Poller, req Request) *Watch {
	t.Helper()
	w, err := p.Watch(req, new(counter))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestOnePollHoweverManyWatch(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		for range 1000 {
			defer mustWatch(t, p, Request{Rule: rule(), URL: "/x"}).Close()
		}
		settle(10*time.Second + time.Millisecond)
		if n := u.count(); n < 10 || n > 12 {
			t.Errorf("1,000 watchers cost %d requests in 10 s at an interval of 1 s, want 10 to 12", n)
		}
		if p.Watched() != 1 {
			t.Errorf("%d resources are watched, want 1", p.Watched())
		}
	})
}

func TestStartsWithFirstWatcherAndLingers(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		settle(time.Minute)
		if u.count() != 0 {
			t.Fatalf("%d polls though nobody watched", u.count())
		}
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		settle(time.Millisecond)
		if u.count() != 1 {
			t.Fatalf("%d polls when the first watcher came, want 1 at once", u.count())
		}
		w.Close()
		w.Close() // closing twice is closing once
		settle(9 * time.Second)
		if n := u.count(); n < 9 {
			t.Errorf("%d polls while lingering, want about 10", n)
		}
		settle(2 * time.Second)
		n := u.count()
		settle(time.Minute)
		if u.count() != n || p.Watched() != 0 {
			t.Errorf("after linger %d more polls and %d resources, want none", u.count()-n, p.Watched())
		}
	})
}

func TestReturnWithinLingerKeepsPolling(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		for range 10 {
			w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
			settle(time.Second)
			w.Close()
			settle(9 * time.Second)
		}
		if n := u.count(); n < 99 || n > 103 {
			t.Errorf("%d polls in 100 s, want one a second throughout", n)
		}
	})
}

func TestNeverTwoPollsAtOnce(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			pause(r, 3500*time.Millisecond)
			io.WriteString(w, `{}`)
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		for range 20 {
			settle(time.Second)
			go w.After(t.Context(), time.Now())
			p.Refresh(func(*Rule, string) bool { return true })
			w.Close()
			w = mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		}
		w.Close()
		if u.overlap {
			t.Error("two polls of one resource were under way at once")
		}
		if n := u.count(); n < 5 {
			t.Errorf("%d polls in 20 s of 3.5 s each, want them one after another", n)
		}
	})
}

func TestChangeWakesAndPatches(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		pad := `"pad":"` + strings.Repeat("x", 200) + `"`
		u.body(`{"n":1,` + pad + `}`)
		c := new(counter)
		w, _ := p.Watch(Request{Rule: rule(), URL: "/x"}, c)
		defer w.Close()
		settle(3 * time.Second)
		first := w.Newest()
		if c.n != 1 || first == nil {
			t.Fatalf("%d wakes, snapshot %v: want one wake for the first document and none for polls that changed nothing", c.n, first)
		}
		u.body(`{ "n" : 1, ` + pad + ` }`)
		settle(2 * time.Second)
		if c.n != 1 {
			t.Error("white space is no change, and woke")
		}
		u.body(`{"n":2,` + pad + `}`)
		settle(2 * time.Second)
		second := w.Newest()
		if got, want := string(second.Patch(first.Version)), `[{"op":"replace","path":"/n","value":2}]`; got != want {
			t.Errorf("patch %s, want %s", got, want)
		}
		u.body(`{"n":3,` + pad + `}`)
		settle(2 * time.Second)
		if got, want := string(w.Newest().Patch(first.Version)), `[{"op":"replace","path":"/n","value":2},{"op":"replace","path":"/n","value":3}]`; got != want {
			t.Errorf("patch over two versions %s, want %s", got, want)
		}
		if w.Newest().Patch("unknown") != nil {
			t.Error("a patch from a version that never was")
		}
		if c.n != 3 {
			t.Errorf("%d wakes, want 3", c.n)
		}
	})
}

func TestConditionalRequests(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		var unmodified int
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `W/"a"`)
			w.Header().Set("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
			if r.Header.Get("If-None-Match") == `W/"a"` && r.Header.Get("If-Modified-Since") == "Mon, 01 Jan 2024 00:00:00 GMT" {
				unmodified++
				w.WriteHeader(http.StatusNotModified)
				return
			}
			io.WriteString(w, `{"n":1}`)
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(200 * time.Second)
		full := u.count() - unmodified
		if full != 1+u.count()/unconditional {
			t.Errorf("%d of %d answers were whole, want the first and one in %d", full, u.count(), unconditional)
		}
		if age := time.Since(w.Newest().Confirmed()); age > time.Second {
			t.Errorf("confirmed %v ago, want less than an interval", age)
		}
	})
}

func TestUnaskedNotModified(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotModified) })
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(time.Millisecond)
		if s := w.Newest(); s == nil || s.Err == nil || s.Err.Code != CodeStatus || s.Err.Status != 304 {
			t.Errorf("%+v, want upstream_status 304", s)
		}
	})
}

func TestMaxIntervalStretches(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		r.MaxInterval = 8 * time.Second
		w := mustWatch(t, p, Request{Rule: r, URL: "/x"})
		defer w.Close()
		settle(5 * time.Minute)
		if got := w.Interval(); got != r.MaxInterval {
			t.Errorf("interval in force %v after 5 minutes of silence, want %v", got, r.MaxInterval)
		}
		n := u.count()
		settle(80 * time.Second)
		if d := u.count() - n; d < 9 || d > 11 {
			t.Errorf("%d polls in 80 s, want 10", d)
		}
		u.body(`{"n":2}`)
		settle(8 * time.Second)
		if got := w.Interval(); got != r.Interval && got != r.Interval*3/2 && got > 4*time.Second {
			t.Errorf("interval in force %v after a change, want it back near %v", got, r.Interval)
		}
	})
}

func TestBackoffAndRecovery(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(time.Second)
		good := w.Newest()
		u.answer(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 500) })
		settle(20 * time.Minute)
		n := u.count()
		settle(60 * time.Minute)
		perHour := u.count() - n
		if perHour < 60 || perHour > 240 {
			t.Errorf("%d polls in an hour of failures, want one every 1 to 60 s, 30 on average", perHour)
		}
		s := w.Newest()
		if s.Err == nil || s.Err.Code != CodeStatus || s.Err.Status != 500 || s.Version != good.Version {
			t.Fatalf("%+v, want the last good document with upstream_status 500", s)
		}
		u.body(`{"n":1}`)
		settle(61 * time.Second)
		if s := w.Newest(); s.Err != nil || s.Version != good.Version {
			t.Errorf("%+v, want the document without an error", s)
		}
		n = u.count()
		settle(10 * time.Second)
		if d := u.count() - n; d < 9 {
			t.Errorf("%d polls in the 10 s after the recovery, want 10", d)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, value := range []string{"120", ""} {
		run(t, func(t *testing.T, p *Poller, u *upstream) {
			u.answer(func(w http.ResponseWriter, r *http.Request) {
				after := value
				if after == "" {
					after = time.Now().Add(2 * time.Minute).UTC().Format(http.TimeFormat)
				}
				w.Header().Set("Retry-After", after)
				w.WriteHeader(http.StatusTooManyRequests)
			})
			w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
			defer w.Close()
			settle(118 * time.Second)
			if u.count() != 1 {
				t.Errorf("%d polls within the time that Retry-After %q gives, want 1", u.count(), value)
			}
			settle(3 * time.Second)
			if u.count() != 2 {
				t.Errorf("%d polls after it, want 2", u.count())
			}
		})
	}
}

func TestFailures(t *testing.T) {
	gz := func(b []byte) []byte {
		var buf bytes.Buffer
		zw := gzip.NewWriter(&buf)
		zw.Write(b)
		zw.Close()
		return buf.Bytes()
	}
	raw := func(header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s\r\n\r\n%s", header, body)
			conn.Close()
		}
	}
	typed := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			io.WriteString(w, body)
		}
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		code    string
		over    bool
	}{
		"not JSON":         {typed("application/json", "<html>"), CodeBodyInvalid, false},
		"empty":            {typed("application/json", ""), CodeBodyInvalid, false},
		"two documents":    {typed("application/json", "{} {}"), CodeBodyInvalid, false},
		"login page":       {typed("text/html", "<html>log in</html>"), CodeBodyInvalid, false},
		"became an image":  {typed("image/png", "\x89PNG\x00"), CodeBodyInvalid, false},
		"too deep":         {typed("application/json", strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)), CodeBodyInvalid, false},
		"too large":        {typed("application/json", `"`+strings.Repeat("x", 100_000)+`"`), CodeBodyTooLarge, false},
		"chunked, cut off": {raw("Transfer-Encoding: chunked\r\nContent-Type: application/json", "2\r\n{}\r\n"), CodeBodyInvalid, false},
		"length, cut off":  {raw("Content-Length: 100\r\nContent-Type: application/json", "{}"), CodeBodyInvalid, false},
		"not gzip":         {raw("Content-Encoding: gzip\r\nContent-Type: application/json", "{}"), CodeBodyInvalid, false},
		"gzip cut off":     {raw("Content-Encoding: gzip\r\nContent-Type: application/json", string(gz([]byte("{}"))[:20])), CodeBodyInvalid, false},
		"gzip bomb":        {raw("Content-Encoding: gzip\r\nContent-Type: application/json", string(gz(make([]byte, 50<<20)))), CodeBodyTooLarge, false},
		"brotli, unasked":  {raw("Content-Encoding: br\r\nContent-Type: application/json", "{}"), CodeBodyInvalid, false},
		"500":              {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, CodeStatus, false},
		"404":              {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, CodeStatus, false},
		"204":              {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, CodeStatus, false},
		"401, shared":      {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }, CodeUnauthorized, false},
		"410":              {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(410) }, CodeGone, true},
		"redirect elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.test/x", http.StatusFound)
		}, CodeStatus, false},
		"drops the connection": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, CodeUnreachable, false},
		"hangs":                {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, CodeTimeout, false},
		"drips": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				pause(r, time.Second)
			}
		}, CodeTimeout, false},
		"private": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=3, Private")
			io.WriteString(w, "{}")
		}, CodeNotShareable, true},
		"no-store": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			io.WriteString(w, "{}")
		}, CodeNotShareable, true},
		"Set-Cookie": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "a=b")
			io.WriteString(w, "{}")
		}, CodeNotShareable, true},
		"Vary": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Vary", "Origin, X-User")
			io.WriteString(w, "{}")
		}, CodeNotShareable, true},
		"Vary *": {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Vary", "*"); io.WriteString(w, "{}") }, CodeNotShareable, true},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			o := Options{Log: slog.New(slog.NewTextHandler(&log, nil))}
			runWith(t, o, func(t *testing.T, p *Poller, u *upstream) {
				r := rule()
				r.MaxBody = 90_000
				w := mustWatch(t, p, Request{Rule: r, URL: "/x?token=canary"})
				defer w.Close()
				settle(1500 * time.Millisecond)
				good := w.Newest()
				if good == nil || good.Err != nil {
					t.Fatalf("%+v before the failure", good)
				}
				u.answer(test.handler)
				settle(30 * time.Second)
				s := w.Newest()
				if s.Err == nil || s.Err.Code != test.code || s.Over != test.over {
					t.Fatalf("err %v, over %v; want %s, %v", s.Err, s.Over, test.code, test.over)
				}
				if s.Version != good.Version || string(s.Body) != string(good.Body) {
					t.Errorf("the last good document is gone: %q", s.Body)
				}
				if strings.Contains(s.Err.Message, "upstream.test") || strings.Contains(s.Err.Message, "canary") {
					t.Errorf("message %q shows what clients should not see", s.Err.Message)
				}
				if n := strings.Count(log.String(), "poll failed"); n != 1 {
					t.Errorf("the log says it %d times, want once:\n%s", n, log.String())
				}
				if strings.Contains(log.String(), "canary") {
					t.Errorf("the log shows the query:\n%s", log.String())
				}
				if test.over {
					return
				}
				u.body(`{"n":1}`)
				settle(90 * time.Second)
				if s := w.Newest(); s.Err != nil || s.Version != good.Version {
					t.Errorf("not recovered: %+v", s)
				}
			})
		})
	}
}

func TestLimits(t *testing.T) {
	runWith(t, Options{Resources: 2}, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		r.Linger = 0
		a := mustWatch(t, p, Request{Rule: r, URL: "/a"})
		b := mustWatch(t, p, Request{Rule: r, URL: "/b"})
		if _, err := p.Watch(Request{Rule: r, URL: "/c"}, new(counter)); !errors.Is(err, ErrTooMany) {
			t.Errorf("a third resource: %v, want ErrTooMany", err)
		}
		defer mustWatch(t, p, Request{Rule: r, URL: "/a"}).Close()
		a.Close()
		b.Close()
		settle(time.Second)
		defer mustWatch(t, p, Request{Rule: r, URL: "/c"}).Close()
	})
	runWith(t, Options{Resources: 2}, func(t *testing.T, p *Poller, u *upstream) {
		a := mustWatch(t, p, Request{Rule: rule(), URL: "/a"})
		defer a.Close()
		for i := range 20 { // each lingers for 10 s, and none is in the way
			mustWatch(t, p, Request{Rule: rule(), URL: fmt.Sprint("/", i)}).Close()
		}
		if p.Watched() != 2 {
			t.Errorf("%d resources are polled, want 2", p.Watched())
		}
		settle(time.Second)
		if s := a.Newest(); s == nil || s.Err != nil {
			t.Errorf("what is watched was given up: %+v", s)
		}
	})
	runWith(t, Options{Concurrency: 3}, func(t *testing.T, p *Poller, u *upstream) {
		var most int
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			u.mu.Lock()
			most = max(most, u.inFlight)
			u.mu.Unlock()
			pause(r, 100*time.Millisecond)
			io.WriteString(w, "{}")
		})
		for i := range 50 {
			defer mustWatch(t, p, Request{Rule: rule(), URL: fmt.Sprint("/", i)}).Close()
		}
		settle(3 * time.Second)
		if most != 3 {
			t.Errorf("%d polls at once, want 3", most)
		}
	})
	runWith(t, Options{Rate: 5}, func(t *testing.T, p *Poller, u *upstream) {
		for i := range 50 {
			defer mustWatch(t, p, Request{Rule: rule(), URL: fmt.Sprint("/", i)}).Close()
		}
		settle(20 * time.Second)
		if n := u.count(); n < 95 || n > 106 {
			t.Errorf("%d polls in 20 s at 5 a second", n)
		}
	})
}

func TestStartsAreSpread(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		r.Interval = 10 * time.Second
		for i := range 200 {
			defer mustWatch(t, p, Request{Rule: r, URL: fmt.Sprint("/", i)}).Close()
		}
		settle(30 * time.Second)
		perSecond := make(map[int64]int)
		for _, at := range u.times {
			if since := at.Sub(u.times[0]); since > 12*time.Second && since < 22*time.Second {
				perSecond[int64(since/time.Second)]++
			}
		}
		for second, n := range perSecond {
			if n > 80 {
				t.Errorf("%d of 200 polls in second %d: they go in step", n, second)
			}
		}
	})
}

func TestAfter(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		r.Interval = time.Hour
		w := mustWatch(t, p, Request{Rule: r, URL: "/x"})
		defer w.Close()
		settle(time.Second)
		u.body(`{"n":2}`)
		s, err := w.After(t.Context(), time.Now())
		if err != nil || string(s.Body) != `{"n":2}` {
			t.Errorf("after a change: %s, %v", s.Body, err)
		}
		n := u.count()
		if s, err := w.After(t.Context(), time.Now().Add(-time.Minute)); err != nil || s == nil || u.count() != n {
			t.Errorf("what is known already cost %d polls", u.count()-n)
		}
		u.answer(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		settle(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.After(ctx, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}

func TestIdleResumes(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		shared, private := rule(), rule()
		private.Name, private.Vary = "/y", []string{"Cookie:sid"}
		mine := Request{Rule: private, URL: "/y", Header: http.Header{"Cookie": {"a=b; sid=1"}}}
		for _, req := range []Request{{Rule: shared, URL: "/x"}, mine} {
			u.body(`{"n":1}`)
			w := mustWatch(t, p, req)
			settle(time.Second)
			v := w.Newest().Version
			w.Close()
			settle(time.Minute)
			if p.Watched() != 0 {
				t.Fatal("still watched")
			}
			u.answer(func(w http.ResponseWriter, r *http.Request) {
				pause(r, time.Second)
				io.WriteString(w, `{"n":1}`)
			})
			w = mustWatch(t, p, req)
			if s := w.Newest(); (s != nil) != (req.Rule == shared) {
				t.Errorf("%s: at once %+v; want what was known if shared, nothing yet if private", req.URL, s)
			}
			settle(2 * time.Second)
			if s := w.Newest(); s == nil || s.Version != v {
				t.Errorf("%s: then %+v, want version %s", req.URL, s, v)
			}
			w.Close()
			settle(time.Minute)
		}
	})
}

func TestIdleIsBounded(t *testing.T) {
	runWith(t, Options{Idle: 50_000}, func(t *testing.T, p *Poller, u *upstream) {
		u.body(`"` + strings.Repeat("x", 5_000) + `"`)
		r := rule()
		r.Linger = 0
		for i := range 100 {
			w := mustWatch(t, p, Request{Rule: r, URL: fmt.Sprint("/", i)})
			settle(time.Second)
			w.Close()
		}
		settle(time.Minute)
		if n := p.idle.Len(); n == 0 || n > 10 || p.idleBytes > 50_000 {
			t.Errorf("%d idle resources with %d bytes are kept, want at most 10 with 50,000", n, p.idleBytes)
		}
	})
}
