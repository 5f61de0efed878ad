package demo

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// manners is how an endpoint of the legacy server behaves beyond its body. The
// zero value is the commonest kind: JSON and nothing that helps a cache.
type manners struct {
	contentType string // default application/json
	cache       string // Cache-Control, where it says anything
	etag        func(c *city, r *http.Request, body []byte) string
}

// count is what the legacy server was asked on one path.
type count struct {
	Requests    int64 `json:"requests"`
	NotModified int64 `json:"not_modified"`
	Failed      int64 `json:"failed"`
	Bytes       int64 `json:"bytes"` // of bodies, as sent: after gzip
}

// answer is a response that is ready to be sent.
type answer struct {
	status int
	etag   string
	body   []byte
}

// api serves a document: slowly, compressed when asked to, and not at all while
// the outage lasts.
func (l *Legacy) api(m manners, d document) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !think(r) {
			return
		}
		a, down := l.render(m, d, r)
		sent := 0
		switch {
		case down > 0:
			a.status = http.StatusServiceUnavailable
			unavailable(w, down)
		case a.etag != "" && r.Header.Get("If-None-Match") == a.etag:
			a.status = http.StatusNotModified
			w.Header().Set("ETag", a.etag)
			w.WriteHeader(a.status)
		default:
			sent = m.send(w, r, a)
		}
		l.tally(r, a.status, sent)
	}
}

// think takes the 5 to 30 ms that a legacy server takes, and reports whether
// the client is still there.
func think(r *http.Request) bool {
	pause := time.NewTimer(5*time.Millisecond + rand.N(25*time.Millisecond))
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// render makes the answer from the city as it is now; down is how long an outage
// will still last, if there is one.
func (l *Legacy) render(m manners, d document, r *http.Request) (a answer, down time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.live(now)
	if down = l.outageUntil.Sub(now); down > 0 {
		return a, down
	}
	document, status := d(l.city, r)
	a.status = status
	if text, ok := document.(string); ok {
		a.body = []byte(text)
	} else {
		a.body = marshal(document)
	}
	if m.etag != nil && status == http.StatusOK {
		a.etag = m.etag(l.city, r, a.body)
	}
	return a, 0
}

// marshal writes names with & in them as people wrote them.
func marshal(document any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(document); err != nil {
		panic(fmt.Sprintf("demo: a document of our own cannot be marshalled: %v", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// send writes the answer and returns how many bytes its body took.
func (m manners) send(w http.ResponseWriter, r *http.Request, a answer) int {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if m.contentType != "" && a.status == http.StatusOK {
		h.Set("Content-Type", m.contentType)
	}
	h.Set("Vary", "Accept-Encoding")
	if m.cache != "" {
		h.Set("Cache-Control", m.cache)
	}
	if a.etag != "" {
		h.Set("ETag", a.etag)
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		a.body = compress(a.body)
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	n, _ := w.Write(a.body) // a client that went away got less
	return n
}

// packers keeps gzip's writers, whose tables are larger than any body here.
var packers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func compress(body []byte) []byte {
	var b bytes.Buffer
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(&b)
	z.Write(body) // a bytes.Buffer does not fail
	z.Close()
	return b.Bytes()
}

// unavailable is what the load balancer in front of a dead server says: HTML,
// whatever was asked for.
func unavailable(w http.ResponseWriter, left time.Duration) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(left.Seconds()))))
	w.WriteHeader(http.StatusServiceUnavailable)
	w.Write([]byte("<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"))
}

func bodyETag(_ *city, _ *http.Request, body []byte) string {
	sum := sha256.Sum256(body)
	return fmt.Sprintf(`"%x"`, sum[:8])
}

// tally counts a request under its path, or under its pattern where a part of
// it is a parameter: the number of entries is bounded.
func (l *Legacy) tally(r *http.Request, status, sent int) {
	_, path, _ := strings.Cut(r.Pattern, " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts[path]
	if c == nil {
		c = new(count)
		l.counts[path] = c
	}
	c.Requests++
	c.Bytes += int64(sent)
	switch {
	case status == http.StatusNotModified:
		c.NotModified++
	case status >= 500:
		c.Failed++
	}
}
