package advise

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pollbridge/config"
)

// asker makes requests as one client.
func asker(t *testing.T, h http.Handler, client string) func(target string, headers ...string) {
	return func(target string, headers ...string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		r.Header.Set("User-Agent", client)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// TestRules: what is a poll and what is none, and how it is written.
func TestRules(t *testing.T) {
	second := time.Second
	for _, c := range []struct {
		name  string
		gaps  []time.Duration
		paths []string // asked for in turn
		want  []string // path and interval
	}{
		{"steady", []time.Duration{second, second, second}, []string{"/a"}, []string{"/a 1s"}},
		{"a bit late each", []time.Duration{5030 * time.Millisecond, 5080 * time.Millisecond, 5010 * time.Millisecond}, []string{"/a"}, []string{"/a 5s"}},
		{"one was missed", []time.Duration{second, second, 2 * second, second, second}, []string{"/a"}, []string{"/a 1s"}},
		{"too few", []time.Duration{second, second}, []string{"/a"}, nil},
		{"a person", []time.Duration{second, 7 * second, 60 * second, 3 * second, 20 * second}, []string{"/a"}, nil},
		{"too seldom", []time.Duration{time.Hour, time.Hour, time.Hour, time.Hour}, []string{"/a"}, nil},
		{"an identifier", []time.Duration{second, second, second}, []string{"/o/17"}, []string{"/o/{id} 1s"}},
		{"two", []time.Duration{second, second, second}, []string{"/u/17/o/0f8fad5b-d9cb-469f-a165-70867728950e"}, []string{"/u/{id}/o/{id2} 1s"}},
		{"a folder", []time.Duration{second, second, second}, []string{"/a/"}, []string{"/a/{$} 1s"}},
		{"two are no pattern", []time.Duration{second, second, second}, []string{"/x/oslo", "/x/bergen"}, []string{"/x/bergen 1s", "/x/oslo 1s"}},
		{"three of a shape are", []time.Duration{second, second, second}, []string{"/x/oslo", "/x/bergen", "/x/tromso"}, []string{"/x/{id} 1s"}},
		{"three of several shapes are not", []time.Duration{second, second, second}, []string{"/x/1a", "/x/2bb", "/x/3ccc"}, []string{"/x/1a 1s", "/x/2bb 1s", "/x/3ccc 1s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var a Adviser
				h := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					member := "name"
					if c.name == "three of several shapes are not" {
						member = r.URL.Path[3:]
					}
					w.Write([]byte(`{"` + member + `":1}`))
				}))
				ask := asker(t, h, "browser")
				for i := range len(c.gaps) + 1 {
					for _, path := range c.paths {
						ask(path)
					}
					if i < len(c.gaps) {
						time.Sleep(c.gaps[i])
					}
				}
				var got []string
				for _, r := range a.Rules() {
					got = append(got, r.Path+" "+r.Interval.String())
				}
				slices.Sort(got)
				if !slices.Equal(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		})
	}
}

// TestNotNoted: what is no plain GET that is answered well is no poll.
func TestNotNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a Adviser
		status := http.StatusOK
		h := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		ask := asker(t, h, "browser")
		for range 6 {
			status = http.StatusOK
			ask("/socket", "Upgrade", "websocket")
			ask("/events", "Accept", "text/event-stream")
			status = http.StatusInternalServerError
			ask("/broken")
			time.Sleep(time.Second)
		}
		if got := a.Rules(); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
}

// TestWrite: whatever paths are polled, what is written is a configuration, and
// a rule that conflicts with another is left out.
func TestWrite(t *testing.T) {
	rules := []Rule{
		{Path: "/a/{id}/c", Interval: time.Second}, {Path: "/a/b/{id}", Interval: time.Second, Keys: map[string]string{"/x": `a"b`}},
		{Path: "/a b", Interval: time.Second}, {Path: "/q\"uo\\te", Interval: time.Second}, {Path: "/.pollbridge/x", Interval: time.Second},
		{Path: "/ok", Interval: time.Second, Vary: []string{"Cookie"}, DropQuery: []string{"ts"}, Ignore: []string{"/t"}},
	}
	var b bytes.Buffer
	Write(&b, "http://127.0.0.1:9000", rules, time.Minute)
	cfg, err := config.Parse("advice.yaml", b.Bytes(), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	var got []string
	for _, e := range cfg.Endpoints {
		got = append(got, e.Path)
	}
	if !slices.Contains(got, "/a/{id}/c") || !slices.Contains(got, "/ok") || slices.Contains(got, "/a/b/{id}") || slices.Contains(got, "/.pollbridge/x") {
		t.Errorf("got %q\n%s", got, b.String())
	}
}

// TestBounded: what is kept does not grow with what clients invent.
func TestBounded(t *testing.T) {
	var a Adviser
	h := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{}`))
	}))
	path := []byte("/aaaaaa")
	ask := asker(t, h, "browser")
	for i := range 2 * maxSeries {
		for j := range 6 {
			path[1+j] = 'a' + byte(i>>(3*j)&7)
		}
		ask(string(path))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.series) != maxSeries || a.kept != maxKept {
		t.Errorf("%d series, %d with answers", len(a.series), a.kept)
	}
}
