package proxy

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSeldom holds that what happens all the time is told at once and then once in
// a while, and that none of it is forgotten.
func TestSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seldom
		told, missed := 0, 0
		for range 1000 { // over 100 s
			if n, ok := s.tell(10 * time.Second); ok {
				told++
				missed += n
			}
			time.Sleep(100 * time.Millisecond)
		}
		if told != 10 || told+missed != 1000-99 { // the last 99 are told with the next
			t.Errorf("told %d times, and %d that it was not", told, missed)
		}
		time.Sleep(time.Minute)
		if n, ok := s.tell(10 * time.Second); !ok || n != 99 {
			t.Errorf("after a while: %d, %v", n, ok)
		}
	})
}

// closed checks how many sockets were closed for a cause so far.
func (w *world) closed(why cause, n uint64) {
	w.t.Helper()
	synctest.Wait()
	if closed := w.proxy.Status().Closed; closed[why.String()] != n {
		w.t.Errorf("%d sockets were closed as %s, want %d: %v", closed[why.String()], why, n, closed)
	}
}

// TestCrowded: where there is too little memory, who opens a socket over a
// connection that is there is turned away as others are, and who asks once is
// answered.
func TestCrowded(t *testing.T) {
	within(t, served, func(w *world) {
		w.proxy.SetCrowded(true)
		if _, status, text := w.try("/api/x", nil); status != http.StatusServiceUnavailable || !strings.Contains(text, "limit reached: memory") {
			t.Errorf("a socket: %d %s", status, text)
		}
		res, err := w.http.Get("http://proxy.test/api/x")
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != http.StatusOK {
			t.Errorf("a GET: %s", res.Status)
		}
		w.proxy.SetCrowded(false)
		ws, status, _ := w.try("/api/x", nil)
		if ws == nil {
			t.Fatalf("a socket when there is room again: %d", status)
		}
		ws.CloseNow()
		if n := w.proxy.Status().Rejected[rejectMemory]; n != 1 {
			t.Errorf("%d counted, want 1", n)
		}
	})
}
