package proxy

import (
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
