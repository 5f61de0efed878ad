package poller

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pollbridge/diff"
)

// replicas answer in turn, each what it has, with validators that are right. An
// empty one fails.
func replicas(u *upstream, kind string, have ...string) {
	n := -1
	u.answer(func(w http.ResponseWriter, r *http.Request) {
		n++
		text := have[min(n, len(have)-1)]
		if text == "" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		tag := fmt.Sprintf(`"%x"`, text)
		w.Header().Set("Etag", tag)
		w.Header().Set("Content-Type", kind)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, strings.ReplaceAll(text, "NOW", fmt.Sprint(n)))
	})
}

// seen polls so often and returns what was shown after each poll, without what
// was shown before it.
func seen(t *testing.T, w *Watch, polls int) (bodies []string) {
	t.Helper()
	for range polls {
		if _, err := w.After(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if s := w.Newest(); s != nil && (len(bodies) == 0 || bodies[len(bodies)-1] != string(s.Body)) {
			bodies = append(bodies, string(s.Body))
		}
		time.Sleep(time.Millisecond)
	}
	return bodies
}

// TestConfirm: a change is believed once as many polls in a row have said it, and
// what is taken back is counted, whether it was believed or not.
func TestConfirm(t *testing.T) {
	const json, csv = "application/json", "text/csv"
	a, b, c := `{"n":1,"at":NOW}`, `{"n":2,"at":NOW}`, `{"n":3,"at":NOW}`
	at := func(doc string, n int) string { return strings.ReplaceAll(doc, "NOW", fmt.Sprint(n)) }
	fixedA, fixedB := `{"n":1}`, `{"n":2}`
	for name, s := range map[string]struct {
		confirm int
		kind    string
		have    []string
		want    []string
		flaps   uint64
	}{
		"believed at once":                   {0, json, []string{fixedA, fixedB, fixedB}, []string{fixedA, fixedB}, 0},
		"replicas that disagree":             {1, json, []string{fixedA, fixedB, fixedA, fixedB, fixedA, fixedA}, []string{fixedA, fixedB, fixedA, fixedB, fixedA}, 3},
		"and are not believed":               {2, json, []string{fixedA, fixedB, fixedA, fixedB, fixedA, fixedA}, []string{fixedA}, 2},
		"a change that stays":                {2, json, []string{fixedA, fixedB, fixedB, fixedB}, []string{fixedA, fixedB}, 0},
		"three in a row":                     {3, json, []string{a, b, b, a, b, b, b}, []string{at(a, 0), at(b, 6)}, 1},
		"two are not three":                  {3, json, []string{a, b, b, a, b, b}, []string{at(a, 0)}, 1},
		"what ignore names is none":          {2, json, []string{a, a, a, b, b}, []string{at(a, 0), at(b, 4)}, 0},
		"another change begins anew":         {2, json, []string{a, b, c, b, c, c}, []string{at(a, 0), at(c, 5)}, 0},
		"a failure in between begins anew":   {2, json, []string{fixedA, fixedB, "", fixedB, "", fixedB, fixedB}, []string{fixedA, fixedB}, 0},
		"a failure in between ends the row":  {2, json, []string{fixedA, fixedB, "", fixedB, "", fixedB}, []string{fixedA}, 0},
		"text":                               {2, csv, []string{"a\n", "b\n", "a\n", "b\n", "b\n"}, []string{"a\n", "b\n"}, 1},
		"text in which something else moves": {2, csv, []string{"a\n", "b NOW\n", "b NOW\n", "b NOW\n"}, []string{"a\n"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, p *Poller, u *upstream) {
				differ, err := diff.New(diff.Options{Ignore: []string{"/at", "/0"}})
				if err != nil {
					t.Fatal(err)
				}
				replicas(u, s.kind, s.have...)
				rule := rule()
				rule.Interval, rule.Differ, rule.Confirm = time.Hour, differ, s.confirm
				w := mustWatch(t, p, Request{Rule: rule, URL: "/x"})
				defer w.Close()
				if got := seen(t, w, len(s.have)); !slices.Equal(got, s.want) {
					t.Errorf("shown was %q, want %q", got, s.want)
				}
				if got := p.Rules()["/x"].Flaps; got != s.flaps {
					t.Errorf("%d changes were counted as taken back, want %d", got, s.flaps)
				}
			})
		})
	}
}

// TestConfirmIsSoon: what is not believed yet is asked for at the rule's own
// interval, however long it has been quiet.
func TestConfirmIsSoon(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		rule := rule()
		rule.MaxInterval, rule.Confirm = 10*time.Minute, 3
		w := mustWatch(t, p, Request{Rule: rule, URL: "/x"})
		defer w.Close()
		settle(2 * time.Hour)
		if w.Interval() < 9*time.Minute {
			t.Fatalf("the interval is %v", w.Interval())
		}
		u.body(`{"n":2}`)
		n := u.count()
		for u.count() == n {
			settle(100 * time.Millisecond)
		}
		if w.Behind() || string(w.Newest().Body) != `{"n":1}` {
			t.Errorf("at once: %s", w.Newest().Body)
		}
		settle(3 * time.Second)
		if s := w.Newest(); string(s.Body) != `{"n":2}` {
			t.Errorf("after 3 s: %s", s.Body)
		}
	})
}
