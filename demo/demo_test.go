package demo

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollbridge/config"
)

// ask makes a request of the backend; headers are "Name: value".
func ask(l *Legacy, method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	return w
}

// TestEndpoints holds every endpoint to its shape, its size and its manners.
func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		path, contentType string
		least, most       int // bytes
		etag              bool
		elements          string // the array in it, by member names
		count             int    // and how many elements it has; -1: some
		id                string // by member names, what tells them apart
	}{
		{"/api/stations", "application/json", 100_000, 500_000, false, "data stations", 600, "station_id"},
		{"/legacy/api/stations", "application/json", 100_000, 500_000, false, "data stations", 600, "station_id"},
		{"/api/stations/harbour", "application/json", 10_000, 80_000, true, "data stations", 80, "station_id"},
		{"/api/trips/recent", "application/json", 5_000, 50_000, false, "", recentTrips, "trip_id"},
		{"/api/alerts", "application/geo+json", 100, 20_000, true, "features", -1, "properties alert id"},
		{"/api/system", "application/json", 500, 3_000, false, "", 0, ""},
		{"/api/city", "application/geo+json", 1_000, 10_000, true, "features", 2 + len(parks) + len(regions), ""},
		{"/stats", "application/json", 50, 3_000, false, "", 0, ""},
	} {
		t.Run(c.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(1)
				w := ask(l, "GET", c.path)
				if w.Code != http.StatusOK || w.Header().Get("Content-Type") != c.contentType {
					t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
				}
				if n := w.Body.Len(); n < c.least || n > c.most {
					t.Errorf("%d bytes, want %d to %d", n, c.least, c.most)
				}
				if tag := w.Header().Get("ETag"); (tag != "") != c.etag {
					t.Errorf("ETag %q", tag)
				}
				checkElements(t, w.Body.Bytes(), c.elements, c.count, c.id)
			})
		})
	}
}

func checkElements(t *testing.T, body []byte, path string, count int, id string) {
	t.Helper()
	var document any
	if err := json.Unmarshal(body, &document); err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	elements, ok := member(document, path).([]any)
	if !ok {
		if count != 0 {
			t.Fatalf("no array at %q", path)
		}
		return
	}
	if len(elements) != count && count >= 0 || len(elements) == 0 {
		t.Errorf("%d elements, want %d", len(elements), count)
	}
	if id == "" {
		return
	}
	seen := map[any]bool{}
	for _, e := range elements {
		key := member(e, id)
		if key == nil || seen[key] {
			t.Fatalf("the identity %v is missing or comes twice", key)
		}
		seen[key] = true
	}
}

func member(v any, path string) any {
	for name := range strings.FieldsSeq(path) {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ask(New(1), "GET", "/api/report.csv")
		lines := strings.SplitAfter(w.Body.String(), "\r\n")
		if len(lines) != len(regions)+2 || lines[len(lines)-1] != "" || strings.Count(lines[1], ",") != strings.Count(lines[0], ",") {
			t.Errorf("%s of\n%s", w.Header().Get("Content-Type"), w.Body)
		}
	})
}

// TestValidators holds that an ETag is honoured as long as the document stands,
// and not after.
func TestValidators(t *testing.T) {
	for _, path := range []string{"/api/stations/market", "/api/alerts", "/api/report.csv"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(1)
				ask(l, "POST", "/admin/freeze?seconds=10")
				first := ask(l, "GET", path)
				condition := "If-None-Match: " + first.Header().Get("ETag")
				time.Sleep(5 * time.Second)
				if w := ask(l, "GET", path, condition); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
					t.Errorf("while nothing happens: %d, %d bytes", w.Code, w.Body.Len())
				}
				time.Sleep(65 * time.Second) // an hour there
				w := ask(l, "GET", path, condition)
				if w.Code != http.StatusOK || bytes.Equal(w.Body.Bytes(), first.Body.Bytes()) {
					t.Errorf("an hour later: %d", w.Code)
				}
			})
		})
	}
}

func TestGzip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1)
		ask(l, "POST", "/admin/freeze?seconds=60")
		plain, packed := ask(l, "GET", "/api/report.csv"), ask(l, "GET", "/api/report.csv", "Accept-Encoding: gzip, br")
		z, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(z); err != nil || !bytes.Equal(body, plain.Body.Bytes()) {
			t.Errorf("unpacked (%v):\n%s\nwant\n%s", err, body, plain.Body)
		}
		if enc := packed.Header().Get("Content-Encoding"); enc != "gzip" || plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("Content-Encoding %q", enc)
		}
	})
}

// TestLatency holds that the legacy server takes its time, and little more.
func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1)
		for range 50 {
			started := time.Now()
			ask(l, "GET", "/api/system")
			if d := time.Since(started); d < 5*time.Millisecond || d > 30*time.Millisecond {
				t.Fatalf("answered after %v", d)
			}
		}
	})
}

// TestOutage holds that the API, and nothing else, is down for as long as was
// asked for and no longer than 10 s.
func TestOutage(t *testing.T) {
	for _, c := range []struct {
		seconds string
		lasts   time.Duration
	}{{"5", 5 * time.Second}, {"3600", maxOutage}, {"0", 0}} {
		synctest.Test(t, func(t *testing.T) {
			l := New(1)
			if w := ask(l, "POST", "/admin/outage?seconds="+c.seconds); w.Code != http.StatusNoContent {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if c.lasts > 0 {
				w := ask(l, "GET", "/api/stations")
				if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != fmt.Sprint(int(c.lasts.Seconds())) {
					t.Errorf("%s s: %d, Retry-After %q", c.seconds, w.Code, w.Header().Get("Retry-After"))
				}
				if w := ask(l, "GET", "/"); w.Code != http.StatusOK {
					t.Errorf("%s s: the page is down too: %d", c.seconds, w.Code)
				}
			}
			time.Sleep(c.lasts)
			if w := ask(l, "GET", "/api/stations"); w.Code != http.StatusOK {
				t.Errorf("%s s: %d after %v", c.seconds, w.Code, c.lasts)
			}
		})
	}
	for _, seconds := range []string{"", "-1", "soon"} {
		if w := ask(New(1), "POST", "/admin/outage?seconds="+seconds); w.Code != http.StatusBadRequest {
			t.Errorf("seconds=%s: %d, want 400", seconds, w.Code)
		}
	}
}

// TestFreeze holds that a frozen city says the same until it thaws, or is told
// to, and then goes on where it was.
func TestFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1)
		report := func() string {
			return ask(l, "GET", "/api/report.csv").Body.String() + ask(l, "GET", "/api/alerts").Body.String()
		}
		ask(l, "POST", "/admin/freeze?seconds=30")
		before, minutes := report(), l.city.minutes
		time.Sleep(29 * time.Second)
		if report() != before {
			t.Error("the frozen city moved")
		}
		ask(l, "POST", "/admin/freeze?seconds=0")
		time.Sleep(5 * time.Second)
		if report() == before {
			t.Error("the thawed city stands still")
		}
		if lived := l.city.minutes - minutes; lived > 6 {
			t.Errorf("in 5 s after it thawed the city lived %.1f of its minutes: it caught up", lived)
		}
	})
}

// TestMe holds that /api/me is each session's own.
func TestMe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1)
		if w := ask(l, "GET", "/api/me"); w.Code != http.StatusUnauthorized {
			t.Errorf("without a session: %d", w.Code)
		}
		if w := ask(l, "GET", "/api/me", "Cookie: sid=made-up"); w.Code != http.StatusUnauthorized {
			t.Errorf("with a session that was never given: %d", w.Code)
		}
		if w := ask(l, "POST", "/api/session?rider=nobody"); w.Code != http.StatusNotFound {
			t.Errorf("nobody signed in: %d", w.Code)
		}
		for login, name := range map[string]string{"mira": "Mira Okafor", "jonas": "Jonas Lindqvist"} {
			session := ask(l, "POST", "/api/session?rider="+login).Result().Cookies()
			if len(session) != 1 || !session[0].HttpOnly {
				t.Fatalf("cookies %v", session)
			}
			w := ask(l, "GET", "/api/me", "Cookie: theme=dark; sid="+session[0].Value)
			if !strings.Contains(w.Body.String(), name) {
				t.Errorf("%s sees %s", login, w.Body)
			}
		}
	})
}

// TestStats holds that the backend counts what it was asked, under bounded
// names.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1)
		sent := ask(l, "GET", "/api/system").Body.Len() + ask(l, "GET", "/api/system?_=1").Body.Len()
		tag := ask(l, "GET", "/api/stations/mills").Header().Get("ETag")
		ask(l, "GET", "/api/stations/nowhere")
		ask(l, "POST", "/admin/freeze?seconds=1")
		ask(l, "GET", "/api/stations/mills", "If-None-Match: "+tag)
		var stats struct{ Paths map[string]count }
		if err := json.Unmarshal(ask(l, "GET", "/stats").Body.Bytes(), &stats); err != nil {
			t.Fatal(err)
		}
		if got, want := stats.Paths["/api/system"], (count{Requests: 2, Bytes: int64(sent)}); got != want {
			t.Errorf("/api/system: %+v, want %+v", got, want)
		}
		if got := stats.Paths["/api/stations/{region}"].Requests; got != 3 || len(stats.Paths) != 2 {
			t.Errorf("%d requests for regions, paths %v", got, stats.Paths)
		}
	})
}

// TestConcurrently has everything asked for at once; the race detector judges.
func TestConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1)
		var group sync.WaitGroup
		for _, path := range []string{"/api/stations", "/api/stations/strand", "/api/trips/recent", "/api/alerts", "/api/system", "/api/report.csv", "/api/city", "/api/me", "/stats"} {
			for i := range 4 {
				group.Go(func() {
					for range 5 {
						ask(l, "POST", fmt.Sprintf("/admin/freeze?seconds=%d", i%2))
						if w := ask(l, "GET", path); w.Code >= 500 {
							t.Errorf("GET %s: %d", path, w.Code)
						}
						time.Sleep(100 * time.Millisecond)
					}
				})
			}
		}
		group.Wait()
	})
}

// TestConfig holds that the configuration is one that pollbridge accepts, with
// the addresses put in, and that the page shows its rules.
func TestConfig(t *testing.T) {
	const upstream, listen = "http://127.0.0.1:41234", "127.0.0.1:41235"
	text := Config(upstream, listen)
	cfg, err := config.Parse("config.yaml", text, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Upstream.String() != upstream || cfg.Listen != listen {
		t.Errorf("upstream %v, listen %v", cfg.Upstream, cfg.Listen)
	}
	for _, e := range cfg.Endpoints {
		if e.Interval > time.Second {
			t.Errorf("%s is polled every %v, want at least once a second", e.Path, e.Interval)
		}
	}
	if !bytes.HasSuffix(text, rules()) || len(rules()) < 500 {
		t.Errorf("the rules are not the end of the configuration:\n%s", rules())
	}
}
