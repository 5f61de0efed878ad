package proxy

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pollbridge/config"
)

const touching = `
endpoints:
  - {path: /api/x, interval: 10s, vary: [], touch: 5m, linger: 10s}
`

// touchesOf counts the real requests that carried a cookie.
func (w *world) touchesOf(cookie string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, r := range w.requests {
		if r.Header.Get("Cookie") == cookie {
			n++
		}
	}
	return n
}

func TestTouch(t *testing.T) {
	within(t, touching, func(w *world) {
		alice := http.Header{"Cookie": {"sid=alice"}}
		var peers []*peer
		for range 5 { // one identity in several tabs is touched once
			p := w.dial("/api/x", alice)
			go func() { // answers pings, too
				for {
					if _, _, err := p.ws.Read(context.Background()); err != nil {
						return
					}
				}
			}()
			peers = append(peers, p)
		}
		stream := w.events("/api/x", "Cookie: sid=bob")
		go io.Copy(io.Discard, stream.res.Body)
		time.Sleep(time.Hour)
		for _, cookie := range []string{"sid=alice", "sid=bob"} {
			if n := w.touchesOf(cookie); n < 11 || n > 13 {
				t.Errorf("%s was sent %d times in an hour, want every 5 minutes", cookie, n)
			}
		}
		for _, p := range peers {
			p.ws.CloseNow()
		}
		stream.cancel()
		time.Sleep(10 * time.Minute)
		n := w.touchesOf("sid=alice")
		time.Sleep(time.Hour)
		if more := w.touchesOf("sid=alice") - n; more != 0 {
			t.Errorf("%d requests for one who does not watch any more", more)
		}
		for range 3600 { // an old poller: its touches are requests of its own that pass through
			w.do("GET", "/api/x", "Cookie: sid=carol")
			time.Sleep(time.Second)
		}
		if n := w.touchesOf("sid=carol"); n < 11 || n > 25 {
			t.Errorf("an old poller was let through %d times in an hour, want about every 5 minutes", n)
		}
		if n := len(w.proxy.touches.by); n > 1 {
			t.Errorf("%d identities are remembered, want carol's at most", n)
		}
	})
}

func TestTouchOnlyWhoNeedsIt(t *testing.T) {
	within(t, `endpoints: [{path: /api/x, interval: 10s, touch: 5m}]`, func(w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "{}") })
		w.dial("/api/x", http.Header{"Cookie": {"sid=alice"}}).next() // polled with her cookie as it is
		w.dial("/api/x", nil).next()                                  // nobody in particular
		if n := len(w.proxy.touches.by); n != 0 {
			t.Errorf("%d identities are touched, want none", n)
		}
	})
}

// TestTouchHoldsNoCredential: of who does not watch, and by no operator's headers.
func TestTouchHoldsNoCredential(t *testing.T) {
	within(t, strings.ReplaceAll(proving, "5s, authorize: true", "5s, touch: 1m, authorize: true"), func(w *world) {
		held := func() (n int) {
			w.proxy.touches.mu.Lock()
			defer w.proxy.touches.mu.Unlock()
			for _, touch := range w.proxy.touches.by {
				n += len(touch.identity)
			}
			return n
		}
		carol := http.Header{"Authorization": {"carol"}, "Cookie": {"sid=carol"}}
		w.do("GET", "/asked/x", "Authorization: carol", "Cookie: sid=carol")
		if n := held(); n != 0 {
			t.Errorf("%d headers are held of one who has sent a GET", n)
		}
		p := w.dial("/asked/x", carol)
		c := p.collect()
		time.Sleep(3 * time.Minute)
		if n := held(); n != 2 || len(c) == 0 {
			t.Errorf("%d headers are held of one who watches", n)
		}
		p.ws.CloseNow()
		time.Sleep(time.Second)
		if n := held(); n != 0 {
			t.Errorf("%d headers are held of one who has left", n)
		}
		touched := 0
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, r := range w.requests {
			if r.Header.Get("Cookie") == "" {
				continue
			}
			if touched++; r.Header.Get("X-Key") != "" || r.Header.Get("Authorization") != "carol" {
				t.Errorf("a client's cookie was sent with %v", r.Header)
			}
		}
		if touched < 2 {
			t.Errorf("%d requests with the cookie", touched)
		}
	})
}

// TestTouchKeyIsUnambiguous: whatever the values are, other headers are another identity.
func TestTouchKeyIsUnambiguous(t *testing.T) {
	within(t, touching, func(w *world) {
		e := &endpoint{config: config.Endpoint{Path: "/api/x", Touch: time.Minute}}
		seen := map[[32]byte]http.Header{}
		for _, h := range []http.Header{
			{"Authorization": {"Cookie", "x"}}, {"Cookie": {"x", "Cookie"}}, {"Authorization": {"x"}}, {"Cookie": {"x"}},
			{"Authorization": {"Cookie"}, "Cookie": {"x"}}, {"Authorization": {"Cookiex"}}, {"Authorization": {""}}, {"Cookie": {""}},
		} {
			key, ok := w.proxy.touchKey(e, h)
			if other, taken := seen[key]; !ok || taken {
				t.Errorf("%v: ok %v, the key of %v", h, ok, other)
			}
			seen[key] = h
		}
	})
}
