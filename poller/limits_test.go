package poller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	runWith(t, Options{Resources: 2}, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		r.Linger = 0
		a := mustWatch(t, p, Request{Rule: r, URL: "/a"})
		b := mustWatch(t, p, Request{Rule: r, URL: "/b"})
		if _, err := p.Watch(Request{Rule: r, URL: "/c"}, new(counter)); !errors.Is(err, ErrTooMany) {
			t.Errorf("a third resource: %v, want ErrTooMany", err)
		}
		defer mustWatch(t, p, Request{Rule: r, URL: "/a"}).Close()
		a.Close()
		b.Close()
		settle(time.Second)
		defer mustWatch(t, p, Request{Rule: r, URL: "/c"}).Close()
	})
	runWith(t, Options{Resources: 2}, func(t *testing.T, p *Poller, u *upstream) {
		a := mustWatch(t, p, Request{Rule: rule(), URL: "/a"})
		defer a.Close()
		for i := range 20 { // each lingers for 10 s, and none is in the way
			mustWatch(t, p, Request{Rule: rule(), URL: fmt.Sprint("/", i)}).Close()
		}
		if p.Watched() != 2 {
			t.Errorf("%d resources are polled, want 2", p.Watched())
		}
		settle(time.Second)
		if s := a.Newest(); s == nil || s.Err != nil {
			t.Errorf("what is watched was given up: %+v", s)
		}
	})
	runWith(t, Options{Concurrency: 3}, func(t *testing.T, p *Poller, u *upstream) {
		var most int
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			u.mu.Lock()
			most = max(most, u.inFlight)
			u.mu.Unlock()
			pause(r, 100*time.Millisecond)
			io.WriteString(w, "{}")
		})
		for i := range 50 {
			defer mustWatch(t, p, Request{Rule: rule(), URL: fmt.Sprint("/", i)}).Close()
		}
		settle(3 * time.Second)
		if most != 3 {
			t.Errorf("%d polls at once, want 3", most)
		}
	})
	runWith(t, Options{Rate: 5}, func(t *testing.T, p *Poller, u *upstream) {
		for i := range 50 {
			defer mustWatch(t, p, Request{Rule: rule(), URL: fmt.Sprint("/", i)}).Close()
		}
		settle(20 * time.Second)
		if n := u.count(); n < 95 || n > 106 {
			t.Errorf("%d polls in 20 s at 5 a second", n)
		}
	})
}

// TestInventedResources: whoever asks for no end of different things is polled
// for so many, and leaves nothing behind but what the limits give.
func TestInventedResources(t *testing.T) {
	total := 100_000 // a million takes ten times as long and leaves as little
	if testing.Short() || raceEnabled {
		total = 10_000
	}
	p := New(Options{Resources: 100, Concurrency: 4, Transport: nowhere{}})
	defer p.Close()
	r := rule()
	r.Vary = []string{"Authorization"}
	ask := func(n int) {
		for i := range n {
			w, err := p.Watch(Request{Rule: r, URL: fmt.Sprint("/x?", i), Header: http.Header{"Authorization": {fmt.Sprint(i)}}}, new(counter))
			if err != nil {
				t.Fatal(err)
			}
			w.Close()
		}
	}
	ask(1000)
	before := heap()
	start := time.Now()
	ask(total)
	if n := p.Watched(); n > 100 {
		t.Errorf("%d resources, the limit is 100", n)
	}
	grown := int64(heap()) - int64(before)
	t.Logf("%d resources in %v: the heap has grown by %d KiB, %d goroutines", total, time.Since(start).Round(time.Millisecond), grown>>10, runtime.NumGoroutine())
	if grown > 32<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
}

type nowhere struct{}

func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, io.ErrUnexpectedEOF
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestOnce: what is asked for once costs one request; what is asked for again
// is kept fresh.
func TestOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		again time.Duration // after the first; zero: never
		once  bool          // the second too
		want  int           // polls in a minute
	}{
		{"never again", 0, true, 1},
		{"again while it rests", time.Second / 2, true, 11},
		{"again when it is remembered", 30 * time.Second, true, 12},
		{"then watched", time.Second / 2, false, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(t *testing.T, p *Poller, u *upstream) {
				ask := func(once bool) {
					w := mustWatch(t, p, Request{Rule: rule(), URL: "/x", Once: once})
					if _, err := w.After(context.Background(), time.Now().Add(-time.Second)); err != nil {
						t.Error(err)
					}
					w.Close()
				}
				ask(true)
				if c.again > 0 {
					time.Sleep(c.again)
					ask(c.once)
				}
				settle(time.Minute)
				if n := u.count(); n < c.want-1 && c.want > 1 || n > c.want {
					t.Errorf("%d polls, want %d", n, c.want)
				}
				if n := p.Watched(); n != 0 {
					t.Errorf("%d resources are polled still", n)
				}
			})
		})
	}
}

// TestResourcesPerClient: nobody can use up what is there for all; what merely
// lingers makes room, of one's own first.
func TestResourcesPerClient(t *testing.T) {
	mallory, alice := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	runWith(t, Options{Resources: 12, ResourcesPerClient: 10}, func(t *testing.T, p *Poller, u *upstream) {
		watch := func(who netip.Addr, n int) (*Watch, error) {
			return p.Watch(Request{Rule: rule(), URL: fmt.Sprint("/x?", n), Client: who}, new(counter))
		}
		var held []*Watch
		for n := range 10 {
			w, err := watch(mallory, n)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, w)
		}
		if _, err := watch(mallory, 10); err != ErrTooManyOfClient {
			t.Errorf("the eleventh of one client: %v", err)
		}
		if w, err := watch(mallory, 3); err != nil {
			t.Errorf("one that is polled already: %v", err)
		} else {
			w.Close()
		}
		w, err := watch(alice, 100)
		if err != nil {
			t.Fatalf("somebody else: %v", err)
		}
		w.Close()
		held[4].Close()
		if w, err = watch(mallory, 10); err != nil {
			t.Errorf("after one was left: %v", err)
		}
		held = append(held, w)
		if n := p.Watched(); n != 11 {
			t.Errorf("%d resources, want 11: one's own makes room first", n)
		}
		for _, w := range held {
			w.Close()
		}
		settle(time.Minute)
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.watched) != 0 || len(p.causedBy) != 0 || p.unwatched.Load() != 0 {
			t.Errorf("in the end %d resources, %d clients, %d unwatched", len(p.watched), len(p.causedBy), p.unwatched.Load())
		}
	})
}
