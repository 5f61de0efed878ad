package poller

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestFailuresDoNotComeBackTogether: resources that fail at one time, as all do
// when the upstream goes down, are not tried again at one time.
func TestFailuresDoNotComeBackTogether(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		const n = 40
		for i := range n {
			defer mustWatch(t, p, Request{Rule: rule(), URL: fmt.Sprint("/", i)}).Close()
		}
		settle(2 * time.Minute)
		u.mu.Lock()
		defer u.mu.Unlock()
		tries, when := make(map[string]int), make(map[time.Duration]int)
		for i, r := range u.requests {
			if tries[r.URL.Path]++; tries[r.URL.Path] == 4 {
				when[u.times[i].Sub(u.times[0]).Truncate(100*time.Millisecond)]++
			}
		}
		if len(when) < n/4 {
			t.Errorf("%d resources made their fourth try at %d times: %v", n, len(when), when)
		}
	})
}
