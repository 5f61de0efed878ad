package proxy

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// TestDrain: every socket is closed with 1001, spread over the time, new ones
// are refused, and Drain returns when none is left.
func TestDrain(t *testing.T) {
	within(t, basic+"drain: 10s\n", func(w *world) {
		const n = 40
		start := time.Now()
		gone := make(chan time.Duration, n)
		for i := range n {
			path := "/"
			if i%2 == 0 {
				path = "/api/x"
			}
			cl := listen(w.dial(path, nil).ws)
			go func() {
				for {
					if _, err := cl.next(time.Minute); err != nil {
						if websocket.CloseStatus(err) != websocket.StatusGoingAway {
							t.Errorf("closed with %v", err)
						}
						gone <- time.Since(start)
						return
					}
				}
			}()
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.proxy.Drain(context.Background())
		}()
		synctest.Wait()
		refusedWhileDraining(w)
		time.Sleep(5 * time.Second)
		refusedWhileDraining(w)
		select {
		case <-done:
			t.Error("Drain returned with sockets open")
		default:
		}
		if half := len(gone); half < n/4 || half > 3*n/4 {
			t.Errorf("%d of %d were closed in the first half of the time", half, n)
		}
		<-done
		if d := time.Since(start); d < 8*time.Second || d > 11*time.Second {
			t.Errorf("Drain took %v", d)
		}
		synctest.Wait()
		if len(gone) != n {
			t.Errorf("%d of %d were closed", len(gone), n)
		}
		refusedWhileDraining(w)
		time.Sleep(time.Minute)
		if n := w.proxy.poller.Watched(); n != 0 {
			t.Errorf("%d resources are polled still", n)
		}
	})
}

// refusedWhileDraining checks that a new socket is refused, or let in and
// closed with 1001 before anything is said.
func refusedWhileDraining(w *world) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ws, res, err := websocket.Dial(ctx, "ws://proxy.test/api/x", &websocket.DialOptions{HTTPClient: w.http})
	if err != nil {
		if res == nil || res.StatusCode != http.StatusServiceUnavailable {
			w.t.Errorf("while draining: %v %v", res, err)
		}
		return
	}
	defer ws.CloseNow()
	if kind, text, err := ws.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		w.t.Errorf("while draining: %v %s %v", kind, text, err)
	}
}

// TestDrainOfNone returns at once, and so does a second.
func TestDrainOfNone(t *testing.T) {
	within(t, basic+"drain: 1h\n", func(w *world) {
		start := time.Now()
		w.proxy.Drain(context.Background())
		w.proxy.Drain(context.Background())
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// TestDrainUntilTheContextEnds: peers that say nothing are closed all the same,
// and a context that ends is obeyed.
func TestDrainUntilTheContextEnds(t *testing.T) {
	within(t, basic+"drain: 1s\n", func(w *world) {
		silent := w.raw("/api/x", "")
		first := silent.next()
		stuck := w.connect() // reads its answer to the handshake, and then nothing more
		go stuck.Write([]byte("GET / HTTP/1.1\r\n" + upgradeLines + "\r\n"))
		stuck.Read(make([]byte, 1<<10))
		for range 3 {
			go w.proxy.Drain(context.Background()) // more than once does no harm
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		w.proxy.Drain(ctx)
		if d := time.Since(start); d != 100*time.Millisecond {
			t.Errorf("returned after %v", d)
		}
		w.proxy.Drain(context.Background())
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("took %v", d)
		}
		if second := silent.next(); first != "snapshot" || second != "close 1001" {
			t.Errorf("the silent one got %s, %s", first, second)
		}
		silent.Close()
		stuck.Close()
	})
}
