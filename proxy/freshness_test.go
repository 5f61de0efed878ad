package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What the upstream says of its answers' freshness holds, beside the interval.
func TestGetUpstreamFreshness(t *testing.T) {
	for name, test := range map[string]struct {
		headers string // of the upstream, separated by |
		hits    int    // of 9 GETs, a second apart, at an interval of a minute
	}{
		"nothing said":     {"", 9},
		"no-cache":         {"Cache-Control: no-cache", 0},
		"max-age=0":        {"Cache-Control: max-age=0, must-revalidate", 0},
		"max-age=3":        {"Cache-Control: max-age=3", 7},
		"max-age=60":       {"Cache-Control: max-age=60", 9},
		"s-maxage wins":    {"Cache-Control: max-age=0, s-maxage=60", 9},
		"aged on arrival":  {"Cache-Control: max-age=60|Age: 55", 8},
		"Expires":          {"Date: Sat, 01 Jan 2000 00:00:00 GMT|Expires: Sat, 01 Jan 2000 01:00:00 GMT", 9},
		"Expires in past":  {"Expires: Fri, 31 Dec 1999 00:00:00 GMT", 0},
		"Expires: 0":       {"Expires: 0", 0},
		"max-age, Expires": {"Cache-Control: max-age=60|Expires: 0", 9},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, "endpoints: [{path: /api/x, interval: 1m}]", func(w *world) {
				w.answer(func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Content-Type", "application/json")
					for line := range strings.SplitSeq(test.headers, "|") {
						if name, value, ok := strings.Cut(line, ": "); ok {
							rw.Header().Set(name, value)
						}
					}
					io.WriteString(rw, `{}`)
				})
				w.do("GET", "/api/x")
				hits := 0
				for range 9 {
					time.Sleep(time.Second - time.Millisecond)
					polls := w.polls()
					res, _ := w.do("GET", "/api/x")
					if strings.Contains(res.Header.Get("Cache-Status"), "hit") {
						hits++
					} else if w.polls() == polls {
						t.Errorf("%s without a request to the upstream", res.Header.Get("Cache-Status"))
					}
				}
				if hits != test.hits {
					t.Errorf("%d of 9 from the snapshot, want %d", hits, test.hits)
				}
			})
		})
	}
}

func TestAccepts(t *testing.T) {
	for _, test := range []struct {
		accept string
		want   bool
	}{
		{"*/*", true}, {"application/json", true}, {"application/*", true}, {"text/html, application/*;q=0.1", true},
		{"text/html", false}, {"application/json;q=0", false}, {"application/json;q=0, */*", false}, {"*/*;q=0", false},
		{"application/xml, */*;q=0.8", true}, {"", false}, {"nonsense", false}, {"APPLICATION/JSON", true},
	} {
		if got := accepts([]string{test.accept}, "application/json; charset=utf-8"); got != test.want {
			t.Errorf("accepts(%q): %v, want %v", test.accept, got, test.want)
		}
	}
	if !accepts(nil, "application/json") {
		t.Error("no Accept is every type")
	}
}
