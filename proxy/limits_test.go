package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pollbridge/internal/pipe"
)

// try dials and returns the status of the answer; the socket is nil unless it
// is 101.
func (w *world) try(path string, header http.Header) (*websocket.Conn, int, string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ws, res, err := websocket.Dial(ctx, "ws://proxy.test"+path, &websocket.DialOptions{HTTPClient: w.http, HTTPHeader: header})
	if res == nil {
		w.t.Fatalf("dial %s: %v", path, err)
	}
	if err != nil {
		body, _ := io.ReadAll(res.Body)
		return nil, res.StatusCode, string(body) + res.Header.Get("Retry-After")
	}
	return ws, res.StatusCode, ""
}

func TestConnectionLimits(t *testing.T) {
	t.Run("connections", func(t *testing.T) {
		within(t, basic+"limits: {connections: 3}\n", func(w *world) {
			var open []*websocket.Conn
			for range 3 {
				ws, _, _ := w.try("/", nil)
				open = append(open, ws)
			}
			if ws, status, text := w.try("/api/x", nil); ws != nil || status != 503 || !strings.Contains(text, "connections is 3") || !strings.HasSuffix(text, "5") {
				t.Errorf("the fourth: %d %s", status, text)
			}
			open[1].CloseNow()
			time.Sleep(time.Second)
			if ws, status, text := w.try("/", nil); ws == nil {
				t.Errorf("after one has left: %d %s", status, text)
			} else {
				ws.CloseNow()
			}
			open[0].CloseNow()
			open[2].CloseNow()
		})
	})
	// Addresses are believed from trusted proxies only; each has its own count.
	for _, c := range []struct {
		name, yaml string
		from       []string // X-Forwarded-For of each
		last       int      // the answer to the last; all others get in
	}{
		{"one address", "", []string{"", "", ""}, 429},
		{"nobody is believed", "", []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, 429},
		{"different clients", "trusted_proxies: [127.0.0.0/8]\n", []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1"}, 101},
		{"one client", "trusted_proxies: [127.0.0.0/8]\n", []string{"10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.1"}, 429},
		{"what the client wrote itself", "trusted_proxies: [127.0.0.0/8]\n", []string{"1.1.1.1, 10.0.0.1", "2.2.2.2, 10.0.0.1", "3.3.3.3, 10.0.0.1"}, 429},
		{"two proxies", "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]\n", []string{"1.1.1.1, 10.0.0.1", "2.2.2.2, 10.0.0.1", "3.3.3.3, 10.0.0.1"}, 101},
		{"IPv6", "trusted_proxies: [127.0.0.0/8]\n", []string{"2001:db8::1", "2001:db8:0::1", "2001:DB8::1"}, 429},
		{"one network of IPv6", "trusted_proxies: [127.0.0.0/8]\n", []string{"2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:3"}, 429},
		{"different networks of IPv6", "trusted_proxies: [127.0.0.0/8]\n", []string{"2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1"}, 101},
		{"IPv4 in IPv6", "trusted_proxies: [127.0.0.0/8]\n", []string{"10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"}, 429},
		{"with a port", "trusted_proxies: [127.0.0.0/8]\n", []string{"10.0.0.1:1234", "10.0.0.2:1234", "10.0.0.3:999"}, 101},
		{"IPv6 with a port", "trusted_proxies: [127.0.0.0/8]\n", []string{"[2001:db8::1]:1", "[2001:db8::1]:2", "[2001:db8::1]:3"}, 429},
		{"IPv6 in brackets", "trusted_proxies: [127.0.0.0/8]\n", []string{"[2001:db8::1]", "[2001:db8::1]", "2001:db8::1"}, 429},
		{"nonsense", "trusted_proxies: [127.0.0.0/8]\n", []string{"unknown", "_hidden", "x"}, 429},
	} {
		t.Run(c.name, func(t *testing.T) {
			within(t, basic+"limits: {connections_per_client: 2}\n"+c.yaml, func(w *world) {
				for i, from := range c.from {
					h := http.Header{}
					if from != "" {
						h.Set("X-Forwarded-For", from)
					}
					want := 101
					if i == len(c.from)-1 {
						want = c.last
					}
					ws, status, text := w.try("/", h)
					if status != want {
						t.Errorf("%d, from %q: %d %s, want %d", i, from, status, text, want)
					}
					if ws != nil {
						defer ws.CloseNow()
					}
				}
			})
		})
	}
}

// TestRefusedConnectionsCountNoMore: handshakes that come to nothing take no
// place for good.
func TestRefusedConnectionsCountNoMore(t *testing.T) {
	within(t, basic+"limits: {connections: 2, connections_per_client: 2}\n", func(w *world) {
		for _, lines := range []string{
			strings.Replace(upgradeLines, "Version: 13", "Version: 7", 1),
			strings.Replace(upgradeLines, "Sec-WebSocket-Key", "X-Key", 1),
			upgradeLines + "Origin: http://evil.test\r\n",
			upgradeLines + "Origin: null\r\n",
		} {
			for range 3 {
				conn, res := w.handshake("GET / HTTP/1.1\r\n" + lines + "\r\n")
				if res.StatusCode == 101 || res.StatusCode >= 429 {
					t.Errorf("%q: %s", lines, res.Status)
				}
				conn.Close()
			}
		}
		for range 10 {
			ws, status, text := w.try("/api/x", nil)
			if ws == nil {
				t.Fatalf("%d %s", status, text)
			}
			ws.CloseNow()
			time.Sleep(time.Second)
		}
	})
}

// TestFlood: a client that sends too many messages is closed with 1008 and a
// reason; one that sends as many as it may is not.
func TestFlood(t *testing.T) {
	within(t, basic, func(w *world) {
		for range 2 { // the steady one
			cl := listen(w.dial("/", nil).ws)
			for range 1000 {
				time.Sleep(time.Second / messageRate)
				if err := cl.ws.Write(context.Background(), websocket.MessageText, []byte("{}")); err != nil {
					t.Fatal(err)
				}
			}
			for range 1000 {
				if _, err := cl.next(time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			cl.ws.CloseNow()
		}
		cl := listen(w.dial("/api/x", nil).ws)
		go func() {
			for cl.ws.Write(context.Background(), websocket.MessageText, []byte("{}")) == nil {
			}
		}()
		start := time.Now()
		for n := 0; ; n++ {
			_, err := cl.next(time.Minute)
			if err == nil && n < 5000 {
				continue
			}
			if websocket.CloseStatus(err) != websocket.StatusPolicyViolation || !strings.Contains(err.Error(), "too many messages") {
				t.Errorf("after %d answers: %v", n, err)
			}
			break
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("closed after %v", d)
		}
		cl.ws.CloseNow()
		time.Sleep(time.Minute)
		w.closed(causePolicy, 1)
		w.closed(causeClient, 2) // the steady ones
		if n := w.proxy.poller.Watched(); n != 0 {
			t.Errorf("%d resources are polled still", n)
		}
	})
}

// TestPings: a silent peer is asked whether it is there, and closed when it
// does not answer; one that answers stays for hours.
func TestPings(t *testing.T) {
	within(t, basic, func(w *world) {
		alive := listen(w.dial("/api/x", nil).ws) // its library answers
		alive.next(time.Minute)
		start := time.Now()
		silent := w.raw("/", "")
		pings := 0
		for {
			got := silent.next()
			if got == "ping" {
				pings++
				continue
			}
			if got != "eof" {
				t.Errorf("the silent peer got %s", got)
			}
			break
		}
		if d := time.Since(start); pings < 2 || d > 2*time.Minute {
			t.Errorf("given up after %v and %d pings", d, pings)
		}
		silent.Close()
		w.closed(causeSilent, 1)

		// A peer that says anything is alive: here half a message, byte by byte.
		slow := w.raw("/", "")
		for _, b := range []byte(rawFrame(0x81, strings.Repeat("x", 40))) {
			slow.Write([]byte{b})
			time.Sleep(time.Minute)
		}
		for got := "ping"; got != "error"; got = slow.next() {
			if got != "ping" {
				t.Fatalf("the slow peer got %s", got)
			}
		}
		slow.Close()
		if m, err := alive.next(time.Second); err != errSilence {
			t.Errorf("the one that answers got %s %v", m, err)
		}
		if time.Since(start) < 30*time.Minute {
			t.Errorf("only %v have passed", time.Since(start))
		}
		alive.ws.CloseNow()
	})
}

// TestTakesNothing: a peer that does not take what it is sent is given up, and
// does not hold up the others.
func TestTakesNothing(t *testing.T) {
	within(t, basic+"limits: {connections: 2}\n", func(w *world) {
		w.json(`{"pad":"` + strings.Repeat("x", 1<<20) + `"}`)
		stuck := w.connect()
		go stuck.Write([]byte("GET /api/x HTTP/1.1\r\n" + upgradeLines + "\r\n"))
		stuck.Read(make([]byte, 1<<10))
		other := listen(w.dial("/api/x", nil).ws)
		start := time.Now()
		if _, err := other.next(time.Second); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("the other one waited %v", d)
		}
		if ws, _, _ := w.try("/", nil); ws != nil {
			t.Error("there is room already")
			ws.CloseNow()
		}
		time.Sleep(20 * time.Second)
		ws, status, text := w.try("/", nil)
		if ws == nil {
			t.Fatalf("it takes its place still: %d %s", status, text)
		}
		w.closed(causeSlow, 1)
		ws.CloseNow()
		other.ws.CloseNow()
		stuck.Close()
	})
}

// TestServerTimeouts: the limits of the server are for requests. They end slow
// handshakes, and leave sockets alone.
func TestServerTimeouts(t *testing.T) {
	within(t, basic, func(w *world) {
		w.front.Close()
		w.front = pipe.Listen()
		server := &http.Server{Handler: w.proxy, ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second}
		go server.Serve(w.front)
		defer server.Close()
		socket := w.raw("/api/x", "")
		if got := socket.next(); got != "snapshot" {
			t.Errorf("got %s", got)
		}
		slow := w.connect()
		ended := make(chan time.Duration, 1)
		start := time.Now()
		go func() {
			for _, b := range []byte("GET / HTTP/1.1\r\n" + upgradeLines) {
				if _, err := slow.Write([]byte{b}); err != nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			ended <- time.Since(start)
		}()
		go io.Copy(io.Discard, slow)
		if d := <-ended; d > 3*time.Second {
			t.Errorf("a slow handshake was let go on for %v", d)
		}
		time.Sleep(20 * time.Second)
		w.json(`{"n":2}`)
		for got := socket.next(); got != "snapshot"; got = socket.next() {
			if got != "ping" {
				t.Fatalf("the socket got %s", got)
			}
		}
		socket.Close()
	})
}

// TestResourcesAreBounded: as many as the limit are polled, and no request for
// another disturbs them.
func TestResourcesAreBounded(t *testing.T) {
	within(t, basic+"limits: {resources: 20}\n", func(w *world) {
		first := listen(w.dial("/api/first", nil).ws)
		first.next(time.Minute)
		attacker := listen(w.dial("/", nil).ws)
		ends := 0
		for i := range 100 {
			attacker.ws.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, `{"type":"subscribe","url":"/api/x?%d"}`, i))
		}
		for range 100 {
			m, err := attacker.next(time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(m), `"code":"limit"`) {
				ends++
			}
		}
		if n := w.proxy.poller.Watched(); n != 20 || ends != 81 {
			t.Errorf("%d are polled and %d were refused", n, ends)
		}
		w.json(`{"n":2}`)
		if m, err := first.next(2 * time.Second); err != nil || !strings.Contains(string(m), `"n":2`) {
			t.Errorf("the first one got %s %v", m, err)
		}
		first.ws.CloseNow()
		attacker.ws.CloseNow()
	})
}

// TestSwapAtTheLimit: leaving one and taking another in one go is within the
// limit, although the end of the first is still to be told.
func TestSwapAtTheLimit(t *testing.T) {
	within(t, basic+"limits: {subscriptions_per_connection: 2}\n", func(w *world) {
		conn := w.raw("/", "")
		sub := func(i int) string { return rawText(fmt.Sprintf(`{"type":"subscribe","url":"/api/%d"}`, i)) }
		unsub := func(i int) string { return rawText(fmt.Sprintf(`{"type":"unsubscribe","url":"/api/%d"}`, i)) }
		conn.Write([]byte(sub(0) + sub(1)))
		time.Sleep(time.Second)
		for i := range 50 {
			conn.Write([]byte(unsub(i) + sub(i+2)))
			time.Sleep(time.Second)
		}
		count := map[string]int{}
		for len(conn.said) > 0 {
			count[conn.next()]++
		}
		delete(count, "ping")
		if count["snapshot"] != 52 || count["end"] != 50 || len(count) != 2 {
			t.Errorf("got %v", count)
		}
		conn.Close()
	})
}

// TestEndedResourceIsNotAskedMore: what is over, and what nobody watches any
// more, is asked for once an interval, however many come and go: not each
// newcomer makes a poll of its own.
func TestEndedResourceIsNotAskedMore(t *testing.T) {
	for _, c := range []struct {
		name string
		h    http.HandlerFunc
	}{
		{"gone", func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(410) }},
		{"not shareable", func(rw http.ResponseWriter, r *http.Request) { rw.Header().Set("Set-Cookie", "a=b") }},
		{"failing", func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(500) }},
		{"good", func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "[1]") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			within(t, `
endpoints:
  - {path: "/api/{thing}", interval: 10s, linger: 0s, vary: []}
`, func(w *world) {
				w.answer(c.h)
				for range 100 {
					cl := listen(w.dial("/api/x", nil).ws)
					if _, err := cl.next(time.Minute); err != nil {
						t.Fatal(err)
					}
					cl.ws.CloseNow()
					time.Sleep(100 * time.Millisecond)
				}
				if n := w.polls(); n > 4 {
					t.Errorf("100 clients in 10 s made %d polls of one resource, whose interval is 10 s", n)
				}
			})
		})
	}
}

// A wall clock that is set back or put forward is neither a flood nor silence.
func TestPaceStartsAnywhere(t *testing.T) {
	for _, now := range []int64{-1e18, -1, 0, 1, 1e18} {
		var p pace
		for i := range messageBurst {
			if !p.allow(now, messageRate, messageBurst) {
				t.Fatalf("at %d message %d of %d counts as a flood", now, i, messageBurst)
			}
		}
		if p.allow(now, messageRate, messageBurst) {
			t.Errorf("at %d there is no limit", now)
		}
	}
}

// What a client names is kept until the upstream has answered: it is short.
func TestLongNamesAreNotKept(t *testing.T) {
	within(t, basic, func(w *world) {
		w.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }) // answers nobody
		p := w.dial("/", nil)
		p.send(`{"type":"subscribe","url":"/api/x?_=%s"}`, strings.Repeat("1", maxTarget))
		p.want(`{"type":"end","url":"/api/x","error":{"code":"limit","message":"*"}}`)
		p.send(`{"type":"subscribe","url":"/api/x","version":"%s"}`, strings.Repeat("v", 60_000))
		time.Sleep(time.Second)
		w.proxy.sockets.mu.Lock()
		defer w.proxy.sockets.mu.Unlock()
		for s := range w.proxy.sockets.open {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, sub := range s.subscriptions {
				if n := len(sub.alias) + len(sub.view.version); n > 0 {
					t.Errorf("%d bytes of what a client said are kept", n)
				}
			}
		}
	})
}
