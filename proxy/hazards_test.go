package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"pollbridge/config"
	"pollbridge/internal/pipe"
	"pollbridge/poller"
)

// FuzzMessage: whatever a client says on a socket, it is answered in messages
// of the protocol, what is asked of the upstream is asked of the upstream and
// holds nothing that vary does not name, and the process lives.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{
		`{"type":"subscribe","url":"/api/x"}`, `{"type":"subscribe","url":"/api/x?_=1#y","version":"abc","throttle":10}`, `{"type":"unsubscribe","url":"/api/x"}`,
		`{"type":"subscribe","url":"/api/x","headers":{"authorization":"a","Cookie":"sid=b; x=c"}}`, `{"type":"subscribe","url":"/api/x","headers":{"X-Other":"a"}}`,
		`{"type":"subscribe","url":"/api/x","headers":{"Authorization":"a\r\nX-Evil: 1"}}`, `{"type":"subscribe","url":"//evil.test/api/x"}`,
		`{"type":"subscribe","url":"http://evil.test/api/x"}`, `{"type":"subscribe","url":"/api/..%2f\\x"}`, `{"type":"subscribe","url":"/api/\u0000\ud800"}`,
		`{"type":"subscribe","url":1}`, `{"type":1}`, `[]`, `null`, `"x"`, `{`, ``, `{"type":"subscribe","url":"/api/x","throttle":-1}`, `{"type":"subscribe","url":"/api/x","throttle":1e308}`,
		`{"type":"subscribe","URL":"/api/x","url":"/cookie/y","headers":{"COOKIE":"sid=1"}}`, `{"type":"subscribe","url":"/api/x","headers":{"Host":"evil.test"}}`,
		`{"TYPE":"subscribe","type":"unsubscribe","url":"/api/x"}`, strings.Repeat(`{"a":`, 5000), `{"type":"subscribe","url":"` + strings.Repeat("/x", 5000) + `"}`,
	} {
		f.Add([]byte(s))
	}
	cfg, err := config.Parse("fuzz.yaml", []byte("upstream: http://upstream.test:9/base\nendpoints:\n  - {path: \"/api/{x}\", interval: 1h, linger: 0s}\n  - {path: \"/cookie/{x}\", interval: 1h, vary: [\"Cookie:sid\"]}\n"), nil)
	if err != nil {
		f.Fatal(err)
	}
	var wrong atomic.Pointer[string]
	p, err := New(cfg, Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if text := misdirected(r); text != "" {
			wrong.Store(&text)
		}
		rec := httptest.NewRecorder()
		rec.WriteString(`{"n":1}`)
		return rec.Result(), nil
	})})
	if err != nil {
		f.Fatal(err)
	}
	front := pipe.Listen()
	server := &http.Server{Handler: p, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go server.Serve(front)
	transport := front.Transport()
	f.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
		p.Close()
	})
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > readLimit || !utf8.Valid(text) {
			t.Skip("closes the connection, see TestFrames")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ws, _, err := websocket.Dial(ctx, "ws://proxy.test/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		ws.SetReadLimit(-1)
		go func() { // one pipe, so what is written waits for what is read
			ws.Write(ctx, websocket.MessageText, text)
			ws.Write(ctx, websocket.MessageText, []byte(`{"type":"the last"}`))
		}()
		for {
			kind, got, err := ws.Read(ctx)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			var m struct {
				Type  string
				Error struct{ Message string }
			}
			if json.Unmarshal(got, &m) != nil || !utf8.Valid(got) || kind != websocket.MessageText ||
				!slices.Contains([]string{"snapshot", "patch", "current", "stale", "end", "alias", "error"}, m.Type) {
				t.Fatalf("%q is answered by %q", text, got)
			}
			if strings.Contains(m.Error.Message, `"the last" is unknown`) {
				break
			}
		}
		if text := wrong.Load(); text != nil {
			t.Fatal(*text)
		}
	})
}

// misdirected says what is wrong with a poll that FuzzMessage has caused.
func misdirected(r *http.Request) string {
	var line bytes.Buffer
	r.WithContext(context.Background()).Write(&line)
	if r.URL.Scheme != "http" || r.URL.Host != "upstream.test:9" || r.Host != "upstream.test:9" || r.Method != "GET" ||
		!strings.HasPrefix(line.String(), "GET /base/api/") && !strings.HasPrefix(line.String(), "GET /base/cookie/") {
		return fmt.Sprintf("sent to %s: %q", r.URL, line.String())
	}
	for name, values := range r.Header {
		switch {
		case slices.Contains([]string{"Accept", "Accept-Encoding", "User-Agent"}, name):
		case name == "Cookie" && (strings.Contains(r.URL.Path, "/api/") || strings.HasPrefix(values[0], "sid=")):
		case name == "Authorization" && strings.Contains(r.URL.Path, "/api/"):
		default:
			return fmt.Sprintf("sent with %s: %q", name, values)
		}
	}
	return ""
}

// TestOutageScattersNobody: while the shared document cannot be read nobody is
// polled for alone, nothing is shown, and nothing is asked in a hurry.
func TestOutageScattersNobody(t *testing.T) {
	within(t, authorizing, func(w *world) {
		b := newBank("alice", "bob", "carol")
		var down atomic.Bool
		down.Store(true)
		var asked atomic.Int64
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "operator" {
				asked.Add(1)
			} else if down.Load() {
				rw.WriteHeader(503)
				return
			}
			b.ServeHTTP(rw, r)
		})
		var clients []<-chan map[string]any
		for user := range b.allowed {
			if user != "operator" {
				clients = append(clients, w.dial("/same/x", as(user)).collect())
			}
		}
		time.Sleep(time.Minute)
		for _, c := range clients {
			if m := <-c; m["type"] != "stale" || m["version"] != nil || len(c) > 0 {
				t.Errorf("during the outage: %v and %d more, want to be told that there is one", m, len(c))
			}
		}
		down.Store(false)
		time.Sleep(2 * time.Minute)
		for _, c := range clients {
			if m := <-c; m["type"] != "snapshot" {
				t.Errorf("after it: %v, want the document", m)
			}
		}
		before := asked.Load()
		if before > 20 {
			t.Errorf("the upstream was asked %d times for three clients", before)
		}
		time.Sleep(10 * time.Minute)
		if n := asked.Load() - before; n < 3 || n > 12 {
			t.Errorf("asked %d times for three clients in 10 minutes, want each twice or so: they are polled for alone", n)
		}
	})
}

// TestComebackIsAskedFor: one who may be anybody, and was let in before, is
// asked for again before anything is shown.
func TestComebackIsAskedFor(t *testing.T) {
	within(t, authorizing, func(w *world) {
		b := newBank("")
		w.answer(b.ServeHTTP)
		const path = "/asked/x"
		p := w.dial(path, nil)
		if m := p.next(); m["type"] != "snapshot" {
			t.Fatalf("first: %v", m)
		}
		p.ws.CloseNow()
		time.Sleep(time.Minute)
		b.allowed[""].Store(false)
		w.dial(path, nil).want(`{"type":"end","url":"` + path + `","error":{"code":"unauthorized","message":"*","status":401}}`)
		for _, headers := range [][]string{nil, {"Prefer: wait=1", `If-None-Match: "x"`}} {
			if res, body := w.do("GET", path, headers...); res.StatusCode != 401 || strings.Contains(body, "shared") {
				t.Errorf("%v: %d %s", headers, res.StatusCode, body)
			}
		}
	})
}

// TestComebackInAnOutage: nor is anything shown while the upstream cannot say whether
// it may be, though others go on to be shown it.
func TestComebackInAnOutage(t *testing.T) {
	within(t, authorizing, func(w *world) {
		b := newBank("", "bob")
		var broken atomic.Bool
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				time.Sleep(time.Second)
				if broken.Load() {
					rw.WriteHeader(500)
					return
				}
			}
			b.n.Add(1)
			b.ServeHTTP(rw, r)
		})
		w.dial("/asked/x", as("bob")).collect()
		p := w.dial("/asked/x", nil)
		if m := p.next(); m["type"] != "snapshot" {
			t.Fatalf("first: %v", m)
		}
		p.ws.CloseNow()
		time.Sleep(time.Minute)
		broken.Store(true)
		said := w.dial("/asked/x", nil).collect()
		time.Sleep(time.Minute)
		for range len(said) {
			if m := <-said; m["type"] != "stale" {
				t.Errorf("sent %v", m)
			}
		}
	})
}

// TestLeaveExpires: while the upstream cannot say who may see a document, those
// who might go on for twice reauthorize, and no longer.
func TestLeaveExpires(t *testing.T) {
	within(t, authorizing, func(w *world) {
		b := newBank("alice")
		var broken atomic.Bool
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			if broken.Load() && r.Header.Get("Authorization") == "alice" {
				rw.WriteHeader(500)
				return
			}
			b.ServeHTTP(rw, r)
		})
		alice := w.dial("/asked/x", as("alice")).collect()
		time.Sleep(time.Second)
		broken.Store(true)
		time.Sleep(5 * time.Minute)
		if m := lastOf(alice); m["type"] == "end" || time.Since(at(t, m)) > 2*time.Second {
			t.Errorf("after 5 minutes: %v, want that it goes on", m)
		}
		time.Sleep(6 * time.Minute)
		if m := lastOf(alice); m["type"] != "end" {
			t.Errorf("after 11 minutes: %v, want the end", m)
		}
		time.Sleep(time.Minute)
		if n := len(alice); n > 0 {
			t.Errorf("%d messages after the end", n)
		}
	})
}

// TestLongPollIsFaithful: what may not be kept, or is not what the upstream has
// sent, comes from the upstream also where it is waited for.
func TestLongPollIsFaithful(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"private": func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "private")
			io.WriteString(rw, `{}`)
		},
		"no-store": func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "no-store")
			io.WriteString(rw, `{}`)
		},
		"no UTF-8": func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "[\"\xff\"]") },
	} {
		within(t, basic, func(w *world) {
			w.answer(answer)
			for _, prefer := range []string{"Prefer: wait=1", "X-None: 1"} {
				res, body := w.do("GET", "/api/x", "Authorization: me", prefer, `If-None-Match: "x"`)
				if res.StatusCode != 200 || res.Header.Get("Cache-Status") != "" || strings.Contains(body, "\uFFFD") {
					t.Errorf("%s, %s: %d %q %v", name, prefer, res.StatusCode, body, res.Header)
				}
			}
		})
	}
}

// TestNoRoomToBeAlone: one who should be polled for alone, and cannot be, is
// shown nothing rather than what is somebody else's.
func TestNoRoomToBeAlone(t *testing.T) {
	within(t, authorizing+"limits: {resources: 2}\n", func(w *world) {
		b := newBank("bob")
		w.answer(b.ServeHTTP)
		bob := w.dial("/same/x", as("bob")).collect()
		time.Sleep(10 * time.Second)
		if m := lastOf(bob); m["type"] != "snapshot" && m["type"] != "patch" {
			t.Fatalf("first: %v", m)
		}
		b.own.Store("bob", `{"by":"bob alone"}`)
		time.Sleep(6 * time.Minute) // he is asked for again, and has another one now
		lastOf(bob)
		polls := w.polls()
		for range 20 {
			b.n.Add(1)
			time.Sleep(time.Minute)
		}
		if n := len(bob); n > 0 {
			t.Errorf("%d messages, last %v: what is not his any more", n, lastOf(bob))
		}
		if n := w.polls() - polls; n > 1300 {
			t.Errorf("%d polls in 20 minutes at one a second", n)
		}
	})
}

// TestComparisonThatFails: where two answers cannot be compared, they are not
// the same.
func TestComparisonThatFails(t *testing.T) {
	within(t, authorizing, func(w *world) {
		b := newBank("bob")
		b.own.Store("bob", `{"by":"bob alone"}`)
		w.answer(b.ServeHTTP)
		e, url, _ := w.proxy.now().resolve("/same/x")
		source, err := w.proxy.watch(e, poller.Request{URL: url, Header: as("bob")}, make(poller.Signal, 1))
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		g := source.(*gate)
		grant, err := g.probe.After(g.ctx, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		broken := &gate{p: &Proxy{log: slog.New(slog.NewTextHandler(&log, nil))}, shared: g.shared, probe: g.probe, ctx: g.ctx}
		broken.e.Store(&endpoint{}) // without a rule
		if same, last, err := broken.sameAs(grant); same || last == nil || err != nil || !strings.Contains(log.String(), "hazards_test.go") {
			t.Errorf("same %v, %v, %v; the log says %s", same, last, err, log.String())
		}
	})
}

// TestInventedLogins: those that are kept alive are bounded, and who is over
// the bound is answered all the same.
func TestInventedLogins(t *testing.T) {
	within(t, "endpoints: [{path: /api/x, interval: 1s, vary: [], touch: 60s}]\nlimits: {resources: 20}", func(w *world) {
		for i := range 500 {
			res, _ := w.do("GET", "/api/x", fmt.Sprint("Authorization: invented", i))
			w.wantStatus(res, 200)
		}
		p := w.dial("/", as("one more"))
		p.send(`{"type":"subscribe","url":"/api/x"}`)
		p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":1}}`)
		w.proxy.touches.mu.Lock()
		n := len(w.proxy.touches.by)
		w.proxy.touches.mu.Unlock()
		if n != 20 {
			t.Errorf("%d are kept, the limit is 20", n)
		}
		p.silent(time.Second)
		time.Sleep(5 * time.Minute)
		res, _ := w.do("GET", "/api/x", "Authorization: a real one")
		if w.wantStatus(res, 200); res.Header.Get("Cache-Status") != "" || w.touchesOf("") == -1 {
			t.Error("there is room again, but it did not pass through")
		}
	})
}

// TestGetThatNobodyReads: a client that asks for a document and takes none of
// it is given up.
func TestGetThatNobodyReads(t *testing.T) {
	within(t, served, func(w *world) {
		w.json(`"` + strings.Repeat("x", 100_000) + `"`)
		conn := w.connect()
		defer conn.Close()
		go io.WriteString(conn, "GET /api/x HTTP/1.1\r\nHost: proxy.test\r\n\r\n")
		time.Sleep(sendTime(100_000) - time.Second)
		if n, err := conn.Read(make([]byte, 10_000)); n == 0 || err != nil {
			t.Errorf("given up too soon: %v", err)
		}
		time.Sleep(2 * time.Second)
		if rest, err := io.ReadAll(conn); len(rest) >= 90_000 {
			t.Errorf("%d bytes were still sent to one who had taken %d s over the first 10,000: %v", len(rest), sendTime(100_000)/time.Second, err)
		}
		slow := w.connect() // but who takes it slowly gets all of it
		defer slow.Close()
		go io.WriteString(slow, "GET /api/x HTTP/1.1\r\nHost: proxy.test\r\nConnection: close\r\n\r\n")
		total := 0
		for b := make([]byte, 10_000); ; time.Sleep(time.Second) {
			n, err := slow.Read(b)
			if total += n; err != nil {
				break
			}
		}
		if total < 100_000 {
			t.Errorf("%d bytes were sent to one who took 10,000 a second", total)
		}
	})
}

// TestRefreshNamesThisHost: what an answer to a write says it has written to
// counts on this host only.
func TestRefreshNamesThisHost(t *testing.T) {
	within(t, served, func(w *world) {
		w.dial("/api/x", nil).collect()
		for location, polled := range map[string]bool{"http://elsewhere.test/api/x": false, "//elsewhere.test/api/x": false, "http://proxy.test/api/x": true, "../api/x": true} {
			time.Sleep(time.Minute)
			done := make(chan int)
			w.answer(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == "POST" {
					rw.Header().Set("Location", location)
				}
				io.WriteString(rw, `{"n":1}`)
			})
			before := w.polls()
			w.do("POST", "/write/x")
			time.AfterFunc(100*time.Millisecond, func() { done <- w.polls() - before })
			if n := <-done; (n > 1) != polled {
				t.Errorf("Location %s: %d polls", location, n-1)
			}
		}
	})
}

// TestOneClientsShare: one address cannot use up what is polled for all, by
// whatever transport; its GETs then pass through.
func TestOneClientsShare(t *testing.T) {
	within(t, basic+"trusted_proxies: [127.0.0.0/8]\nlimits: {resources: 50, resources_per_client: 3}\n", func(w *world) {
		mallory, alice := http.Header{"X-Forwarded-For": {"2001:db8::1"}}, http.Header{"X-Forwarded-For": {"2001:db8:0:1::1"}}
		p := w.dial("/", mallory)
		for i := range 3 {
			p.send(`{"type":"subscribe","url":"/api/x?%d"}`, i)
			p.want(fmt.Sprintf(`{"type":"snapshot","url":"/api/x?%d","version":"*","at":"*","data":{"n":1}}`, i))
		}
		p.send(`{"type":"subscribe","url":"/api/x?3"}`)
		p.want(`{"type":"end","url":"/api/x?3","error":{"code":"limit","message":"*"}}`)
		other := w.dial("/", http.Header{"X-Forwarded-For": {"2001:db8::2"}})
		other.send(`{"type":"subscribe","url":"/api/x?3"}`)
		other.want(`{"type":"end","url":"/api/x?3","error":{"code":"limit","message":"*"}}`)
		res, _ := w.do("GET", "/api/x?4", "X-Forwarded-For: 2001:db8::3")
		if w.wantStatus(res, 200); res.Header.Get("Cache-Status") != "" {
			t.Errorf("a GET over the limit did not pass through: %v", res.Header)
		}
		a := w.dial("/api/x?3", alice)
		a.want(`{"type":"snapshot","url":"/api/x?3","version":"*","at":"*","data":{"n":1}}`)
		a.silent(time.Second)
	})
}
