package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestConfirm: sockets are told a change when as many polls in a row have said it
// as confirm wants, and one who has written is answered by the upstream until
// then, of rules with authorize too.
func TestConfirm(t *testing.T) {
	for _, rule := range []string{"confirm: 2", "confirm: 2, authorize: true, headers: {X-Key: secret}", "confirm: 2, authorize: same, headers: {X-Key: secret}"} {
		within(t, "endpoints: [{path: /api/x, interval: 1s, "+rule+"}]", func(w *world) {
			var mu sync.Mutex
			n := 1
			w.answer(func(rw http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if r.Method == "POST" {
					n++
					return
				}
				rw.Header().Set("Content-Type", "application/json")
				io.WriteString(rw, fmt.Sprintf(`{"n":%d}`, n))
			})
			p := w.dial("/api/x", nil)
			defer p.ws.CloseNow()
			p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":1}}`)
			time.Sleep(3 * time.Second)
			if _, body := w.do("GET", "/api/x"); body != `{"n":1}` {
				t.Errorf("%s: GET: %s", rule, body)
			}
			w.do("POST", "/api/x")
			wrote := time.Now()
			res, body := w.do("GET", "/api/x")
			if body != `{"n":2}` || res.Header.Get("Cache-Status") != "" {
				t.Errorf("%s: GET after a write: %s, Cache-Status %q; want what the upstream says", rule, body, res.Header.Get("Cache-Status"))
			}
			p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":2}}`)
			if d := time.Since(wrote); (d < 900*time.Millisecond || d > 1100*time.Millisecond) && !strings.Contains(rule, "same") { // which compares, and polls for that
				t.Errorf("%s: the change was told after %v, want when the second poll has said it", rule, d)
			}
			if res, body := w.do("GET", "/api/x"); body != `{"n":2}` || res.Header.Get("Cache-Status") == "" && !strings.Contains(rule, "same") {
				t.Errorf("%s: GET after that: %s, Cache-Status %q", rule, body, res.Header.Get("Cache-Status"))
			}
		})
	}
}

// TestConfirmLetsNobodyStay: with authorize: same a client's own answer is held
// against the shared document each time that it is asked for, though it is
// another one each time.
func TestConfirmLetsNobodyStay(t *testing.T) {
	within(t, "endpoints: [{path: /api/x, interval: 1s, authorize: same, reauthorize: 4s, confirm: 2, headers: {X-Key: secret}}]", func(w *world) {
		began, own := time.Now(), 20*time.Second
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			by, age := "all", time.Since(began)
			if r.Header.Get("Authorization") == "alice" && age > own {
				by = "alice alone"
			}
			rw.Header().Set("Content-Type", "application/json")
			io.WriteString(rw, fmt.Sprintf(`{"n":%d,"by":%q,"pad":%q}`, age/(3*time.Second), by, big))
		})
		p := w.dial("/api/x", as("alice"))
		defer p.ws.CloseNow()
		shared := 0
		for m := p.next(); !strings.Contains(fmt.Sprint(m["data"], m["patch"]), "alice alone"); m = p.next() {
			if shared++; time.Since(began) > own+10*time.Second {
				t.Fatalf("alice is still sent what is not hers: %v", m)
			}
		}
		if shared < 4 {
			t.Errorf("she was sent the shared document %d times", shared)
		}
	})
}
