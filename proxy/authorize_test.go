package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const authorizing = `
endpoints:
  - {path: /asked/x, interval: 1s, linger: 5s, authorize: true, headers: {Authorization: operator, X-Key: secret}}
  - {path: /same/x, interval: 1s, linger: 5s, authorize: same, headers: {Authorization: operator}, ignore: [/now]}
`

// bank is an upstream that knows who may see what.
type bank struct {
	allowed map[string]*atomic.Bool // by Authorization
	own     sync.Map                // whose document is another than everybody's
	n       atomic.Int64            // in the document; it changes
	now     atomic.Int64
}

func (b *bank) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	who := r.Header.Get("Authorization")
	if a := b.allowed[who]; a == nil || !a.Load() {
		rw.WriteHeader(http.StatusUnauthorized)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/same") {
		rw.Header().Set("Cache-Control", "private")
	}
	rw.Header().Set("Content-Type", "application/json")
	if own, ok := b.own.Load(who); ok {
		io.WriteString(rw, own.(string))
		return
	}
	fmt.Fprintf(rw, `{"now":%d,"n":%d,"by":"shared"}`, b.now.Add(1), b.n.Load())
}

func newBank(users ...string) *bank {
	b := &bank{allowed: make(map[string]*atomic.Bool)}
	for _, u := range append(users, "operator") {
		b.allowed[u] = new(atomic.Bool)
		b.allowed[u].Store(true)
	}
	return b
}

func as(user string) http.Header { return http.Header{"Authorization": {user}} }

func TestAuthorize(t *testing.T) {
	within(t, authorizing, func(w *world) {
		b := newBank("alice", "bob")
		w.answer(b.ServeHTTP)
		alice, bob := w.dial("/asked/x", as("alice")).collect(), w.dial("/asked/x", as("bob")).collect()
		for _, c := range []<-chan map[string]any{alice, bob} {
			if m := <-c; m["type"] != "snapshot" {
				t.Fatalf("sent %v, want the snapshot", m)
			}
		}
		for _, nobody := range []http.Header{nil, as("mallory"), {"X-Key": {"secret"}}} {
			p := w.dial("/asked/x", nobody)
			p.want(`{"type":"end","url":"/asked/x","error":{"code":"unauthorized","message":"*","status":401}}`)
			p.silent(3 * time.Second)
		}
		w.mu.Lock()
		for _, r := range w.requests {
			if who := r.Header.Get("Authorization"); who != "operator" && r.Header.Get("X-Key") != "" {
				t.Errorf("%q was asked for with the operator's key", who)
			}
		}
		w.mu.Unlock()
		b.allowed["bob"].Store(false) // while all goes on for alice
		time.Sleep(6 * time.Minute)
		if last := lastOf(bob); last["type"] != "end" {
			t.Errorf("bob was sent %v last, want the end within reauthorize, 5m", last)
		}
		if last := lastOf(alice); last["type"] != "snapshot" && last["type"] != "patch" || time.Since(at(t, last)) > 2*time.Second {
			t.Errorf("alice was sent %v last, want all to go on for her", last)
		}
	})
}

func lastOf(c <-chan map[string]any) (last map[string]any) {
	for range len(c) {
		last = <-c
	}
	return last
}

func at(t *testing.T, m map[string]any) time.Time {
	v, err := time.Parse(time.RFC3339, m["at"].(string))
	if err != nil {
		t.Error(err)
	}
	return v
}

func TestAuthorizeGet(t *testing.T) {
	within(t, authorizing, func(w *world) {
		b := newBank("alice")
		w.answer(b.ServeHTTP)
		res, body := w.do("GET", "/asked/x", "Authorization: alice")
		if res.StatusCode != 200 || !strings.Contains(body, "shared") || res.Header.Get("Cache-Status") == "" {
			t.Errorf("alice: %d %s %v", res.StatusCode, body, res.Header)
		}
		for _, header := range []string{"Authorization: mallory", "X-None: 1"} {
			for range 3 {
				res, body = w.do("GET", "/asked/x", header)
				if res.StatusCode != 401 || body != "" {
					t.Errorf("%s: %d %q, want the upstream's own 401", header, res.StatusCode, body)
				}
			}
		}
	})
}

// collect reads on, so that pings are answered, and passes all messages on.
func (p *peer) collect() <-chan map[string]any {
	c := make(chan map[string]any, 10_000)
	go func() {
		defer close(c)
		for {
			_, text, err := p.ws.Read(context.Background())
			if err != nil {
				return
			}
			var m map[string]any
			json.Unmarshal(text, &m)
			c <- m
		}
	}()
	return c
}

func TestAuthorizeSame(t *testing.T) {
	within(t, authorizing, func(w *world) {
		b := newBank("alice", "bob")
		b.own.Store("bob", `{"by":"bob alone"}`)
		w.answer(b.ServeHTTP)
		alice, bob := w.dial("/same/x", as("alice")).collect(), w.dial("/same/x", as("bob")).collect()
		for range 20 { // it goes on changing, and both are asked again meanwhile
			time.Sleep(20 * time.Second)
			b.n.Add(1)
		}
		seen := len(alice)
		if seen < 20 {
			t.Errorf("alice was sent %d messages, want one for every change", seen)
		}
		for range seen {
			if m := <-alice; m["type"] == "snapshot" && !strings.Contains(fmt.Sprint(m["data"]), "by:shared") || m["type"] == "end" {
				t.Errorf("alice was sent %v, want what the operator's poll says", m)
			}
		}
		if m := <-bob; fmt.Sprint(m["data"]) != "map[by:bob alone]" || len(bob) != 0 {
			t.Errorf("bob was sent %v and %d more, want his own document", m, len(bob))
		}
		w.dial("/same/x", as("mallory")).want(`{"type":"end","url":"/same/x","error":{"code":"unauthorized","message":"*","status":401}}`)
		b.own.Store("alice", `{"by":"alice alone"}`) // what was proved holds no longer
		for range 20 {
			time.Sleep(20 * time.Second)
			b.n.Add(1)
		}
		var last map[string]any
		for range len(alice) {
			last = <-alice
		}
		if fmt.Sprint(last["data"]) != "map[by:alice alone]" {
			t.Errorf("alice was sent %v last, want her own document", last)
		}
	})
}

func TestConfirmShrink(t *testing.T) {
	within(t, "endpoints: [{path: /api/x, interval: 1s, confirm_shrink: 0.9}]", func(w *world) {
		w.json(`{"pad":"` + big + `"}`)
		p := w.dial("/api/x", nil)
		p.next()
		var polls atomic.Int64
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			if polls.Add(1) == 1 { // one poll in between loses everything
				io.WriteString(rw, `{"pad":""}`)
				return
			}
			io.WriteString(rw, `{"pad":"`+big+`","n":2}`)
		})
		p.want(`{"type":"patch","url":"/api/x","from":"*","version":"*","at":"*","patch":"*"}`)
		lost := time.Now()
		w.json(`{}`)
		p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{}}`)
		if d := time.Since(lost); d < time.Second {
			t.Errorf("a loss was believed after %v, want when a second poll says so too", d)
		}
	})
}
