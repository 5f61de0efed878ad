package poller

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pollbridge/diff"
)

// only is the one resource that is polled.
func only(t *testing.T, p *Poller) Resource {
	t.Helper()
	part, total := p.Resources(Selection{Limit: 10})
	if total != 1 || len(part) != 1 {
		t.Fatalf("%d resources of %d, want the one", len(part), total)
	}
	r, ok := p.Resource(part[0].ID, false)
	if !ok {
		t.Fatalf("there is no resource %s", part[0].ID)
	}
	return r
}

// TestWhyNothingWasPushed: every poll says what it came to and why, and the
// counts of the rule are those of its polls.
func TestWhyNothingWasPushed(t *testing.T) {
	json := func(body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if len(header) == 2 {
				w.Header().Set(header[0], header[1])
			}
			if r.Header.Get("If-None-Match") != "" && len(header) == 2 {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			io.WriteString(w, body)
		}
	}
	filler := strings.Repeat("x", 100)
	steps := []struct {
		answer http.HandlerFunc
		result Result
		status uint16
		bytes  int64
		why    string
	}{
		{json(`{"n":1,"s":"` + filler + `","t":1}`), Changed, 200, 120, whyFirst},
		{json(`{"n":1,"s":"` + filler + `","t":1}`), Unchanged, 200, 120, whySame},
		{json(`{"n":1,"s":"` + filler + `","t":2}`), Unchanged, 200, 120, whyMeans},
		{json(`{"n":2,"s":"` + filler + `","t":3}`), Changed, 200, 120, whyPatch},
		{json(`{"n":2}`), Unchanged, 200, 7, whyDoubted},
		{json(`{"n":2}`), Changed, 200, 7, whyWhole},
		{json(`{"n":3}`, "Etag", `"1"`), Changed, 200, 7, whyWhole},
		{json(`{"n":3}`, "Etag", `"1"`), NotModified, 304, 0, whyNotModified},
		{json(`{"n":`), Failed, 200, 5, `body_invalid: the body is not the JSON that its type, "application/json", says: invalid JSON at byte 5: unexpected end of JSON input`},
		{func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }, Failed, 503, 0, "upstream_status: the upstream answered 503 Service Unavailable"},
		{func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, Failed, 0, 0, "upstream_unreachable: the upstream cannot be reached: EOF"},
	}
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		differ, err := diff.New(diff.Options{Ignore: []string{"/t"}})
		if err != nil {
			t.Fatal(err)
		}
		rule := rule()
		rule.Differ, rule.ConfirmShrink = differ, 0.5
		u.answer(steps[0].answer) // to watch is to poll
		watch := mustWatch(t, p, Request{Rule: rule, URL: "/x"})
		defer watch.Close()
		for i, s := range steps {
			u.answer(s.answer)
			if _, err := watch.After(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			got := only(t, p).Polls[0]
			if got.Result != s.result || got.Status != s.status || got.Bytes != s.bytes || got.Why != s.why {
				t.Errorf("step %d: got %v, status %d, %d bytes, %q; want %v, %d, %d, %q",
					i, got.Result, got.Status, got.Bytes, got.Why, s.result, s.status, s.bytes, s.why)
			}
			time.Sleep(time.Millisecond)
		}
		c := p.Rules()["/x"].Counts
		if got, want := fmt.Sprint(c.Changed, c.Unchanged, c.NotModified, c.Errors, c.PolledBytes, c.PollTimes.Count()), "4 3 1 3 506 11"; got != want {
			t.Errorf("counted %s, want %s", got, want)
		}
		if own := only(t, p).Counts; own != c {
			t.Errorf("the resource counts %+v, its rule %+v", own, c)
		}
		if s := only(t, p); s.State != StateStale || !strings.HasPrefix(s.Reason, "upstream_unreachable: ") {
			t.Errorf("state %s, reason %q", s.State, s.Reason)
		}
	})
}

// TestWhatPollingWouldHaveCost holds the arithmetic: watchers times time over
// the interval, whatever the polls of the rule do, at the bytes that came.
func TestWhatPollingWouldHaveCost(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			zw := gzip.NewWriter(w)
			io.WriteString(zw, `"`+strings.Repeat("x", 1000)+`"`)
			zw.Close()
		})
		rule := rule()
		rule.Interval, rule.MaxInterval = 2*time.Second, 8*time.Second
		var watches []*Watch
		for range 10 { // one more every ten seconds
			watches = append(watches, mustWatch(t, p, Request{Rule: rule, URL: "/x"}))
			settle(10 * time.Second)
		}
		settle(50 * time.Second)
		for _, w := range watches {
			w.Close()
		}
		settle(time.Minute) // it lingers, and is given up
		if n := p.Watched(); n != 0 {
			t.Fatalf("%d resources are polled yet", n)
		}
		const seconds = 10*(10+20+30+40+50+60+70+80+90+100)/10 + 10*50
		c := p.Rules()["/x"].Counts
		if math.Abs(c.WatchedSeconds-seconds) > 1e-6 || math.Abs(c.WouldRequests-seconds/2) > 1e-6 {
			t.Errorf("%f seconds were watched, for %f requests; want %d and %d", c.WatchedSeconds, c.WouldRequests, seconds, seconds/2)
		}
		each := float64(c.PolledBytes) / float64(c.Polls())
		if want := each * c.WouldRequests; each > 100 || math.Abs(c.WouldBytes-want) > 1 {
			t.Errorf("%f bytes at %f each, want %f", c.WouldBytes, each, want)
		}
		if c.Polls() > 30 {
			t.Errorf("%d polls", c.Polls())
		}
	})
}

// TestStatusTellsNoSecret: what is shown of a private resource identifies it
// and gives nothing away.
func TestStatusTellsNoSecret(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "sid=hush-1")
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"of":%q,"word":"hush-2","n":%d}`, r.Header, u.count())
		})
		rule := rule()
		rule.Vary = []string{"Authorization", "Accept-Language"}
		rule.Header = http.Header{"X-Api-Key": {"hush-3"}}
		for _, url := range []string{"/a?token=hush-4", "/b?token=hush-4", "/c"} {
			for _, user := range []string{"hush-5", "hush-6", ""} {
				h := http.Header{"Accept-Language": {"de"}}
				if user != "" {
					h.Set("Authorization", user)
				}
				defer mustWatch(t, p, Request{Rule: rule, URL: url, Header: h}).Close()
			}
		}
		settle(5 * time.Second)
		u.answer(func(w http.ResponseWriter, r *http.Request) { conn(w).Write([]byte("hush-7 hush-8\r\n\r\n")) })
		settle(5 * time.Second)
		part, total := p.Resources(Selection{Limit: 100})
		if len(part) != 9 || total != 9 {
			t.Fatalf("%d of %d resources, want 9", len(part), total)
		}
		users := map[string]int{}
		for _, s := range part {
			users[s.User]++
			r, _ := p.Resource(s.ID, false)
			for i := range r.Changes {
				if r.Changes[i].Patch == nil != (r.Changes[i].PatchBytes == 0) {
					t.Errorf("change %d of %s: %d bytes, and the patch is %q", i, r.Path, r.Changes[i].PatchBytes, r.Changes[i].Patch)
				}
				r.Changes[i].Patch = nil // it is what the document says, and kept from who may not see that
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "hush") || s.User != "" && len(r.Polls) < 3 {
				t.Errorf("%s", text)
			}
		}
		if len(users) != 3 || users[""] != 3 {
			t.Errorf("fingerprints %v, want those of three, each three times, and one that is empty", users)
		}
	})
}

// conn takes over the connection of a request.
func conn(w http.ResponseWriter) io.Writer {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	time.AfterFunc(time.Second, func() { c.Close() })
	return c
}

// TestHistoryIsBounded: a resource that is polled for days remembers its last
// polls, changes and minutes.
func TestHistoryIsBounded(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"n":%d,"s":"%s"}`, u.count()/2, strings.Repeat("x", 1000))
		})
		defer mustWatch(t, p, Request{Rule: rule(), URL: "/x"}).Close()
		settle(10000 * time.Second)
		r := only(t, p)
		if len(r.Polls) != keptPolls || len(r.Changes) != keptChanges || len(r.Spark) != SparkSteps {
			t.Fatalf("%d polls, %d changes, %d steps", len(r.Polls), len(r.Changes), len(r.Spark))
		}
		for i, c := range r.Changes {
			if want := fmt.Sprintf(`[{"op":"replace","path":"/n","value":%d}]`, u.count()/2-i); string(c.Patch) != want {
				t.Errorf("change %d is %s, want %s", i, c.Patch, want)
			}
			if i > 0 && !c.At.Before(r.Changes[i-1].At) {
				t.Errorf("change %d is of %v, the one after of %v", i, c.At, r.Changes[i-1].At)
			}
		}
		for i, n := range r.Spark[:SparkSteps-1] {
			if n < 4 || n > 6 {
				t.Errorf("%d changes in step %d, want one every other second", n, i)
			}
		}
		u.answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })
		settle(SparkSteps * SparkStep)
		for i, n := range only(t, p).Spark {
			if n != 0 {
				t.Errorf("%d changes in step %d, want none", n, i)
			}
		}
	})
}

// TestResourcesAreSelected: in a stable order, by parts.
func TestResourcesAreSelected(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "7") {
				w.WriteHeader(500)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `%q`, r.URL.Path+strings.Repeat("x", len(r.URL.Query().Get("q"))))
		})
		a, b := rule(), rule()
		a.Name, b.Name = "/a/{n}", "/b/{n}"
		for i := range 20 {
			r := a
			if i >= 15 {
				r = b
			}
			for range 1 + i%3 {
				defer mustWatch(t, p, Request{Rule: r, URL: fmt.Sprintf("%s%02d", r.Name[:3], i)}).Close()
			}
		}
		settle(2 * time.Second)
		for _, c := range []struct {
			s     Selection
			total int
			first string
		}{
			{Selection{Limit: 5}, 20, "/a/02"},
			{Selection{Limit: 5, Order: ByPath}, 20, "/a/00"},
			{Selection{Limit: 5, Order: ByPath, Offset: 16}, 20, "/b/16"},
			{Selection{Limit: 5, Order: ByPath, Offset: 99}, 20, ""},
			{Selection{Limit: 5, Order: ByPath, Rule: "/b/{n}"}, 5, "/b/15"},
			{Selection{Limit: 5, State: StateFailing, Order: ByPath}, 2, "/a/07"},
			{Selection{Limit: 5, Text: "/a/1", Order: ByPath}, 5, "/a/10"},
			{Selection{Limit: 0}, 20, ""},
			{Selection{Limit: -1, Offset: -1}, 20, ""},
		} {
			part, total := p.Resources(c.s)
			first := ""
			if len(part) > 0 {
				first = part[0].Path
			}
			if total != c.total || first != c.first || len(part) > 5 {
				t.Errorf("%+v: %d of %d, the first is %q; want %d and %q", c.s, len(part), total, first, c.total, c.first)
			}
		}
		rules := p.Rules()
		if got := rules["/a/{n}"]; got.Resources != 15 || got.Failing != 1 || got.Watchers != 30 {
			t.Errorf("rule a has %d resources, %d failing, %d watchers", got.Resources, got.Failing, got.Watchers)
		}
		synctest.Wait()
	})
}

// TestSavedNeverFalls holds that what was saved is never told to be less than
// before, though the difference that it is falls.
func TestSavedNeverFalls(t *testing.T) {
	var r ruleTally
	for _, step := range []struct {
		counts         Counts
		avoided, saved float64
	}{
		{Counts{Unchanged: 5, SnapshotBytes: 10}, 0, 0}, // polled, and nobody watched
		{Counts{Unchanged: 10, WouldRequests: 25, PatchBytes: 100, WouldBytes: 500}, 15, 400},
		{Counts{Unchanged: 20, WouldRequests: 25, PatchBytes: 300, WouldBytes: 500}, 15, 400},
		{Counts{Unchanged: 30, WouldRequests: 50, PatchBytes: 400, WouldBytes: 900}, 20, 500},
	} {
		r.counts = step.counts
		if s := r.read(); s.Avoided != step.avoided || s.Saved != step.saved {
			t.Errorf("%+v: got %g and %g", step, s.Avoided, s.Saved)
		}
	}
}

// TestDashboardDocument: docs/dashboard.md says how much is remembered.
func TestDashboardDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/dashboard.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("its last %d polls", keptPolls), fmt.Sprintf("its last %d changes", keptChanges)} {
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/dashboard.md does not say %q", want)
		}
	}
}

// TestDocumentsAreKeptWhileSomebodyLooks: and no longer, nor where they are large.
func TestDocumentsAreKeptWhileSomebodyLooks(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		var pad atomic.Int64
		pad.Store(100)
		u.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"n":%d,"pad":"%s"}`, u.count(), strings.Repeat("x", int(pad.Load())))
		})
		defer mustWatch(t, p, Request{Rule: rule(), URL: "/x"}).Close()
		kept := func(documents bool) (n int) {
			r, _ := p.Resource(only(t, p).ID, documents)
			for _, c := range r.Changes {
				if c.Before != nil {
					n++
				}
			}
			return n
		}
		settle(5 * time.Second)
		if n := kept(true); n != 0 {
			t.Errorf("%d documents were kept before anybody looked", n)
		}
		settle(5 * time.Second)
		if n := kept(false); n != 0 {
			t.Errorf("%d documents are shown to one who may not see them", n)
		}
		if n := kept(true); n < 4 || n > 6 {
			t.Errorf("%d documents are kept after five changes", n)
		}
		pad.Store(maxBefore)
		settle(20 * time.Second)
		if n := kept(true); n != 0 {
			t.Errorf("%d large documents are kept", n)
		}
		pad.Store(100)
		settle(20 * time.Second)
		if n := kept(true); n != keptChanges {
			t.Errorf("%d documents are kept while somebody looks, want %d", n, keptChanges)
		}
		settle(2 * lookTime)
		if n := kept(false) + kept(true); n != 0 {
			t.Errorf("%d documents are kept long after anybody looked", n)
		}
	})
}
