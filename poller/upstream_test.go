package poller

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollbridge/internal/pipe"
)

// An upstream is a real HTTP server in memory that answers as told.
type upstream struct {
	mu       sync.Mutex // guards the fields below
	handler  http.HandlerFunc
	requests []*http.Request
	times    []time.Time
	inFlight int
	overlap  bool
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.requests = append(u.requests, r)
	u.times = append(u.times, time.Now())
	u.inFlight++
	u.overlap = u.overlap || u.inFlight > 1
	h := u.handler
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		u.inFlight--
		u.mu.Unlock()
	}()
	h(w, r)
}

func (u *upstream) answer(h http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.handler = h
}

// body has the upstream answer 200 with a JSON body.
func (u *upstream) body(text string) {
	u.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, text)
	})
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.requests)
}

// run runs f in a bubble with a poller in front of an upstream.
func run(t *testing.T, f func(t *testing.T, p *Poller, u *upstream)) {
	runWith(t, Options{}, f)
}

func runWith(t *testing.T, o Options, f func(t *testing.T, p *Poller, u *upstream)) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		u.body(`{"n":1}`)
		l := pipe.Listen()
		server := &http.Server{Handler: u, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		go server.Serve(l)
		transport := l.Transport()
		o.Transport = transport
		p := New(o)
		f(t, p, u)
		p.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
}

// pause holds an answer back, unless the request has ended.
func pause(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

func rule() *Rule {
	return &Rule{Name: "/x", Upstream: origin, Interval: time.Second, Linger: 10 * time.Second}
}

var origin = &url.URL{Scheme: "http", Host: "upstream.test"}

// a counter counts wakes.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) Wake() {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
}

func mustWatch(t *testing.T, p *Poller, req Request) *Watch {
	t.Helper()
	w, err := p.Watch(req, new(counter))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
