package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pollbridge/config"
)

// TestAdvise has clients poll an API through `advise`, as frontends do, and
// holds that the configuration that it prints polls the same.
func TestAdvise(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	legacy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/api/orders":
			fmt.Fprintf(w, `{"generated_at":%q,"orders":[{"number":"a1","state":"s%d"},{"number":"a2","state":"open"}]}`, time.Now().Format(time.RFC3339Nano), n.Add(1))
		case strings.HasPrefix(r.URL.Path, "/api/stations/"):
			fmt.Fprintf(w, `{"name":%q,"bikes":%d}`, r.URL.Path, n.Add(1))
		default:
			fmt.Fprint(w, `{"a":1}`)
		}
	}))
	defer legacy.Close()
	p := start(t, t.TempDir(), "advise", "--listen", "127.0.0.1:0", legacy.URL)
	base := p.errors.wait(t, `Everything passes through (http://\S+) to `)[1]
	end := make(chan struct{})
	var polling sync.WaitGroup
	poll := func(client, path string, every time.Duration, headers ...string) {
		polling.Go(func() {
			for i := 0; ; i++ {
				req, err := http.NewRequest("GET", base+strings.ReplaceAll(path, "COUNT", fmt.Sprint(1700000000000+i)), nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("User-Agent", client)
				for i := 0; i < len(headers); i += 2 {
					req.Header.Set(headers[i], headers[i+1])
				}
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				select {
				case <-end:
					return
				case <-time.After(every):
				}
			}
		})
	}
	poll("one", "/api/orders?_=COUNT&ts=COUNT", 100*time.Millisecond)
	poll("two", "/api/orders?_=COUNT&ts=COUNT", 100*time.Millisecond)
	poll("one", "/api/me", 200*time.Millisecond, "Authorization", "Bearer s3cret", "X-Api-Key", "s3cret")
	for _, city := range []string{"oslo", "bergen", "tromso"} {
		poll("one", "/api/stations/"+city, 150*time.Millisecond)
	}
	poll("one", "/api/jobs/4711", 200*time.Millisecond, "Cookie", "sid=s3cret")
	for range 3 { // no poll: nobody comes so often
		if res, err := http.Get(base + "/page"); err != nil {
			t.Error(err)
		} else {
			res.Body.Close()
		}
	}
	for _, pattern := range []string{"/api/orders", "/api/me", `/api/stations/\{id\}`, `/api/jobs/\{id\}`} {
		p.errors.wait(t, pattern+" is polled every ")
	}
	close(end)
	polling.Wait()
	p.signal(syscall.SIGINT)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	text := p.out.String()
	if strings.Contains(text+p.errors.String(), "s3cret") {
		t.Error("a secret is written")
	}
	cfg, err := config.Parse("advice.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]config.Endpoint{}
	for _, e := range cfg.Endpoints {
		rules[e.Path] = e
	}
	if len(rules) != 4 || cfg.Upstream.String() != legacy.URL {
		t.Errorf("%d rules for %s", len(rules), cfg.Upstream)
	}
	for path, want := range map[string]string{
		"/api/orders":        "[] [_ ts] [/generated_at] map[/orders:[number]]",
		"/api/me":            "[Authorization X-Api-Key] [_] [] map[]",
		"/api/stations/{id}": "[] [_] [] map[]",
		"/api/jobs/{id}":     "[Cookie] [_] [] map[]",
	} {
		e := rules[path]
		if got := fmt.Sprint(e.Vary, e.DropQuery, e.Ignore, e.Keys); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		if e.Interval < 50*time.Millisecond || e.Interval > 20*time.Second {
			t.Errorf("%s: every %s", path, e.Interval)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestAdviseNothing holds that it says so where nothing is polled.
func TestAdviseNothing(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "advise", "--listen", "127.0.0.1:0", "--for", "50ms", newAPI(t).URL)
	if code := p.code(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	p.errors.wait(t, "nothing was polled")
	for _, url := range []string{"ftp://localhost", "http://"} {
		if out, err := command(t, ".", "advise", url).CombinedOutput(); err == nil || !strings.Contains(string(out), "is none of an API") {
			t.Errorf("%s: %v: %s", url, err, out)
		}
	}
}
