package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHeadersInASubscribe: what a message calls a header is one header with one
// value, as it would be in a request: two spellings of a name are a mistake, and
// white space around a value is no part of it. So a value of white space alone
// makes nobody an identity.
func TestHeadersInASubscribe(t *testing.T) {
	within(t, "endpoints: [{path: /api/x, interval: 1s, vary: [Authorization]}]", func(w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "private")
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(rw, "%q", r.Header["Authorization"])
		})
		p := w.dial("/", nil)
		defer p.ws.CloseNow()
		for range 10 { // the order of a map's members is another one each time
			p.send(`{"type":"subscribe","url":"/api/x","headers":{"authorization":"a","Authorization":"b"}}`)
			if m := fmt.Sprint(p.next()); !strings.Contains(m, "bad_message") || !strings.Contains(m, "twice") {
				t.Fatalf("a header under two names: %s", m)
			}
		}
		for value, want := range map[string]string{
			`ann`: `data:[ann]`, ` ann\t `: `data:[ann]`, ``: "not_shareable", ` `: "not_shareable", `\t`: "not_shareable", `\u00a0`: "data:[\u00a0]",
			`\u000b`: "bad_message", ` \n`: "bad_message", `a\r\nX: b`: "bad_message",
		} {
			p := w.dial("/", nil)
			p.send(`{"type":"subscribe","url":"/api/x","headers":{"Authorization":"%s"}}`, value)
			if m := fmt.Sprint(p.next()); !strings.Contains(m, want) {
				t.Errorf("%q: %s, want %s", value, m, want)
			}
			p.ws.CloseNow()
			time.Sleep(time.Millisecond)
		}
	})
}

// TestHeadersOfSubscriptionsAreBounded: a connection keeps the headers of its
// subscribes once where they are the same, gives them up with the subscription,
// and keeps no more of them than two messages can hold.
func TestHeadersOfSubscriptionsAreBounded(t *testing.T) {
	if raceDetector {
		t.Skip("counts bytes, which takes long then")
	}
	within(t, `
endpoints: [{path: "/api/{thing}", interval: 1m, linger: 0s}]
limits: {subscriptions_per_connection: 100}
`, func(w *world) {
		const size = 50 << 10
		p := w.dial("/", http.Header{"Cookie": {"sid=socket"}, "Authorization": {strings.Repeat("A", size)}})
		defer p.ws.CloseNow()
		say := func(url, name, value string) string {
			p.send(`{"type":"subscribe","url":%q,"headers":{%q:%q}}`, url, name, value)
			time.Sleep(time.Second)
			return fmt.Sprint(p.next())
		}
		const n = 40
		var took [2]int64 // without large headers, and with
		for i, letters := range []int{1, size} {
			before := heap()
			for j := range n {
				name, letter := "Cookie", "a"
				if j%2 == 1 {
					name, letter = "Authorization", "A" // as the socket's own, where it is large
				}
				say(fmt.Sprint("/api/", n*i+j), name, strings.Repeat(letter, letters))
			}
			w.mu.Lock()
			w.requests = nil
			w.mu.Unlock()
			took[i] = heap() - before
		}
		if more := took[1] - took[0]; more > 8*size {
			t.Errorf("%d KiB are held for the same headers of %d KiB", more>>10, size>>10)
		}
		for i, letter := range []string{"b", "c", "d", "e", "f"} { // each takes the place of the one before
			if m := say("/api/0", "Cookie", strings.Repeat(letter, size)); strings.Contains(m, "limit") {
				t.Errorf("new credentials, the %dth time: %.200s", i, m)
			}
		}
		if m := say("/api/1", "Cookie", strings.Repeat("g", size)); !strings.Contains(m, "limit") || !strings.Contains(m, "headers") {
			t.Errorf("a third set of headers: %.200s", m)
		}
		p.send(`{"type":"unsubscribe","url":"/api/0"}`)
		if m := fmt.Sprint(p.next()); !strings.Contains(m, "end") {
			t.Errorf("%.200s", m)
		}
		if m := say("/api/1", "Cookie", strings.Repeat("g", size)); strings.Contains(m, "limit") {
			t.Errorf("when there is room again: %.200s", m)
		}
	})
}

// TestLongURLsAreKeptOnce: however many watch what has a long URL, they keep it
// together.
func TestLongURLsAreKeptOnce(t *testing.T) {
	if raceDetector {
		t.Skip("counts bytes, which takes long then")
	}
	within(t, basic, func(w *world) {
		const n, size = 50, 8000
		var took [2]int64 // for a short URL, and a long one
		for i, length := range []int{1, size} {
			url := "/api/" + strings.Repeat("x", length)
			w.dial(url, nil).next() // whose resource it is
			before := heap()
			var peers []*peer
			for range n {
				p := w.dial("/", nil)
				p.send(`{"type":"subscribe","url":%q}`, url)
				p.next()
				peers = append(peers, p)
			}
			took[i] = heap() - before
			for _, p := range peers {
				p.ws.CloseNow()
			}
			w.http.CloseIdleConnections()
			time.Sleep(time.Second)
		}
		if more := took[1] - took[0]; more > n*size/2 {
			t.Errorf("%d KiB more are held for %d subscriptions to a URL of %d bytes", more>>10, n, size)
		}
	})
}
