package proxy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollbridge/internal/field"
	"pollbridge/poller"
)

// cacheControl is the directives of a Cache-Control field (RFC 9111, section
// 5.2), names in lower case.
type cacheControl map[string]string

func parseCacheControl(h http.Header) cacheControl {
	c := make(cacheControl)
	for _, d := range field.List(h["Cache-Control"]) {
		name, value, _ := strings.Cut(d, "=")
		c[name] = strings.Trim(value, `"`)
	}
	return c
}

// parseRequestCacheControl also reads Pragma, which stands for Cache-Control
// where there is none (RFC 9111, section 5.4).
func parseRequestCacheControl(h http.Header) cacheControl {
	c := parseCacheControl(h)
	if len(c) == 0 && slices.Contains(field.List(h["Pragma"]), "no-cache") {
		c["no-cache"] = ""
	}
	return c
}

func (c cacheControl) has(name string) bool {
	_, ok := c[name]
	return ok
}

// age returns how old a directive lets a document be.
func (c cacheControl) age(name string, otherwise time.Duration) time.Duration {
	if v, ok := c[name]; ok {
		return seconds(v)
	}
	return otherwise
}

// seconds reads a number of seconds; zero where it is none.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// mayBe is how long ago a document may have been confirmed for it to be the
// answer to a GET: no longer than the interval in force, than the upstream
// says that it is fresh (RFC 9111, section 4.2), and than the client accepts.
// Zero means that the upstream has to be asked, once for all who wait.
func mayBe(ask cacheControl, s *poller.Snapshot, interval time.Duration) time.Duration {
	if ask.has("no-cache") {
		return 0
	}
	allowed := interval
	var initial time.Duration
	if s != nil {
		header, at := s.Header()
		initial = ageOnArrival(header, at)
		if lifetime, ok := lifetime(header); ok {
			allowed = min(allowed, lifetime-initial-ask.age("min-fresh", 0))
		}
	}
	return max(0, min(allowed, ask.age("max-age", interval+initial)-initial))
}

// lifetime is how long the upstream says that its answer is fresh (RFC 9111,
// section 4.2.1); not ok where it says nothing, and the interval alone counts.
func lifetime(h http.Header) (d time.Duration, ok bool) {
	said := parseCacheControl(h)
	if said.has("no-cache") {
		return 0, true
	}
	for _, name := range []string{"s-maxage", "max-age"} {
		if v, ok := said[name]; ok {
			return seconds(v), true
		}
	}
	if len(h["Expires"]) == 0 {
		return 0, false
	}
	expires, err := http.ParseTime(h.Get("Expires"))
	if err != nil || len(h["Expires"]) > 1 {
		return 0, true // invalid, "0" above all, means that it has expired
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		date = time.Now()
	}
	return max(0, expires.Sub(date)), true
}

// ageOnArrival is how old an answer was when it came (RFC 9111, section 4.2.3).
func ageOnArrival(h http.Header, at time.Time) time.Duration {
	age := seconds(h.Get("Age"))
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		age = max(age, at.Sub(date).Truncate(time.Second))
	}
	return age
}
