package poller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestOnePollHoweverManyWatch(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		for range 1000 {
			defer mustWatch(t, p, Request{Rule: rule(), URL: "/x"}).Close()
		}
		settle(10*time.Second + time.Millisecond)
		if n := u.count(); n < 10 || n > 12 {
			t.Errorf("1,000 watchers cost %d requests in 10 s at an interval of 1 s, want 10 to 12", n)
		}
		if p.Watched() != 1 {
			t.Errorf("%d resources are watched, want 1", p.Watched())
		}
	})
}

func TestStartsWithFirstWatcherAndLingers(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		settle(time.Minute)
		if u.count() != 0 {
			t.Fatalf("%d polls though nobody watched", u.count())
		}
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		settle(time.Millisecond)
		if u.count() != 1 {
			t.Fatalf("%d polls when the first watcher came, want 1 at once", u.count())
		}
		w.Close()
		w.Close() // closing twice is closing once
		settle(9 * time.Second)
		if n := u.count(); n < 9 {
			t.Errorf("%d polls while lingering, want about 10", n)
		}
		settle(2 * time.Second)
		n := u.count()
		settle(time.Minute)
		if u.count() != n || p.Watched() != 0 {
			t.Errorf("after linger %d more polls and %d resources, want none", u.count()-n, p.Watched())
		}
	})
}

func TestReturnWithinLingerKeepsPolling(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		for range 10 {
			w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
			settle(time.Second)
			w.Close()
			settle(9 * time.Second)
		}
		if n := u.count(); n < 99 || n > 103 {
			t.Errorf("%d polls in 100 s, want one a second throughout", n)
		}
	})
}

func TestNeverTwoPollsAtOnce(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			pause(r, 3500*time.Millisecond)
			io.WriteString(w, `{}`)
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		for range 20 {
			settle(time.Second)
			go w.After(t.Context(), time.Now())
			p.Refresh(func(*Rule, string) bool { return true })
			w.Close()
			w = mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		}
		w.Close()
		if u.overlap {
			t.Error("two polls of one resource were under way at once")
		}
		if n := u.count(); n < 5 {
			t.Errorf("%d polls in 20 s of 3.5 s each, want them one after another", n)
		}
	})
}

func TestChangeWakesAndPatches(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		pad := `"pad":"` + strings.Repeat("x", 200) + `"`
		u.body(`{"n":1,` + pad + `}`)
		c := new(counter)
		w, _ := p.Watch(Request{Rule: rule(), URL: "/x"}, c)
		defer w.Close()
		settle(3 * time.Second)
		first := w.Newest()
		if c.n != 1 || first == nil {
			t.Fatalf("%d wakes, snapshot %v: want one wake for the first document and none for polls that changed nothing", c.n, first)
		}
		u.body(`{ "n" : 1, ` + pad + ` }`)
		settle(2 * time.Second)
		if c.n != 1 {
			t.Error("white space is no change, and woke")
		}
		u.body(`{"n":2,` + pad + `}`)
		settle(2 * time.Second)
		second := w.Newest()
		if got, want := string(second.Patch(first.Version)), `[{"op":"replace","path":"/n","value":2}]`; got != want {
			t.Errorf("patch %s, want %s", got, want)
		}
		u.body(`{"n":3,` + pad + `}`)
		settle(2 * time.Second)
		if got, want := string(w.Newest().Patch(first.Version)), `[{"op":"replace","path":"/n","value":2},{"op":"replace","path":"/n","value":3}]`; got != want {
			t.Errorf("patch over two versions %s, want %s", got, want)
		}
		if w.Newest().Patch("unknown") != nil {
			t.Error("a patch from a version that never was")
		}
		if c.n != 3 {
			t.Errorf("%d wakes, want 3", c.n)
		}
	})
}

func TestConditionalRequests(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		var unmodified int
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `W/"a"`)
			w.Header().Set("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
			if r.Header.Get("If-None-Match") == `W/"a"` && r.Header.Get("If-Modified-Since") == "Mon, 01 Jan 2024 00:00:00 GMT" {
				unmodified++
				w.WriteHeader(http.StatusNotModified)
				return
			}
			io.WriteString(w, `{"n":1}`)
		})
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(200 * time.Second)
		full := u.count() - unmodified
		if full != 1+u.count()/unconditional {
			t.Errorf("%d of %d answers were whole, want the first and one in %d", full, u.count(), unconditional)
		}
		if age := time.Since(w.Newest().Confirmed()); age > time.Second {
			t.Errorf("confirmed %v ago, want less than an interval", age)
		}
	})
}

func TestUnaskedNotModified(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotModified) })
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(time.Millisecond)
		if s := w.Newest(); s == nil || s.Err == nil || s.Err.Code != CodeStatus || s.Err.Status != 304 {
			t.Errorf("%+v, want upstream_status 304", s)
		}
	})
}

func TestMaxIntervalStretches(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		r.MaxInterval = 8 * time.Second
		w := mustWatch(t, p, Request{Rule: r, URL: "/x"})
		defer w.Close()
		settle(5 * time.Minute)
		if got := w.Interval(); got != r.MaxInterval {
			t.Errorf("interval in force %v after 5 minutes of silence, want %v", got, r.MaxInterval)
		}
		n := u.count()
		settle(80 * time.Second)
		if d := u.count() - n; d < 9 || d > 11 {
			t.Errorf("%d polls in 80 s, want 10", d)
		}
		u.body(`{"n":2}`)
		settle(8 * time.Second)
		if got := w.Interval(); got != r.Interval && got != r.Interval*3/2 && got > 4*time.Second {
			t.Errorf("interval in force %v after a change, want it back near %v", got, r.Interval)
		}
	})
}

func TestStartsAreSpread(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		r.Interval = 10 * time.Second
		for i := range 200 {
			defer mustWatch(t, p, Request{Rule: r, URL: fmt.Sprint("/", i)}).Close()
		}
		settle(30 * time.Second)
		perSecond := make(map[int64]int)
		for _, at := range u.times {
			if since := at.Sub(u.times[0]); since > 12*time.Second && since < 22*time.Second {
				perSecond[int64(since/time.Second)]++
			}
		}
		for second, n := range perSecond {
			if n > 80 {
				t.Errorf("%d of 200 polls in second %d: they go in step", n, second)
			}
		}
	})
}

func TestAfter(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		r.Interval = time.Hour
		w := mustWatch(t, p, Request{Rule: r, URL: "/x"})
		defer w.Close()
		settle(time.Second)
		u.body(`{"n":2}`)
		s, err := w.After(t.Context(), time.Now())
		if err != nil || string(s.Body) != `{"n":2}` {
			t.Errorf("after a change: %s, %v", s.Body, err)
		}
		n := u.count()
		if s, err := w.After(t.Context(), time.Now().Add(-time.Minute)); err != nil || s == nil || u.count() != n {
			t.Errorf("what is known already cost %d polls", u.count()-n)
		}
		u.answer(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		settle(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.After(ctx, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}

func TestIdleResumes(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		shared, private := rule(), rule()
		private.Name, private.Vary = "/y", []string{"Cookie:sid"}
		mine := Request{Rule: private, URL: "/y", Header: http.Header{"Cookie": {"a=b; sid=1"}}}
		for _, req := range []Request{{Rule: shared, URL: "/x"}, mine} {
			u.body(`{"n":1}`)
			w := mustWatch(t, p, req)
			settle(time.Second)
			v := w.Newest().Version
			w.Close()
			settle(time.Minute)
			if p.Watched() != 0 {
				t.Fatal("still watched")
			}
			u.answer(func(w http.ResponseWriter, r *http.Request) {
				pause(r, time.Second)
				io.WriteString(w, `{"n":1}`)
			})
			w = mustWatch(t, p, req)
			if s := w.Newest(); (s != nil) != (req.Rule == shared) {
				t.Errorf("%s: at once %+v; want what was known if shared, nothing yet if private", req.URL, s)
			}
			settle(2 * time.Second)
			if s := w.Newest(); s == nil || s.Version != v {
				t.Errorf("%s: then %+v, want version %s", req.URL, s, v)
			}
			w.Close()
			settle(time.Minute)
		}
	})
}

func TestIdleIsBounded(t *testing.T) {
	runWith(t, Options{Idle: 50_000}, func(t *testing.T, p *Poller, u *upstream) {
		u.body(`"` + strings.Repeat("x", 5_000) + `"`)
		r := rule()
		r.Linger = 0
		for i := range 100 {
			w := mustWatch(t, p, Request{Rule: r, URL: fmt.Sprint("/", i)})
			settle(time.Second)
			w.Close()
		}
		settle(time.Minute)
		if n := p.idle.Len(); n == 0 || n > 10 || p.idleBytes > 50_000 {
			t.Errorf("%d idle resources with %d bytes are kept, want at most 10 with 50,000", n, p.idleBytes)
		}
	})
}
