package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const proving = `
endpoints:
  - {path: /asked/x, interval: 1s, linger: 5s, authorize: true, headers: {Authorization: operator, X-Key: secret}, vary: [Authorization]}
  - {path: /same/x, interval: 1s, linger: 5s, authorize: same, headers: {Authorization: operator}, ignore: [/now]}
`

// TestSameIsNotBefore: that a client's own answer is what the shared document was
// a short while ago is no proof: what has come since may be for others only.
func TestSameIsNotBefore(t *testing.T) {
	within(t, proving, func(w *world) {
		old := `{"n":1,"pad":"` + big + `"}`
		var secret atomic.Bool
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			if secret.Load() && r.Header.Get("Authorization") == "operator" {
				io.WriteString(rw, strings.Replace(old, "{", `{"canary":1,`, 1))
				return
			}
			io.WriteString(rw, old)
		})
		alice := w.dial("/same/x", as("alice")).collect()
		time.Sleep(10 * time.Second)
		secret.Store(true) // for a while she is shown it: she is asked for again in reauthorize, 5m
		time.Sleep(10 * time.Second)
		bob := w.dial("/same/x", as("bob")).collect()
		time.Sleep(6 * time.Minute)
		if m := fmt.Sprint(lastOf(bob)); m == "map[]" || strings.Contains(m, "canary") {
			t.Errorf("bob was sent %.100s, want his own answer", m)
		}
		if m := lastOf(alice); m["type"] != "snapshot" || strings.Contains(fmt.Sprint(m), "canary") {
			t.Errorf("alice was sent %.100s last, want her own answer, which has not changed", fmt.Sprint(m))
		}
	})
}

// TestProvedBeforeShown: from when a client's own answer is another one it is shown
// nothing of the shared document that is newer, however long the comparison takes.
func TestProvedBeforeShown(t *testing.T) {
	within(t, proving, func(w *world) {
		var n, differs atomic.Int64 // of the shared document, and from when on alice's is another
		var changed atomic.Bool
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			switch {
			case r.Header.Get("Authorization") == "operator":
				if changed.Load() {
					time.Sleep(2 * time.Second)
				}
				if differs.Load() > 0 {
					n.Add(1)
				}
			case changed.Load():
				differs.CompareAndSwap(0, n.Load()+1)
				io.WriteString(rw, `{"n":0}`)
				return
			}
			fmt.Fprintf(rw, `{"n":%d}`, n.Load())
		})
		n.Store(1)
		alice := w.dial("/same/x", as("alice")).collect()
		time.Sleep(time.Minute)
		changed.Store(true)
		time.Sleep(10 * time.Minute)
		var last any
		for range len(alice) {
			m := <-alice
			data, _ := m["data"].(map[string]any)
			if last = data["n"]; m["type"] != "snapshot" || last != 0.0 && last != 1.0 {
				t.Errorf("alice was sent %v after she was answered otherwise", m)
			}
		}
		if last != 0.0 || differs.Load() == 0 {
			t.Errorf("alice was sent %v last, want her own document", last)
		}
	})
}

// TestShrunkIsNoDoubt: that a client's own answer has lost much is believed at once,
// whatever confirm_shrink says of the document: it may be that it sees less now.
func TestShrunkIsNoDoubt(t *testing.T) {
	const rules = "endpoints: [{path: /same/x, interval: 1s, linger: 5s, vary: [Authorization], authorize: same, headers: {Authorization: operator}, confirm_shrink: 0.5}]"
	for _, closes := range []bool{false, true} {
		within(t, rules, func(w *world) {
			var less atomic.Bool
			w.answer(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				if closes { // then the end of the body is that of the connection
					rw.Header().Set("Transfer-Encoding", "identity")
				}
				if less.Load() && r.Header.Get("Authorization") == "alice" {
					io.WriteString(rw, `{}`)
					return
				}
				fmt.Fprintf(rw, `{"pad":%q}`, big)
			})
			alice := w.dial("/same/x", as("alice")).collect()
			time.Sleep(time.Minute)
			less.Store(true)
			time.Sleep(5*time.Minute + 30*time.Second)
			if m := lastOf(alice); fmt.Sprint(m["data"]) != "map[]" {
				t.Errorf("closes %v: alice was sent %.200s last, want her own document", closes, fmt.Sprint(m))
			}
		})
	}
}

// TestAnsweredOtherwise: with authorize: same, too, an answer that is none of 2xx
// ends it for that client, and with authorize: true a 304 is leave.
func TestAnsweredOtherwise(t *testing.T) {
	within(t, proving, func(w *world) {
		var status atomic.Int64
		status.Store(200)
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			if r.Header.Get("Authorization") != "operator" {
				rw.WriteHeader(int(status.Load()))
			}
			if r.Header.Get("Authorization") == "operator" || status.Load() == 200 {
				fmt.Fprintf(rw, `{"now":%d,"n":1}`, time.Now().UnixNano())
			}
		})
		same := w.dial("/same/x", as("alice")).collect()
		time.Sleep(10 * time.Second)
		status.Store(404)
		time.Sleep(5 * time.Minute)
		if m := lastOf(same); m["type"] != "end" {
			t.Errorf("sent %v last, want the end: she was answered by 404", m)
		}
		status.Store(304)
		asked := w.dial("/asked/x", as("bob")).collect()
		time.Sleep(10 * time.Second)
		if m := lastOf(asked); m["type"] != "snapshot" && m["type"] != "patch" {
			t.Errorf("sent %v last, want what 304 gives leave for", m)
		}
	})
}

// TestIgnoredIsProved: with authorize: same a reload that changes ignore changes
// who is shown the shared document.
func TestIgnoredIsProved(t *testing.T) {
	one := testRoutes(t, proving)
	two := testRoutes(t, strings.ReplaceAll(proving, "/now", "/other"))
	for path, want := range map[string]bool{"/asked/x": true, "/same/x": false} {
		if got := two.byPath[path].asksLike(one.byPath[path]); got != want {
			t.Errorf("%s goes on: %v", path, got)
		}
	}
}

// TestFailureIsNoOtherAnswer: that a client cannot be asked again does not make its
// answer another one: it is not polled for alone because of that.
func TestFailureIsNoOtherAnswer(t *testing.T) {
	within(t, proving, func(w *world) {
		var asked atomic.Int64
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			time.Sleep(100 * time.Millisecond)
			switch n := asked.Load(); {
			case r.Header.Get("Authorization") == "operator":
			case n == 0: // of a replica that is behind
				asked.Add(1)
				io.WriteString(rw, `{"n":0}`)
				return
			case n < 3:
				asked.Add(1)
				rw.WriteHeader(http.StatusBadGateway)
				return
			default:
				asked.Add(1)
			}
			io.WriteString(rw, `{"n":1}`)
		})
		alice := w.dial("/same/x", as("alice")).collect()
		time.Sleep(time.Hour)
		if m := lastOf(alice); fmt.Sprint(m["data"]) != "map[n:1]" || asked.Load() > 30 {
			t.Errorf("sent %v last, having asked for alice %d times in an hour", m, asked.Load())
		}
	})
}
