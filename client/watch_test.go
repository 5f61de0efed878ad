package client

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// watchFor runs a watch for some simulated time and returns its updates.
func watchFor(t *testing.T, d time.Duration, o Options, h http.HandlerFunc) (updates []Update) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	o.NetDial = serve(t, h)
	for u, err := range Watch(ctx, "http://server.test/x", &o) {
		if err == nil {
			updates = append(updates, u)
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the watch ended with %v", err)
		}
	}
	time.Sleep(time.Hour) // whatever the server is still doing ends
	return updates
}

func accept(t *testing.T, w http.ResponseWriter, r *http.Request) *websocket.Conn {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Subprotocol}})
	if err != nil {
		t.Error(err)
	}
	return conn
}

// A log is when something happened.
type log struct {
	mu    sync.Mutex // guards times
	times []time.Time
}

// add returns how often it has happened now.
func (l *log) add() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times = append(l.times, time.Now())
	return len(l.times)
}

func (l *log) all() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.times
}

// drain reads, and so answers pings, until the client goes.
func drain(conn *websocket.Conn) {
	defer conn.CloseNow()
	for {
		if _, _, err := conn.Read(context.Background()); err != nil {
			return
		}
	}
}

const snapshotV1 = `{"type":"snapshot","url":"/x","version":"v1","at":"2026-05-01T10:00:00Z","data":1}`

// TestBackoff: the waits stay below a bound that doubles from 1 s to 30 s,
// and use all of it.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen log
		updates := watchFor(t, 2*time.Hour, Options{}, func(w http.ResponseWriter, r *http.Request) {
			seen.add()
			http.Error(w, "no", http.StatusServiceUnavailable)
		})
		attempts := seen.all()
		if len(updates) != 1 || updates[0].Stale.Code != CodeDisconnected || !updates[0].Since.Equal(attempts[0]) {
			t.Errorf("got updates %v, want one that says since when there is no connection", updates)
		}
		bound, longest := time.Second, time.Duration(0)
		for i := 1; i < len(attempts); i++ {
			wait := attempts[i].Sub(attempts[i-1])
			if wait >= bound {
				t.Errorf("attempt %d came after %s, want less than %s", i, wait, bound)
			}
			longest = max(longest, wait)
			bound = min(2*bound, 30*time.Second)
		}
		// 2 h in waits of 15 s on average: 480, give or take 6 standard deviations.
		if n := len(attempts); n < 400 || n > 570 || longest < 25*time.Second {
			t.Errorf("%d attempts in 2 h, the longest wait %s: that is not full jitter up to 30 s", n, longest)
		}
	})
}

// TestBackoffResets only after a connection that lasted: one that is made and
// lost at once is a failure like any other.
func TestBackoffResets(t *testing.T) {
	for _, lasts := range []time.Duration{0, stableAfter} {
		synctest.Test(t, func(t *testing.T) {
			var made, ended log
			watchFor(t, 2*time.Hour, Options{}, func(w http.ResponseWriter, r *http.Request) {
				made.add()
				conn := accept(t, w, r)
				time.Sleep(lasts)
				ended.add()
				conn.CloseNow()
			})
			attempts, lost := made.all(), ended.all()
			longest := time.Duration(0)
			for i := 1; i < len(attempts); i++ {
				longest = max(longest, attempts[i].Sub(lost[i-1]))
			}
			if quick := longest < time.Second; quick != (lasts > 0) {
				t.Errorf("connections of %s: the longest wait was %s", lasts, longest)
			}
		})
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen log
		watchFor(t, 5*time.Minute, Options{}, func(w http.ResponseWriter, r *http.Request) {
			seen.add()
			w.Header().Set("Retry-After", "100")
			http.Error(w, "no", http.StatusTooManyRequests)
		})
		attempts := seen.all()
		if len(attempts) != 3 && len(attempts) != 2 {
			t.Errorf("%d attempts in 5 min, want one per 100 s and a little", len(attempts))
		}
		for i := 1; i < len(attempts); i++ {
			if wait := attempts[i].Sub(attempts[i-1]); wait < 100*time.Second {
				t.Errorf("came back after %s, want 100 s or more", wait)
			}
		}
	})
}

// TestKeepAlive: a server that only pongs is kept for ever, one that does
// not even that is given up after a ping, and the stay is resumed elsewhere.
func TestKeepAlive(t *testing.T) {
	for _, pongs := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var seen log
			updates := watchFor(t, time.Hour, Options{}, func(w http.ResponseWriter, r *http.Request) {
				n := seen.add()
				conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
					Subprotocols:   []string{Subprotocol},
					OnPingReceived: func(context.Context, []byte) bool { return pongs || n > 1 },
				})
				if err != nil {
					t.Error(err)
					return
				}
				go drain(conn)
				conn.Write(context.Background(), websocket.MessageText, []byte(snapshotV1))
			})
			attempts := seen.all()
			if pongs && (len(attempts) != 1 || len(updates) != 1) {
				t.Errorf("a server that pongs was left: connections at %s", attempts)
			}
			if pongs {
				return
			}
			if len(attempts) != 2 || len(updates) != 3 {
				t.Fatalf("a server that is silent: connections at %s, want two", attempts)
			}
			if wait := attempts[1].Sub(attempts[0]); wait < 40*time.Second || wait > 41*time.Second {
				t.Errorf("a server that is silent was left after %s, want 40 to 41 s", wait)
			}
		})
	}
}

// TestSlowLoop: while the loop is busy nothing is read, pings included, and
// a connection is not given up for it.
func TestSlowLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts log
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		o := Options{NetDial: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			attempts.add()
			conn := accept(t, w, r)
			go drain(conn)
			conn.Write(ctx, websocket.MessageText, []byte(snapshotV1))
			time.Sleep(10*time.Minute + 10*time.Second)
			conn.Write(ctx, websocket.MessageText, []byte(strings.ReplaceAll(snapshotV1, "v1", "v2")))
		}))}
		var versions []string
		for u, err := range Watch(ctx, "ws://server.test/x", &o) {
			if err != nil {
				break
			}
			versions = append(versions, u.Version)
			time.Sleep(9 * time.Minute)
		}
		time.Sleep(time.Hour)
		if got := strings.Join(versions, " "); len(attempts.all()) != 1 || got != "v1 v2" {
			t.Errorf("got %s in %d connections, want v1 v2 in one", got, len(attempts.all()))
		}
	})
}

func TestWatchBadURL(t *testing.T) {
	for url, want := range map[string]string{
		"/api/x":       `the URL "/api/x" has no host`,
		"http://h/%zz": `parse "http://h/%zz": invalid URL escape "%zz"`,
		"ftp://h/x":    `the URL "ftp://h/x" is none of ws, wss, http and https`,
	} {
		count := 0
		for _, err := range Watch(t.Context(), url, nil) {
			if count++; err == nil || err.Error() != want {
				t.Errorf("%s: got %v, want %s", url, err, want)
			}
		}
		if count != 1 {
			t.Errorf("%s: %d rounds, want the one with the error", url, count)
		}
	}
}

// TestWatchTwice: a sequence can be ranged over again, from its start.
func TestWatchTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{NetDial: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn := accept(t, w, r)
			conn.Write(r.Context(), websocket.MessageText, []byte(snapshotV1))
			drain(conn)
		}))}
		sequence := Watch(t.Context(), "http://server.test/x", &o)
		for range 2 {
			for u, err := range sequence {
				if err != nil || u.Version != "v1" {
					t.Errorf("got %v, %v", u, err)
				}
				break
			}
		}
	})
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		u    Update
		want string
	}{
		{Update{Data: []byte(`["a\n","b"]`), Lines: true}, "a\nb"},
		{Update{Data: []byte(`[]`), Lines: true}, ""},
		{Update{Data: []byte(`["a\n","b"]`)}, `["a\n","b"]`},
		{Update{Data: []byte(`{"a":1}`), Lines: true}, `{"a":1}`},
		{Update{}, ""},
	} {
		if got := c.u.Text(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.u.Data, got, c.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	for field, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"-5":                            0,
		"120":                           2 * time.Minute,
		"9999999999":                    time.Hour,
		"Fri, 01 May 2026 10:00:30 GMT": 30 * time.Second,
		"Fri, 01 May 2026 09:00:00 GMT": 0,
		"Fri, 01 May 2099 09:00:00 GMT": time.Hour,
		"soon":                          0,
	} {
		if got := retryAfter(field, now); got != want {
			t.Errorf("Retry-After: %s is %s, want %s", field, got, want)
		}
	}
}
