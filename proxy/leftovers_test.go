package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// TestSubscribeCycles: whoever comes and goes, subscribes and unsubscribes,
// leaves nothing behind but what lingers.
func TestSubscribeCycles(t *testing.T) {
	within(t, basic, func(w *world) {
		synctest.Wait()
		before := runtime.NumGoroutine()
		cl := listen(w.dial("/", nil).ws)
		say := func(format string, args ...any) {
			if err := cl.ws.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 1000 {
			say(`{"type":"subscribe","url":"/api/%d","throttle":3600000}`, i%50)
			if i%3 == 0 {
				cl.next(time.Minute)
			}
			say(`{"type":"unsubscribe","url":"/api/%d"}`, i%50)
			time.Sleep(3 * time.Second / messageRate)
		}
		time.Sleep(10 * time.Second)
		if n := w.proxy.poller.Watched(); n != 0 {
			t.Errorf("%d resources are polled still", n)
		}
		cl.ws.CloseNow()
		for i := range 300 {
			ws := listen(w.dial(fmt.Sprintf("/api/%d", i%50), nil).ws)
			if i%2 == 0 {
				ws.next(time.Minute)
			}
			ws.ws.CloseNow()
		}
		w.http.CloseIdleConnections()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := w.proxy.poller.Watched(); n != 0 {
			t.Errorf("%d resources are polled still", n)
		}
		if after := runtime.NumGoroutine(); after > before+60 {
			t.Errorf("%d goroutines were %d before", after, before)
		}
	})
}

// heap is the number of bytes that are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestDroppedSubscriptionsHoldNothing: what a client has unsubscribed from is
// not kept until a throttle of an hour is over.
func TestDroppedSubscriptionsHoldNothing(t *testing.T) {
	if raceDetector {
		t.Skip("counts bytes, which takes long then")
	}
	within(t, `
endpoints:
  - {path: "/api/{thing}", interval: 100ms, linger: 0s, format: snapshot}
`, func(w *world) {
		const size = 1 << 20
		version := 0
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			version++
			fmt.Fprintf(rw, `{"v":%d,"pad":"%s"}`, version, strings.Repeat("x", size))
		})
		cl := listen(w.dial("/", http.Header{"Cookie": {"sid=1"}}).ws)
		before := heap()
		const n = 150
		for i := range n {
			m := fmt.Sprintf(`{"type":"subscribe","url":"/api/x","headers":{"Cookie":"sid=%d"},"throttle":3600000,"version":"none"}`, i)
			cl.ws.Write(context.Background(), websocket.MessageText, []byte(m))
			if _, err := cl.next(time.Minute); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond) // another version wakes it, and waits
		}
		// What is remembered for those who come back is bounded by 64 MiB.
		if held := heap() - before; held > (64+40)<<20 {
			t.Errorf("%d MiB are held after %d subscriptions of 1 MiB", held>>20, n)
		}
		cl.ws.CloseNow()
	})
}

// TestSlowClientHoldsNothing: a client that does not read and goes on sending
// makes nothing grow.
func TestSlowClientHoldsNothing(t *testing.T) {
	if raceDetector {
		t.Skip("counts bytes, which takes long then")
	}
	within(t, strings.Replace(basic, "interval: 1s, linger: 5s", "interval: 1m, linger: 0s", 1), func(w *world) {
		w.json(`{"pad":"` + strings.Repeat("x", 4<<20) + `"}`)
		conn := w.connect()
		go conn.Write([]byte("GET /api/big HTTP/1.1\r\n" + upgradeLines + "\r\n"))
		conn.Read(make([]byte, 1<<10))
		stop := make(chan struct{})
		go func() { // takes a little all the time, so that no write deadline passes
			for conn.SetReadDeadline(time.Now().Add(time.Hour)); ; time.Sleep(5 * time.Second) {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := io.CopyN(io.Discard, conn, 64<<10); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Second)
		w.json(`{"n":1}`)
		before := heap()
		const n, size = 500, 40 << 10
		for i := range n {
			m := fmt.Sprintf(`{"type":"subscribe","url":"/api/x","headers":{"Cookie":"sid=%d%s"}}`, i, strings.Repeat("x", size))
			conn.SetWriteDeadline(time.Now().Add(time.Minute))
			if _, err := conn.Write([]byte(rawText(m))); err != nil {
				t.Fatalf("after %d messages: %v", i, err)
			}
			time.Sleep(time.Second / messageRate)
		}
		time.Sleep(20 * time.Second) // what has nobody lingers no more
		w.mu.Lock()
		w.requests = nil
		w.mu.Unlock()
		if more := heap() - before; more > n*size/4 {
			t.Errorf("%d KiB more are held after %d messages of %d KiB", more>>10, n, size>>10)
		}
		close(stop)
		conn.Close()
	})
}
