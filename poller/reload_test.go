package poller

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"pollbridge/diff"
)

// changed returns a rule of the same generation that is not r.
func changed(r *Rule, change func(*Rule)) *Rule {
	next := *r
	change(&next)
	return &next
}

// TestReloadKeeps: what is asked for the same goes on with its snapshots and
// timers, at the new rule's pace.
func TestReloadKeeps(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		slow := rule()
		slow.Interval = time.Minute
		w := mustWatch(t, p, Request{Rule: slow, URL: "/x"})
		settle(time.Second)
		s, polls := w.Newest(), u.count()
		for range 1000 {
			slow = changed(slow, func(*Rule) {})
			p.Reload([]*Rule{slow}, Options{})
		}
		settle(time.Second)
		if w.Newest() != s || u.count() != polls {
			t.Fatalf("a thousand reloads cost %d polls", u.count()-polls)
		}
		fast := changed(slow, func(r *Rule) { r.Interval, r.Linger = time.Second, 3*time.Second })
		p.Reload([]*Rule{fast}, Options{})
		settle(10 * time.Second)
		if n := u.count() - polls; n < 9 || n > 11 || w.Newest() != s || w.Interval() != time.Second {
			t.Errorf("%d polls in 10 s at an interval that has become 1 s, %v in force; the same snapshot: %t", n, w.Interval(), w.Newest() == s)
		}
		p.Reload([]*Rule{slow}, Options{})
		polls = u.count()
		settle(50 * time.Second)
		if n := u.count() - polls; n > 1 || w.Interval() != time.Minute {
			t.Errorf("%d polls in 50 s at an interval that has become 1 m, %v in force", n, w.Interval())
		}
		w.Close()
		p.Reload([]*Rule{fast}, Options{})
		settle(4 * time.Second)
		if n := p.Watched(); n != 0 {
			t.Errorf("%d resources are polled 4 s after the last watcher left, linger has become 3 s", n)
		}
		if s := mustWatch(t, p, Request{Rule: slow, URL: "/x"}).Newest(); s == nil || !s.Resumed {
			t.Errorf("what was known is not remembered: %+v", s)
		}
	})
}

// TestReloadSpreads: resources whose interval becomes shorter are not polled in
// step.
func TestReloadSpreads(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		slow := rule()
		slow.Interval = time.Hour
		for i := range 100 {
			defer mustWatch(t, p, Request{Rule: slow, URL: fmt.Sprint("/", i)}).Close()
		}
		settle(30 * time.Minute)
		n := u.count()
		p.Reload([]*Rule{changed(slow, func(r *Rule) { r.Interval = 10 * time.Second })}, Options{})
		for i := range 10 {
			settle(time.Second)
			if got := u.count() - n; got < 1 || got > 30 {
				t.Errorf("%d polls in second %d of 10 after the reload, of 100 resources", got, i)
			}
			n = u.count()
		}
	})
}

// TestReloadDrops: what was seen under a rule that is no longer in force is
// shown to nobody but those who still watch it, nor when the rule is back.
func TestReloadDrops(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		first := rule()
		idle := mustWatch(t, p, Request{Rule: first, URL: "/idle"})
		settle(time.Second)
		idle.Close()
		settle(time.Minute)
		lingers := mustWatch(t, p, Request{Rule: first, URL: "/lingers"})
		watched := mustWatch(t, p, Request{Rule: first, URL: "/watched"})
		settle(time.Second)
		lingers.Close()

		second := changed(first, func(r *Rule) { r.Generation++ })
		p.Reload([]*Rule{second}, Options{})
		if p.idle.Len() != 0 || p.Watched() != 1 || p.outgoing != 1 {
			t.Errorf("%d are remembered, %d polled, %d of them for the last time; want 0, 1, 1", p.idle.Len(), p.Watched(), p.outgoing)
		}
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			pause(r, time.Second)
			io.WriteString(w, `{"n":2}`)
		})
		for _, url := range []string{"/idle", "/lingers", "/watched"} {
			w := mustWatch(t, p, Request{Rule: second, URL: url})
			if s := w.Newest(); s != nil {
				t.Errorf("%s: shows at once %s", url, s.Body)
			}
			defer w.Close()
		}
		late := mustWatch(t, p, Request{Rule: first, URL: "/late"}) // found before the reload
		watched.Close()
		late.Close()
		if p.Watched() != 3 || p.outgoing != 0 {
			t.Errorf("%d are polled, %d of them for the last time; want 3, 0", p.Watched(), p.outgoing)
		}
		settle(2 * time.Second)
		p.Reload([]*Rule{first}, Options{})
		for _, url := range []string{"/idle", "/lingers", "/watched", "/late"} {
			w := mustWatch(t, p, Request{Rule: first, URL: url})
			if s := w.Newest(); s != nil {
				t.Errorf("%s: shows when the rule is back %s", url, s.Body)
			}
			w.Close()
		}
	})
}

// TestReloadIgnore: an answer that was none, because of what is ignored, is one
// when that is not ignored any more, though the upstream confirms it.
func TestReloadIgnore(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		var n atomic.Int64
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			tag := fmt.Sprintf(`"%d"`, n.Load())
			w.Header().Set("Etag", tag)
			if r.Header.Get("If-None-Match") == tag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			fmt.Fprintf(w, `{"n":%d,"a":1}`, n.Load())
		})
		ignoring := rule()
		ignoring.Differ, _ = diff.New(diff.Options{Ignore: []string{"/n"}})
		w := mustWatch(t, p, Request{Rule: ignoring, URL: "/x"})
		settle(3 * time.Second)
		n.Add(1)
		settle(3 * time.Second)
		if s := w.Newest(); string(s.Body) != `{"n":0,"a":1}` {
			t.Fatalf("a change that is ignored made %s", s.Body)
		}
		p.Reload([]*Rule{changed(ignoring, func(r *Rule) { r.Differ = nil })}, Options{})
		settle(3 * time.Second)
		if s := w.Newest(); string(s.Body) != `{"n":1,"a":1}` {
			t.Errorf("what is not ignored any more is still %s", s.Body)
		}
	})
}

// TestReloadFormats: whatever becomes of format, keys and ignore between any two
// polls, a patch from any version leads to the newest document.
func TestReloadFormats(t *testing.T) {
	var patches, merges, joined int
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		w := mustWatch(t, p, Request{Rule: r, URL: "/x"})
		held := make(map[string][]byte) // documents by version
		random := rand.New(rand.NewPCG(1, 2))
		for range 3000 {
			u.body(fmt.Sprintf(`{"a":%d,"b":[{"id":%d,"n":%d},{"id":3,"n":1},{"id":4,"n":1}],"c":{"d":%d},"pad":"0123456789"}`,
				random.IntN(2), random.IntN(3), random.IntN(2), random.IntN(2)))
			settle(time.Second)
			s := w.Newest()
			for version, old := range held {
				patch := s.Patch(version)
				if patch == nil || version == s.Version {
					continue
				}
				got, err := jsonpatch.MergePatch(old, patch)
				merges++
				if !s.Merge {
					var ops jsonpatch.Patch
					if ops, err = jsonpatch.DecodePatch(patch); err == nil {
						got, err = ops.Apply(old)
					}
					merges--
					patches++
					if s.trail[len(s.trail)-1].from != version {
						joined++
					}
				}
				if err != nil || !jsonpatch.Equal(got, s.Body) {
					t.Fatalf("%s\nand %s\nmake %s\nnot  %s: %v", old, patch, got, s.Body, err)
				}
			}
			held[s.Version] = s.Body
			if random.IntN(4) == 0 {
				r = changed(r, func(r *Rule) {
					r.Format = []Format{JSONPatch, JSONPatch, MergePatch, SnapshotOnly}[random.IntN(4)]
					o := diff.Options{}
					if random.IntN(2) == 0 {
						o.Ignore = []string{"/c/d"}
					}
					if random.IntN(2) == 0 {
						o.Keys = map[string][]string{"/b": {"id"}}
					}
					r.Differ, _ = diff.New(o)
				})
				p.Reload([]*Rule{r}, Options{})
			}
		}
	})
	t.Logf("%d JSON Patches, %d of them over several steps, and %d merge patches led to the newest document", patches, joined, merges)
	if patches == 0 || joined == 0 || merges == 0 {
		t.Error("not everything was tried")
	}
}

// TestReloadLimits: who waits because of a limit goes on when it has become
// another.
func TestReloadLimits(t *testing.T) {
	runWith(t, Options{Rate: 0.001, Resources: 2}, func(t *testing.T, p *Poller, u *upstream) {
		r := rule()
		for i := range 2 {
			defer mustWatch(t, p, Request{Rule: r, URL: fmt.Sprint("/", i)}).Close()
		}
		settle(10 * time.Second)
		if n := u.count(); n != 1 {
			t.Fatalf("%d polls at one in 1000 s", n)
		}
		if _, err := p.Watch(Request{Rule: r, URL: "/2"}, new(counter)); err != ErrTooMany {
			t.Fatalf("a third resource of two: %v", err)
		}
		p.Reload([]*Rule{r}, Options{Rate: 100, Resources: 3})
		defer mustWatch(t, p, Request{Rule: r, URL: "/2"}).Close()
		settle(10 * time.Second)
		if n := u.count(); n < 25 {
			t.Errorf("%d polls of three resources in 10 s after the limit has gone", n)
		}
		u.answer(func(w http.ResponseWriter, r *http.Request) { pause(r, 5*time.Second) })
		p.Reload([]*Rule{r}, Options{Concurrency: 1})
		settle(20 * time.Second)
		n := u.count()
		settle(50 * time.Second)
		if got := u.count() - n; got > 11 {
			t.Errorf("%d polls of 5 s each in 50 s, one at a time", got)
		}
		// Those that are outgoing take nobody's place.
		second := changed(r, func(r *Rule) { r.Generation++ })
		p.Reload([]*Rule{second}, Options{Resources: 1})
		mustWatch(t, p, Request{Rule: second, URL: "/0"}).Close()
	})
}
