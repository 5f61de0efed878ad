package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

// What browsers do by themselves with a rule's URL: EventSource, WebSocket and
// fetch as they are, without a line of ours on the page.

// A site is what a browser test takes place on.
type site struct {
	*page
	legacy *api
	relay  *relay
	yaml   string
	server *running
	friend string // another site's origin, which the configuration lists
	other  string // and one that it does not
}

// newSite opens a tab and runs pollbridge before a legacy API, both behind one
// address that stays.
func newSite(t *testing.T) *site {
	t.Parallel()
	s := &site{page: openPage(t), legacy: newAPI(t), relay: newRelay(t), friend: emptySite(t), other: emptySite(t)}
	s.legacy.set("/page", "<!doctype html><title>legacy</title>")
	s.legacy.set("/api/orders", orders("new"))
	s.legacy.set("/api/slow", orders("new"))
	s.yaml = "upstream: " + s.legacy.URL + "\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\norigins: [\"" + s.friend + "\"]\ndrain: 0s\n" +
		"endpoints:\n  - {path: /api/orders, interval: 50ms}\n  - {path: /api/slow, interval: 1h}\n"
	s.serve()
	return s
}

// emptySite serves an empty page at every path and returns its origin.
func emptySite(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!doctype html><title>empty</title>")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// serve starts pollbridge, or another in its place.
func (s *site) serve() {
	s.t.Helper()
	if s.server != nil {
		s.server.signal(syscall.SIGKILL)
		s.server.code()
	}
	s.server = serveConfig(s.t, s.yaml)
	s.relay.to(s.server.address)
}

func (s *site) origin() string { return "http://" + s.relay.Addr().String() }

// run evaluates JavaScript. It waits for a promise.
func (s *site) run(script string) {
	s.t.Helper()
	if _, err := chromedp.Run(s.ctx, chromedp.Evaluate[any](script, chromedp.EvalAwaitPromise)); err != nil {
		s.t.Fatalf("%s: %v", script, err)
	}
}

// listen opens an EventSource that keeps what it is sent in window.events.
func (s *site) listen(url, init string) {
	s.t.Helper()
	s.run(`window.events = []; window.errors = 0
		window.source = new EventSource('` + url + `', ` + init + `)
		source.onerror = () => errors++
		for (const type of ['snapshot', 'patch', 'current', 'stale', 'end'])
			source.addEventListener(type, e => events.push({type, id: e.lastEventId, ...JSON.parse(e.data)}))
		null`)
}

// event waits for the n-th event, which satisfies a condition on e.
func (s *site) event(n int, condition string) {
	s.t.Helper()
	s.until(fmt.Sprintf("events.length >= %d", n))
	s.holds(fmt.Sprintf("(e => %s)(events[%d])", condition, n-1))
}

// holds checks that an expression is true now, and shows the events otherwise.
func (s *site) holds(expression string) {
	s.t.Helper()
	v, err := chromedp.Run(s.ctx, chromedp.Evaluate[string](`(`+expression+`) ? '' : JSON.stringify({events: window.events, seen: window.seen})`))
	if err != nil || v != "" {
		s.t.Fatalf("%s does not hold: %v %s", expression, err, v)
	}
}

func TestBrowser(t *testing.T) {
	s := newSite(t)
	s.eventSource()
	s.eventSourceOfAnotherSite()
	s.webSocket()
	s.fetch()
	s.fetchFromAnotherSite()
}

func (s *site) eventSource() {
	s.open(s.origin() + "/page")
	s.listen("/api/orders", "{}")
	s.event(1, "e.type === 'snapshot' && e.id === e.version && e.data.length > 0")
	s.legacy.set("/api/orders", orders("paid"))
	s.event(2, "e.type === 'patch' && e.id === e.version && e.from === events[0].version")

	s.relay.cut() // the connection is lost: the browser comes back by itself, with Last-Event-ID
	s.legacy.set("/api/orders", orders("packed"))
	s.event(3, "e.type === 'patch' && e.from === events[1].version")

	s.serve() // another process, which remembers nothing, but the document is still the same
	s.event(4, "e.type === 'current' && e.version === events[2].version")
	s.holds("source.readyState === EventSource.OPEN && errors >= 2")
}

func (s *site) eventSourceOfAnotherSite() {
	s.open(s.friend)
	s.listen(s.origin()+"/api/orders", "{}")
	s.event(1, "e.type === 'snapshot'")
	s.relay.cut()
	s.event(2, "e.type === 'current'")
	s.run("source.close(); document.cookie = 'sid=alice'; null") // cookies know no ports: it is sent from here on
	s.listen(s.origin()+"/api/orders", "{withCredentials: true}")
	s.event(1, "e.type === 'snapshot'")
	if !s.legacy.wasSent("Cookie", "sid=alice") {
		s.t.Error("the poll was made without the browser's cookie")
	}

	s.open(s.other)
	for _, init := range []string{"{}", "{withCredentials: true}"} {
		s.listen(s.origin()+"/api/orders", init)
		s.until("source.readyState === EventSource.CLOSED")
		s.holds("events.length === 0 && errors === 1")
	}
	s.run("window.socket = new WebSocket('ws" + strings.TrimPrefix(s.origin(), "http") + "/api/orders'); null")
	s.until("socket.readyState === WebSocket.CLOSED")
}

func (s *site) webSocket() {
	s.open(s.origin() + "/page")
	s.run(`window.events = []
		window.socket = new WebSocket('ws://' + location.host + '/')
		socket.onmessage = e => events.push(JSON.parse(e.data))
		socket.onopen = () => socket.send('Hello Server!')
		null`)
	s.event(1, "e.type === 'error' && e.error.code === 'bad_message'")
	s.run(`socket.send(JSON.stringify({type: 'subscribe', url: '/api/orders'})); null`)
	s.event(2, "e.type === 'snapshot' && e.url === '/api/orders'")
	s.legacy.set("/api/orders", orders("sent"))
	s.event(3, "e.type === 'patch' && e.from === events[1].version")
	s.holds("socket.readyState === WebSocket.OPEN")
}

// poll is fetch, keeping what is seen.
const poll = `window.seen = []; window.poll = async (url, init) => {
		performance.clearResourceTimings()
		const res = await fetch(url, init), text = await res.text()
		seen.push({status: res.status, text, etag: res.headers.get('ETag'), cache: res.headers.get('Cache-Status'), age: res.headers.get('Age'),
			bytes: performance.getEntriesByType('resource').at(-1).transferSize})
	}; null`

// The browser's cache asks with the version, and gives the page what it has
// when the answer is 304, which counts as 300 bytes (W3C Resource Timing).
func (s *site) fetch() {
	s.open(s.origin() + "/page")
	s.run(poll)
	s.run("poll('/api/orders')")
	s.run("poll('/api/orders')")
	s.holds(`seen[0].status === 200 && seen[0].bytes > 300 && seen[0].etag.includes('"')`)
	s.holds("seen[1].status === 200 && seen[1].bytes === 300 && seen[1].text === seen[0].text")
	s.legacy.set("/api/orders", orders("delivered"))
	s.run("(async () => { for (let i = 0; i < 500 && seen.at(-1).text === seen[0].text; i++) await poll('/api/orders') })()")
	s.holds("seen.at(-1).status === 200 && seen.at(-1).bytes > 300 && seen.at(-1).text.includes('delivered')")
}

func (s *site) fetchFromAnotherSite() {
	s.open(s.friend)
	s.run(poll)
	s.run("poll('" + s.origin() + "/api/slow', {credentials: 'include'})")
	s.run("poll('" + s.origin() + "/api/slow', {credentials: 'include'})")
	s.holds("seen[1].status === 200 && seen[1].text === seen[0].text && seen[1].cache.startsWith('pollbridge; hit') && seen[1].etag && seen[1].age === '0'")

	s.run("poll('" + s.origin() + "/api/orders')") // a long-poll needs leave beforehand, in a preflight request
	s.run("poll('" + s.origin() + "/api/orders', {headers: {'If-None-Match': seen[2].etag, Prefer: 'wait=1'}})")
	s.holds("seen[3].status === 304 && seen[3].etag === seen[2].etag")
	s.run("poll('" + s.origin() + "/api/orders', {headers: {'If-None-Match': seen[2].etag, Prefer: 'wait=50'}}); null")
	s.legacy.set("/api/orders", orders("returned"))
	s.until("seen.length > 4")
	s.holds("seen[4].status === 200 && seen[4].text.includes('returned')")

	s.open(s.other)
	s.run(poll)
	s.run("poll('" + s.origin() + "/api/slow').then(() => seen.push('read'), e => seen.push(e.name))")
	s.holds("seen[0] === 'TypeError'")
}

// A relay is an address that stays while what is behind it comes and goes, and
// connections that can be cut.
type relay struct {
	net.Listener

	mu     sync.Mutex // guards the fields below
	target string
	conns  map[net.Conn]bool
}

func newRelay(t *testing.T) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, conns: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); r.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.carry(c)
		}
	}()
	return r
}

func (r *relay) to(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = address
}

// cut ends all connections.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
	clear(r.conns)
}

func (r *relay) carry(front net.Conn) {
	defer front.Close()
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	back, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer back.Close()
	r.mu.Lock()
	r.conns[front], r.conns[back] = true, true
	r.mu.Unlock()
	go func() {
		io.Copy(back, front)
		back.Close()
	}()
	io.Copy(front, back)
}
