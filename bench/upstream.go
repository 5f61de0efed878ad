package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// An upstream is the API that pollbridge polls. A document has a part that
// stays and one that changes. A change is made, and gets its stamp, when it is
// first served, so that the wait for the next poll does not count.
type upstream struct {
	listener net.Listener
	server   *http.Server
	requests atomic.Int64
	every    time.Duration // the documents change by themselves so often; zero: when change is called
	make     func(channel, number int, now time.Time) []byte

	mu        sync.Mutex // guards the field below, and calls of make
	documents map[int]*document
}

type document struct {
	number int // of the change that is wanted
	made   int // of the change that body has
	body   []byte
	etag   string
}

// newUpstream serves documents at /api/0, /api/1, and so on, whose changes are
// of size bytes.
func newUpstream(size int) (*upstream, error) {
	still := pad(4 * size)
	return serveUpstream(0, func(channel, number int, now time.Time) []byte {
		return fmt.Appendf(nil, `{"change":%s,"still":%q}`, body(size, stamp(channel, number, now.UnixNano())), still)
	})
}

func serveUpstream(every time.Duration, make func(channel, number int, now time.Time) []byte) (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{listener: l, every: every, make: make, documents: map[int]*document{}}
	u.server = &http.Server{Handler: u}
	go u.server.Serve(l)
	return u, nil
}

func (u *upstream) address() string { return u.listener.Addr().String() }

func (u *upstream) close() { u.server.Close() }

// change has the next poll of a channel find a change.
func (u *upstream) change(channel, number int) {
	u.mu.Lock()
	u.document(channel).number = number
	u.mu.Unlock()
}

func (u *upstream) document(channel int) *document {
	d := u.documents[channel]
	if d == nil {
		d = &document{made: -1}
		u.documents[channel] = d
	}
	return d
}

// current is a channel's document as it is now.
func (u *upstream) current(channel int) (body []byte, etag string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d := u.document(channel)
	now := time.Now()
	if u.every > 0 {
		d.number = int(now.UnixNano() / int64(u.every))
	}
	if d.made != d.number {
		d.made = d.number
		d.body = u.make(channel, d.number, now)
		d.etag = strconv.Quote(strconv.Itoa(d.number))
	}
	return d.body, d.etag
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.requests.Add(1)
	channel, err := strconv.Atoi(r.URL.Path[len("/api/"):])
	if err != nil {
		http.NotFound(w, r)
		return
	}
	text, etag := u.current(channel)
	w.Header().Set("Etag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}
