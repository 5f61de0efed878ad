// Package advise watches the requests that pass through, finds those that are
// polls, and writes the rules that would push them.
//
// A poll is a GET that one client repeats at a steady pace. What is kept of a
// request is when it came, its path, which of the headers that tell users apart
// it had, and hashes; of the answers, the two newest of a few URLs, to see what
// in them changes. No value of a header or of a query is kept, and nothing is
// written but paths and the names of members.
package advise

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// An Adviser is told of requests by its Handler. The zero value knows nothing.
type Adviser struct {
	mu     sync.Mutex // guards the fields below
	series map[uint64]*series
	kept   int // series that keep answers
}

// What is kept is bounded, whatever clients do.
const (
	maxSeries = 10_000
	maxTimes  = 64
	maxKept   = 100       // series whose answers are kept
	maxBody   = 256 << 10 // bytes of one
)

// series are the requests of one client for one path with parameters of the
// same names.
type series struct {
	path       string
	client     uint64
	names      []string          // of query parameters
	values     []map[uint64]bool // hashes of the values of each
	times      []time.Time       // of the newest requests, oldest first
	seen       int
	bytes      int64
	sent       map[string]bool // headers that tell users apart
	answers    [2][]byte       // the newest but one, and the newest
	answeredAt [2]time.Time
}

var seed = maphash.MakeSeed()

// telling are names of headers by which APIs tell users apart.
var telling = regexp.MustCompile(`(?i)^(authorization|cookie|x-.*(auth|key|token|tenant|session|user|account).*)$`)

// Handler passes requests on to next and takes note of them.
func (a *Adviser) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get("Upgrade") != "" || r.Header.Get("Accept") == "text/event-stream" {
			next.ServeHTTP(w, r)
			return
		}
		t := &tap{ResponseWriter: w}
		began := time.Now()
		next.ServeHTTP(t, r)
		a.note(r, t, began)
	})
}

// note takes a request down.
func (a *Adviser) note(r *http.Request, t *tap, began time.Time) {
	if t.status != http.StatusOK && t.status != http.StatusNotModified {
		return
	}
	names, values := parameters(r.URL.RawQuery)
	client := clientOf(r)
	path := r.URL.EscapedPath()
	key := maphash.String(seed, path+"?"+strings.Join(names, "&")) ^ client
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.series[key]
	if s == nil {
		if len(a.series) >= maxSeries {
			return
		}
		if a.series == nil {
			a.series = map[uint64]*series{}
		}
		s = &series{path: path, client: client, names: names, values: make([]map[uint64]bool, len(names)), sent: map[string]bool{}}
		a.series[key] = s
	}
	s.add(r, values, t, began)
	if body, ok := t.whole(); ok && (s.answers[1] != nil || a.kept < maxKept) {
		if s.answers[1] == nil {
			a.kept++
		}
		s.answers, s.answeredAt = [2][]byte{s.answers[1], body}, [2]time.Time{s.answeredAt[1], began}
	}
}

func (s *series) add(r *http.Request, values []uint64, t *tap, began time.Time) {
	s.seen++
	s.bytes += t.bytes
	if s.times = append(s.times, began); len(s.times) > maxTimes {
		s.times = slices.Delete(s.times, 0, 1)
	}
	for i, v := range values {
		if s.values[i] == nil {
			s.values[i] = map[uint64]bool{}
		}
		if len(s.values[i]) < maxTimes {
			s.values[i][v] = true
		}
	}
	for name := range r.Header {
		if telling.MatchString(name) && len(s.sent) < 10 {
			s.sent[name] = true
		}
	}
}

// parameters returns the names of a query's parameters, sorted, and hashes of
// their values.
func parameters(query string) (names []string, values []uint64) {
	pairs := strings.Split(query, "&")
	slices.Sort(pairs)
	for _, p := range pairs {
		if p == "" {
			continue
		}
		name, value, _ := strings.Cut(p, "=")
		names = append(names, name)
		values = append(values, maphash.String(seed, value))
	}
	return names, values
}

// clientOf is a hash of who asks: tabs of one browser are one client.
func clientOf(r *http.Request) uint64 {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	var h maphash.Hash
	h.SetSeed(seed)
	for _, v := range []string{host, r.Header.Get("X-Forwarded-For"), r.Header.Get("User-Agent"), r.Header.Get("Authorization"), r.Header.Get("Cookie")} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(v))))
		h.WriteString(v)
	}
	return h.Sum64()
}

// A tap passes an answer on and keeps a copy of its beginning.
type tap struct {
	http.ResponseWriter
	status int
	bytes  int64
	body   bytes.Buffer
}

// Unwrap is for http.ResponseController.
func (t *tap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *tap) WriteHeader(status int) {
	if status >= 200 && t.status == 0 {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *tap) Write(p []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	t.bytes += int64(len(p))
	if t.body.Len() <= maxBody {
		t.body.Write(p)
	}
	return t.ResponseWriter.Write(p)
}

// whole returns the body, decompressed; not ok where it is not all there, or no
// JSON by its type.
func (t *tap) whole() (body []byte, ok bool) {
	if t.status != http.StatusOK || t.body.Len() == 0 || t.body.Len() > maxBody || !strings.Contains(t.Header().Get("Content-Type"), "json") {
		return nil, false
	}
	switch t.Header().Get("Content-Encoding") {
	case "":
		return t.body.Bytes(), true
	case "gzip":
		z, err := gzip.NewReader(&t.body)
		if err != nil {
			return nil, false
		}
		body, err = io.ReadAll(io.LimitReader(z, maxBody+1))
		return body, err == nil && len(body) <= maxBody
	}
	return nil, false
}
