package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pollbridge/client"
)

// TestChaos runs the real binary between networks that fail and in front of an
// upstream that fails, and kills it. Whatever happens, nobody is shown a document
// that the upstream has not sent whole, nobody is taken back to an earlier one,
// and in the end everybody has the last.
func TestChaos(t *testing.T) {
	t.Parallel()
	const seed = 20260401
	storm, kills := 7*time.Second, 3
	if testing.Short() {
		storm, kills = 3*time.Second, 1
	}
	did := &deeds{count: make(map[string]int)}
	source := newFeed(t, seed, did)
	inner := newFaultyRelay(t, seed+1, source.server.Listener.Addr().String(), did)
	outer := newFaultyRelay(t, seed+2, "", did)
	dir := writeConfig(t, "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nupstream: http://"+inner.address()+chaosRules)
	serve := func() *running {
		r := &running{process: start(t, dir, "serve")}
		r.address = r.errors.wait(t, `msg=serving listen=(\S+) `)[1]
		outer.target.Store(r.address)
		return r
	}
	r := serve()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	var readers []*viewer
	for _, name := range names {
		for _, how := range []func(*viewer, context.Context){(*viewer).watch, (*viewer).watch, (*viewer).events, (*viewer).poll, (*viewer).longPoll} {
			c := &viewer{t: t, source: source, name: name, base: "http://" + outer.address(), r: rand.New(rand.NewPCG(seed, uint64(len(readers))))}
			readers = append(readers, c)
			running.Go(func() { how(c, ctx) })
		}
	}
	inner.storm()
	outer.storm()
	source.storm(true)
	for range kills {
		time.Sleep(storm / time.Duration(kills+1))
		r.signal(syscall.SIGKILL)
		<-r.exited
		did.add("killed")
		r = serve()
	}
	time.Sleep(storm / time.Duration(kills+1))
	for began := time.Now(); did.missing() != "" && time.Since(began) < patience; { // chance, or a slow machine, may take longer
		time.Sleep(10 * time.Millisecond)
	}
	source.storm(false)
	inner.calm()
	outer.calm()

	began := time.Now()
	for _, c := range readers {
		for !c.hasLast() && time.Since(began) < patience && !t.Failed() {
			time.Sleep(10 * time.Millisecond)
		}
		if !c.hasLast() {
			t.Errorf("%s by %s holds %d %v after the storm; the last is %d", c.name, c.kind, c.held(), time.Since(began).Round(time.Second), source.last(c.name))
		}
	}
	did.set("ms until all had the last", int(time.Since(began).Milliseconds()))
	cancel()
	running.Wait()
	t.Log(did)
	if name := did.missing(); name != "" {
		t.Errorf("never: %s", name)
	}
}

const chaosRules = `
drain: 0s
endpoints:
  - {path: "/json/{x}", interval: 40ms, timeout: 400ms, linger: 1s, vary: []}
  - {path: "/lines/{x}", interval: 40ms, timeout: 400ms, linger: 300ms, vary: []}
`

var names = []string{"/json/a", "/json/b", "/lines/a"}

// A feed is the upstream. Its documents are numbered.
type feed struct {
	t      *testing.T
	did    *deeds
	server *httptest.Server

	mu   sync.Mutex // guards the fields below
	r    *rand.Rand
	wild bool
	n    map[string]int
	sent map[string]map[int]bool // whole
}

func newFeed(t *testing.T, seed uint64, did *deeds) *feed {
	s := &feed{t: t, did: did, r: rand.New(rand.NewPCG(seed, 2)), n: make(map[string]int), sent: make(map[string]map[int]bool)}
	for _, name := range names {
		s.sent[name] = make(map[int]bool)
	}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	ctx := t.Context()
	go func() { // it goes on changing while there is a storm
		for ctx.Err() == nil {
			s.mu.Lock()
			if s.wild {
				s.n[names[s.r.IntN(len(names))]]++
			}
			s.mu.Unlock()
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return s
}

func (s *feed) storm(wild bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wild = wild
	for _, name := range names {
		s.n[name]++ // a last one that nobody has seen
	}
}

func (s *feed) last(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n[name]
}

func (s *feed) wasSent(name string, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[name][n]
}

// document is the one of a number.
func document(name string, n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 3))
	if strings.HasPrefix(name, "/lines") {
		var b strings.Builder
		fmt.Fprintf(&b, "n,%d\n", n)
		for i := range 20 {
			fmt.Fprintf(&b, "%d,%d,some more\n", i+n/10, r.IntN(2))
		}
		return b.String()
	}
	var items []string
	for i := range 20 {
		items = append(items, fmt.Sprintf(`{"id":%d,"v":%d,"text":"some more"}`, i+n/10, r.IntN(2)))
	}
	return fmt.Sprintf(`{"n":%d,"items":[%s],"name":%q}`, n, strings.Join(items, ","), name)
}

// ServeHTTP answers, more or less.
func (s *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	s.mu.Lock()
	how := ""
	if s.wild {
		how = []string{"", "", "", "", "", "500", "429", "garbage", "truncated", "hang", "drip", "abort"}[s.r.IntN(12)]
	}
	latency := time.Duration(s.r.IntN(15)) * time.Millisecond
	gzipped := s.r.IntN(3) == 0 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
	s.mu.Unlock()
	if how != "" {
		s.did.add(how)
	}
	time.Sleep(latency)
	s.mu.Lock()
	n := s.n[name]
	s.mu.Unlock()
	body := []byte(document(name, n))
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if strings.HasPrefix(name, "/lines") {
		h.Set("Content-Type", "text/csv")
	}
	switch how {
	case "500":
		w.WriteHeader(500)
		w.Write(body)
		return
	case "429":
		h.Set("Retry-After", "1")
		w.WriteHeader(429)
		return
	case "garbage":
		h.Set("Content-Type", "application/json")
		w.Write(append([]byte("<html>"), body[:len(body)/2]...))
		return
	case "truncated":
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body[:bytes.LastIndexByte(body[:len(body)-1], body[len(body)-1])+1]) // of a text, whole lines
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "hang":
		select {
		case <-r.Context().Done():
		case <-time.After(time.Second):
		}
		panic(http.ErrAbortHandler)
	case "abort":
		panic(http.ErrAbortHandler)
	}
	tag := fmt.Sprintf(`"%d"`, n)
	h.Set("Etag", tag)
	s.mu.Lock()
	s.sent[name][n] = true
	s.mu.Unlock()
	if r.Header.Get("If-None-Match") == tag {
		s.did.add("304")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.did.add("document")
	if gzipped {
		h.Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		defer zw.Close()
		zw.Write(body)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	for len(body) > 0 {
		piece := body
		if how == "drip" {
			piece = body[:min(len(body), 100)]
			time.Sleep(10 * time.Millisecond)
		}
		w.Write(piece)
		http.NewResponseController(w).Flush()
		body = body[len(piece):]
	}
}

// A viewer is one client.
type viewer struct {
	t          *testing.T
	source     *feed
	name, base string
	kind       string
	r          *rand.Rand

	mu sync.Mutex // guards n
	n  int        // of the document that it was shown last

	own int // of the last that was from the snapshot; only the reading goroutine uses it
}

func (c *viewer) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *viewer) hasLast() bool { return c.held() == c.source.last(c.name) }

// show takes in a document that the client is shown: JSON, of a text document
// the array of its lines. It may be no earlier than after.
func (c *viewer) show(doc []byte, after int) {
	var v struct{ N int }
	var lines []string
	text := ""
	if json.Unmarshal(doc, &lines) == nil && len(lines) > 0 {
		fmt.Sscanf(lines[0], "n,%d", &v.N)
		text = strings.Join(lines, "")
	} else if err := json.Unmarshal(doc, &v); err == nil {
		text = canonical(doc)
	}
	want := document(c.name, v.N)
	if !strings.HasPrefix(c.name, "/lines") {
		want = canonical([]byte(want))
	}
	if text != want || !c.source.wasSent(c.name, v.N) {
		c.t.Errorf("%s by %s was shown what the upstream has not sent: %s", c.name, c.kind, doc)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.N < after {
		c.t.Errorf("%s by %s was shown %d after %d", c.name, c.kind, v.N, after)
	}
	if v.N != c.n {
		c.source.did.add("seen by " + c.kind)
	}
	c.n = v.N
}

func canonical(doc []byte) string {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	d.Decode(&v)
	text, _ := json.Marshal(v)
	return string(text)
}

func (c *viewer) pause() { time.Sleep(time.Duration(10+c.r.IntN(100)) * time.Millisecond) }

// watch is the client that people use. It is begun anew now and then, as pages
// are, with what it held: else it would wait for half a minute after a long
// storm.
func (c *viewer) watch(ctx context.Context) {
	c.kind = "Watch"
	var last client.Update
	for ctx.Err() == nil {
		stay, cancel := context.WithTimeout(ctx, time.Second+time.Duration(c.r.IntN(3000))*time.Millisecond)
		if last.Data != nil {
			c.source.did.add("resume by Watch")
		}
		for u, err := range client.Watch(stay, c.base+c.name, &client.Options{Resume: last}) {
			if err != nil {
				if stay.Err() == nil {
					c.source.did.add("Watch ended")
				}
				break
			}
			if u.Stale != nil {
				c.source.did.add("stale")
			}
			if u.Data != nil {
				c.show(u.Data, c.held())
				last = u
			}
		}
		cancel()
		c.pause()
	}
}

// events is an EventSource that also understands patches.
func (c *viewer) events(ctx context.Context) {
	c.kind = "events"
	version, doc := "", []byte(nil)
	for ctx.Err() == nil {
		r, _ := http.NewRequestWithContext(ctx, "GET", c.base+c.name, nil)
		r.Header.Set("Accept", "text/event-stream")
		if version != "" {
			r.Header.Set("Last-Event-ID", version)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			c.pause()
			continue
		}
		c.source.did.add("reconnect by events")
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var m client.Message
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				break // cut off
			}
			switch m.Type {
			case client.TypeSnapshot:
				version, doc = m.Version, m.Data
			case client.TypePatch:
				c.source.did.add("patch by events")
				patched, err := client.Apply(doc, m.Patch)
				if err != nil || m.From != version {
					c.t.Errorf("%s: patch from %s to %s, %v", c.name, m.From, version, err)
					break
				}
				version, doc = m.Version, patched
			default:
				continue
			}
			c.show(doc, c.held())
		}
		res.Body.Close()
		c.pause()
	}
}

// poll is a legacy client.
func (c *viewer) poll(ctx context.Context) {
	c.kind = "GET"
	tag := ""
	for ; ctx.Err() == nil; c.pause() {
		tag = c.get(ctx, func(h http.Header) {
			if tag != "" {
				h.Set("If-None-Match", tag)
			}
		})
	}
}

func (c *viewer) longPoll(ctx context.Context) {
	c.kind = "long-poll"
	tag := `"none"`
	for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		if next := c.get(ctx, func(h http.Header) { h.Set("Prefer", "wait=2"); h.Set("If-None-Match", tag) }); next != "" {
			tag = next
		}
	}
}

// get sends one request and returns the tag of the document that it has got,
// if any. What comes from the proxy's snapshot comes in order; what passes
// through past a poll that is under way may overtake it.
func (c *viewer) get(ctx context.Context, more func(http.Header)) (tag string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", c.base+c.name, nil)
	more(r.Header)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	own := res.Header.Get("Cache-Status") != ""
	switch {
	case err != nil || res.StatusCode >= 500 || res.StatusCode == 429:
		return ""
	case res.StatusCode == http.StatusNotModified:
		return r.Header.Get("If-None-Match")
	case res.StatusCode != 200:
		c.t.Errorf("%s by %s: %s", c.name, c.kind, res.Status)
		return ""
	case !own && bytes.HasPrefix(body, []byte("<html>")):
		return "" // as it would be without a proxy
	}
	if strings.HasPrefix(c.name, "/lines") {
		lines := strings.SplitAfter(string(body), "\n")
		body, _ = json.Marshal(lines[:len(lines)-1])
	}
	if !own {
		c.show(body, 0)
	} else {
		c.show(body, c.own)
		c.own = c.held()
	}
	return res.Header.Get("Etag")
}
