package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestDrainDelay holds that /readyz fails first, and that all goes on until
// balancers have had the time to see it.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", orders("open"))
	const delay = 6 * time.Second // in which a slow machine does what follows, too
	r := serveBinary(t, legacy.URL, fmt.Sprintf("drain_delay: %s\ndrain: 0s\n", delay))
	c := r.dial(ctx, "/api/orders")
	next(ctx, t, c)
	began := time.Now()
	r.signal(syscall.SIGTERM)
	r.waitHealth("/readyz", 503)
	if status, text := r.reload(); status != 503 || text != "draining\n" {
		t.Errorf("POST /reload while /readyz fails: %d %s, want 503 and why", status, text)
	}
	late := r.dial(ctx, "/api/orders") // by a balancer that has not noticed
	next(ctx, t, late)
	late.CloseNow()
	res, err := http.Get("http://" + r.address + "/api/orders")
	if err != nil || res.StatusCode != 200 || !res.Close {
		t.Fatalf("while /readyz fails a GET is answered %v, %v; want 200 and that the connection is closed", res, err)
	}
	res.Body.Close()
	legacy.set("/api/orders", orders("sent"))
	if m := next(ctx, t, c); m.Type != "patch" {
		t.Errorf("while /readyz fails who watches got %+v", m)
	}
	if _, err := c.Next(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the socket ended with %v, want close 1001", err)
	}
	if d := time.Since(began); d < delay {
		t.Errorf("it ended %v after the signal, want %v", d, delay)
	}
	if code := r.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestDrainUnderLoad drains one process while many watch and the document
// changes, with another one beside it that clients come back to. Nothing is lost:
// all end with the last document, and they have come spread over the time.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	watchers, over := 200, 4*time.Second
	if testing.Short() || raceDetector() {
		watchers = 60
	}
	ctx := within(t)
	var n atomic.Int64                // of the document
	upstream := func() *counterpart { // each has its own, of the same document
		u := &counterpart{n: &n}
		server := httptest.NewServer(u)
		t.Cleanup(server.Close)
		u.running = serveBinary(t, server.URL, fmt.Sprintf("drain: %s\n", over))
		return u
	}
	first, second := upstream(), upstream()
	balancer := &balancer{to: []*running{first.running, second.running}}
	balancer.listen(t)

	stop := make(chan struct{})
	var changing, watching sync.WaitGroup
	changing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				n.Add(1)
			}
		}
	})
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var reconnects atomic.Int64
	last := make([]atomic.Int64, watchers)
	floor := make([]int64, watchers) // what both processes had when last was shown
	var mu sync.Mutex                // guards the two below
	var began time.Time
	var left []time.Duration
	for i := range watchers {
		watching.Go(func() {
			mine := new(atomic.Int64)
			follow := watchWith
			if i%2 == 0 {
				follow = followRaw
			}
			follow(wctx, t, "ws://"+balancer.addr+"/api/orders", mine, func(doc []byte) {
				var d struct{ N int64 }
				if err := json.Unmarshal(doc, &d); err != nil {
					t.Error(err)
				}
				if was := last[i].Swap(d.N); d.N < was && d.N < floor[i] { // the other process may have last polled earlier
					t.Errorf("a watcher was taken back from %d to %d, when both had %d", was, d.N, floor[i])
				}
				floor[i] = min(first.known.Load(), second.known.Load())
			})
			reconnects.Add(mine.Load())
		})
	}
	for i := range last { // everybody has seen something
		for last[i].Load() == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	onFirst := balancer.open(0)
	mu.Lock()
	began = time.Now()
	mu.Unlock()
	balancer.leave(0, func() { // it has seen /readyz fail
		mu.Lock()
		defer mu.Unlock()
		left = append(left, time.Since(began))
	})
	first.signal(syscall.SIGTERM)
	if code := first.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	took := time.Since(began)
	close(stop)
	changing.Wait()
	deadline := time.Now().Add(patience)
	for i := range last {
		for last[i].Load() != n.Load() {
			if time.Now().After(deadline) {
				t.Fatalf("watcher %d has %d, the upstream %d", i, last[i].Load(), n.Load())
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	cancel()
	watching.Wait()
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(left)
	t.Logf("%d of %d sockets were on the one that was drained, in %v; %d came back, all with the last of %d documents",
		onFirst, watchers, took.Round(time.Millisecond), reconnects.Load(), n.Load())
	for i, d := range left[:min(len(left), onFirst)] {
		if turn := over * time.Duration(i) / time.Duration(onFirst); d < turn {
			t.Fatalf("%d of %d had left after %v, want not before %v", i+1, onFirst, d, turn)
		}
	}
	if got := int(reconnects.Load()); got < onFirst {
		t.Errorf("%d connections were made again, %d were drained", got, onFirst)
	}
}

// A counterpart is a process and its API, which has one document, with a number.
type counterpart struct {
	*running
	n           *atomic.Int64
	told, known atomic.Int64 // numbers: the last that it was told, and the last that it has taken in for certain
}

// ServeHTTP is the API. Who asks again has taken in what it was told before.
func (c *counterpart) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.known.Store(c.told.Load())
	n := c.n.Load()
	c.told.Store(n)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"n":%d,"pad":"%0200d"}`, n, 0)
}

// TestMaxConnectionAge holds that sockets, event streams and connections for
// requests end when they are old, each at its own time.
func TestMaxConnectionAge(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", orders("open"))
	r := serveBinary(t, legacy.URL, "max_connection_age: 3s\n")
	const sockets = 20
	ended := make(chan time.Duration, sockets+1)
	for range sockets {
		began := time.Now()
		c := r.dial(ctx, "/api/orders")
		next(ctx, t, c)
		go func() {
			if _, err := c.Next(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("a socket ended with %v, want close 1001", err)
			}
			ended <- time.Since(began)
		}()
	}
	began := time.Now()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+r.address+"/api/orders", nil)
	req.Header.Set("Accept", "text/event-stream")
	stream, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for buf := make([]byte, 1<<10); ; {
			if _, err := stream.Body.Read(buf); err != nil {
				break
			}
		}
		ended <- time.Since(began)
	}()
	one := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	closed := time.Duration(0)
	for closed == 0 && time.Since(began) < patience {
		res, err := one.Get("http://" + r.address + "/api/orders")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body) // or it is not used again
		res.Body.Close()
		if res.Close {
			closed = time.Since(began)
		}
		time.Sleep(10 * time.Millisecond)
	}
	all := []time.Duration{closed}
	for range cap(ended) {
		all = append(all, <-ended)
	}
	slices.Sort(all)
	t.Logf("ended after %v to %v", all[0], all[len(all)-1])
	if all[0] < 2600*time.Millisecond || all[len(all)-1]-all[0] < 50*time.Millisecond {
		t.Errorf("ended after %v, want about 3 s and not all at once", all)
	}
}
