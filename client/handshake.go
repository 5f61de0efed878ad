package client

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A HandshakeError is an HTTP answer that is no WebSocket: the URL is not
// pushed, or the client may not have it, or the server is overloaded.
type HandshakeError struct {
	URL        string
	Status     int           // the HTTP status
	RetryAfter time.Duration // what the server asked to wait, 0 if it did not
	Body       string        // how it begins
}

func newHandshakeError(url string, resp *http.Response) *HandshakeError {
	e := &HandshakeError{URL: url, Status: resp.StatusCode}
	if resp.Body != nil {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		e.Body = strings.TrimSpace(strings.ToValidUTF8(string(body), "\uFFFD"))
	}
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return e
}

func (e *HandshakeError) Error() string {
	s := fmt.Sprintf("connecting to %s: the server answered %d %s, want 101", e.URL, e.Status, http.StatusText(e.Status))
	if e.Body != "" {
		s += fmt.Sprintf(": %q", e.Body)
	}
	return s
}

// Temporary tells whether the same request may succeed later.
func (e *HandshakeError) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return e.Status >= 500
}

// maxRetryAfter bounds what a server may ask for.
const maxRetryAfter = time.Hour

// retryAfter reads the field of RFC 9110 section 10.2.3: seconds, or a date.
func retryAfter(field string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.Atoi(field); err == nil {
		wait = time.Duration(min(seconds, int(maxRetryAfter.Seconds()))) * time.Second
	} else if date, err := http.ParseTime(field); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
