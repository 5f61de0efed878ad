package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// vault is an upstream that for a while refuses alice, or has something in the
// document that is not for her.
type vault struct {
	n              atomic.Int64 // in the document
	closed, secret atomic.Bool
}

func (v *vault) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	alice := r.Header.Get("Authorization") == "alice"
	rw.Header().Set("Content-Type", "application/json")
	switch {
	case v.closed.Load() && alice:
		rw.WriteHeader(http.StatusForbidden)
	case v.secret.Load() && !alice:
		fmt.Fprintf(rw, `{"n":%d,"canary":"secret","pad":%q}`, v.n.Load(), big)
	default:
		fmt.Fprintf(rw, `{"n":%d,"pad":%q}`, v.n.Load(), big)
	}
}

// TestNoPatchFromBefore: who comes back with a version is told what is now, and not
// by a patch that tells what there was while the upstream did not let in, or
// answered otherwise.
func TestNoPatchFromBefore(t *testing.T) {
	for _, path := range []string{"/asked/x", "/same/x"} {
		for _, way := range []string{"socket", "headers", "events", "get", "long-poll"} {
			within(t, proving, func(w *world) {
				v := new(vault)
				w.answer(v.ServeHTTP)
				w.dial(path, as("bob")).collect() // so that the document is watched all the time
				alice := w.dial(path, as("alice"))
				held := alice.next()["version"].(string)
				alice.ws.CloseNow()
				time.Sleep(time.Minute) // nothing is asked for alice any more
				v.closed.Store(path == "/asked/x")
				v.secret.Store(true)
				time.Sleep(5 * time.Second)
				v.secret.Store(false)
				v.n.Add(1)
				time.Sleep(5 * time.Second)
				v.closed.Store(false)
				if text := w.comeBack(way, path, held); !strings.Contains(text, "pad") && !strings.Contains(text, "/n") || strings.Contains(text, "canary") {
					t.Errorf("%s %s: sent %.300s, want what is now and no more", path, way, text)
				}
			})
		}
	}
}

// comeBack is what alice is told who holds a version.
func (w *world) comeBack(way, path, held string) string {
	switch way {
	case "socket":
		p := w.dial("/", as("alice"))
		p.send(`{"type":"subscribe","url":%q,"version":%q}`, path, held)
		return fmt.Sprint(p.next())
	case "headers":
		p := w.dial("/", nil)
		p.send(`{"type":"subscribe","url":%q,"version":%q,"headers":{"Authorization":"alice"}}`, path, held)
		return fmt.Sprint(p.next())
	case "events":
		s := w.events(path, "Authorization: alice", "Last-Event-ID: "+held)
		defer s.cancel()
		s.next()
		return s.next().data
	case "long-poll":
		_, text := w.do("GET", path, "Authorization: alice", "A-IM: json-patch", `If-None-Match: "`+held+`"`, "Prefer: wait=5")
		return text
	default:
		_, text := w.do("GET", path, "Authorization: alice", "A-IM: json-patch", `If-None-Match: "`+held+`"`)
		return text
	}
}

// TestJoinedOnlyForWhoWasThere: who has been let in all along is told many changes
// by one patch; but not where that says nothing about what its own answers were.
func TestJoinedOnlyForWhoWasThere(t *testing.T) {
	for path, want := range map[string]string{"/asked/x": "patch", "/same/x": "snapshot"} {
		within(t, proving, func(w *world) {
			v := new(vault)
			w.answer(v.ServeHTTP)
			p := w.dial("/", as("alice"))
			p.send(`{"type":"subscribe","url":%q,"throttle":5000}`, path)
			p.next()
			for range 3 {
				v.n.Add(1)
				time.Sleep(1500 * time.Millisecond)
			}
			m := p.next()
			p.ws.CloseNow()
			if m["type"] != want {
				t.Errorf("%s: three changes are told by %.200s, want a %s", path, fmt.Sprint(m), want)
			}
		})
	}
}

// TestNothingFromBefore: who is let in is not shown what was last seen when nobody
// watched: it may be of a time at which the upstream would not have let him in.
func TestNothingFromBefore(t *testing.T) {
	for _, fails := range []bool{false, true} {
		within(t, proving, func(w *world) {
			v := new(vault)
			w.answer(v.ServeHTTP)
			v.secret.Store(true)
			v.closed.Store(true)
			bob := w.dial("/asked/x", as("bob"))
			bob.next()
			bob.ws.CloseNow()
			time.Sleep(10 * time.Minute)
			v.secret.Store(false)
			v.closed.Store(false)
			v.n.Add(1)
			w.answer(func(rw http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "operator" {
					time.Sleep(2 * time.Second)
					if fails {
						rw.WriteHeader(http.StatusBadGateway)
						return
					}
				}
				v.ServeHTTP(rw, r)
			})
			alice := w.dial("/asked/x", as("alice"))
			m := alice.next()
			alice.ws.CloseNow()
			if text := fmt.Sprint(m); strings.Contains(text, "canary") || fails != (m["type"] == "stale") {
				t.Errorf("alice is told %.300s first", text)
			}
		})
	}
}

// TestReloadWaitsForNobody: a socket that has to connect anew, which it may be told
// to much later, is sent nothing by rules that are not in force any more until then.
func TestReloadWaitsForNobody(t *testing.T) {
	const before = "drain: 10m\nendpoints: [{path: /a, interval: 1s, vary: []}, {path: /b, interval: 1s, vary: []}]\n"
	const after = "drain: 10m\nendpoints: [{path: /a, interval: 1s, vary: [Authorization]}, {path: /b, interval: 1s, vary: [], headers: {X-Key: two}}]\n"
	within(t, before, func(w *world) {
		var n atomic.Int64
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(rw, `{"n":%d,"key":%q}`, n.Load(), r.Header.Get("X-Key"))
		})
		p := w.dial("/a", as("ann"))
		p.send(`{"type":"subscribe","url":"/b"}`)
		p.next()
		p.next()
		said := p.collect()
		w.reload(after)
		n.Store(1)
		time.Sleep(5 * time.Second)
		for range len(said) {
			m := <-said
			if text := fmt.Sprint(m["data"], m["patch"]); m["url"] == "/a" || !strings.Contains(text, "key:two") {
				t.Errorf("sent %v, which is not the new rules'", m)
			}
		}
		if n := w.proxy.poller.Watched(); n != 1 {
			t.Errorf("%d resources are polled, want that of /b", n)
		}
	})
}
