package demo

import (
	"net/http"
	"strconv"
	"time"
)

// The longest that the page's two switches can last.
const (
	maxOutage = 10 * time.Second
	maxFreeze = 60 * time.Second
)

// live brings the city up to now, unless it stands still; the time that it stood
// still is skipped when it moves again. The caller holds l.mu.
func (l *Legacy) live(now time.Time) {
	if now.Before(l.frozenUntil) {
		return
	}
	l.city.skip(l.frozenUntil)
	l.city.advance(now)
}

// outage answers POST /admin/outage?seconds=5: the API (not this page) answers
// 503 for so long.
func (l *Legacy) outage(w http.ResponseWriter, r *http.Request) {
	l.setDeadline(w, r, &l.outageUntil, maxOutage)
}

// freeze answers POST /admin/freeze?seconds=10: nothing happens in the city for
// so long. The API goes on answering.
func (l *Legacy) freeze(w http.ResponseWriter, r *http.Request) {
	l.setDeadline(w, r, &l.frozenUntil, maxFreeze)
}

// setDeadline sets deadline, which l.mu guards, to as many seconds from now as
// the request asks for: more than longest is as much as longest, 0 ends it.
func (l *Legacy) setDeadline(w http.ResponseWriter, r *http.Request, deadline *time.Time, longest time.Duration) {
	seconds, err := strconv.Atoi(r.FormValue("seconds"))
	if err != nil || seconds < 0 {
		http.Error(w, "seconds must be a whole number, 0 or more", http.StatusBadRequest)
		return
	}
	now := time.Now()
	l.mu.Lock()
	l.live(now)
	*deadline = now.Add(min(time.Duration(seconds)*time.Second, longest))
	l.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// stats answers what the legacy server has been asked so far, path by path, and
// what the switches are set to. Times are Unix milliseconds; a switch that is
// off is 0.
func (l *Legacy) stats(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	l.mu.Lock()
	body := marshal(object{
		"now": now.UnixMilli(), "started": l.started.UnixMilli(), "paths": l.counts,
		"outage_until": pending(l.outageUntil, now), "frozen_until": pending(l.frozenUntil, now),
	})
	l.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

func pending(deadline, now time.Time) int64 {
	if deadline.After(now) {
		return deadline.UnixMilli()
	}
	return 0
}
