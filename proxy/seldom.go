package proxy

import (
	"sync"
	"time"
)

// A seldom keeps what may happen all the time from filling the log: it is told
// at once when it has not happened for a while, and then once in a while. The
// zero value works.
type seldom struct {
	mu     sync.Mutex // guards the fields below
	next   time.Time  // when it may be told again
	missed int        // how often it was not told since
}

// tell reports whether something that has happened now is to be told, when it was
// not in so long, and how often it has happened in the meantime.
func (s *seldom) tell(every time.Duration) (missed int, ok bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		s.missed++
		return 0, false
	}
	missed, s.missed, s.next = s.missed, 0, now.Add(every)
	return missed, true
}

// tellEvery is how often what goes on happening is told.
const tellEvery = 10 * time.Second
