package proxy

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollbridge/config"
)

const decisions = `
upstream: http://upstream.test/base
socket: /push
origins: [https://app.test]
endpoints:
  - {path: "/api/", interval: 1s, vary: []}
  - {path: "/api/{thing}", interval: 1s, vary: [Authorization, "Cookie:sid"], headers: {X-Key: k}, refresh_on: ["POST /orders"]}
  - {path: "/api/off", interval: 1s, serve: false}
  - {path: "/api/guarded", interval: 1s, vary: [Authorization], authorize: true, headers: {Authorization: service}}
`

// TestDecide holds that what is said to become of a request is what becomes of
// it, and that what is said to be sent upstream is what is sent.
func TestDecide(t *testing.T) {
	for _, c := range []struct {
		request string // method, target and headers
		way     Way
		why     error
		rule    string
		also    []string
		url     string
	}{
		{request: "GET /api/x", way: WayGet, rule: "/api/{thing}", also: []string{"/api/"}, url: "/api/x"},
		{request: "HEAD /api/x?_=1&a=2", way: WayGet, rule: "/api/{thing}", also: []string{"/api/"}, url: "/api/x?a=2"},
		{request: "GET /api/x|Authorization: me|Cookie: a=1; sid=2|X-Other: 3", way: WayGet, rule: "/api/{thing}", also: []string{"/api/"}, url: "/api/x"},
		{request: "GET /api/x/y", way: WayGet, rule: "/api/", url: "/api/x/y"},
		{request: "GET /api/x|Cache-Control: no-store", way: WayPass, why: errNoStore, rule: "/api/{thing}", also: []string{"/api/"}, url: "/api/x"},
		{request: "GET /api/x|Cache-Control: no-cache", way: WayGet, rule: "/api/{thing}", also: []string{"/api/"}, url: "/api/x"},
		{request: "GET /api/off", way: WayPass, why: errServe, rule: "/api/off", also: []string{"/api/", "/api/{thing}"}, url: "/api/off"},
		{request: "GET /api/off|Accept: text/event-stream", way: WayEvents, rule: "/api/off", also: []string{"/api/", "/api/{thing}"}, url: "/api/off"},
		{request: `GET /api/off|Prefer: wait=5|If-None-Match: "x"`, way: WayLongPoll, rule: "/api/off", also: []string{"/api/", "/api/{thing}"}, url: "/api/off"},
		{request: "GET /api/x|Prefer: wait=5", way: WayGet, rule: "/api/{thing}", also: []string{"/api/"}, url: "/api/x"},
		{request: "GET /api/x|Upgrade: websocket|Connection: Upgrade", way: WaySocket, rule: "/api/{thing}", also: []string{"/api/"}, url: "/api/x"},
		{request: "GET /push|Upgrade: websocket|Connection: Upgrade", way: WaySocket},
		{request: "GET /push", way: WayPass, why: errNoRule},
		{request: "GET /elsewhere|Upgrade: websocket|Connection: Upgrade", way: WayPass, why: errNoRule},
		{request: "GET /api/guarded|Authorization: me", way: WayGet, rule: "/api/guarded", also: []string{"/api/", "/api/{thing}"}, url: "/api/guarded"},
		{request: "POST /api/x", way: WayPass, rule: "/api/{thing}", also: []string{"/api/"}, url: "/api/x"},
		{request: "POST /orders", way: WayPass, why: errNoRule},
		{request: "GET /.pollbridge/pollbridge.js", way: WayReserved},
		{request: "POST /%2epollbridge/anything", way: WayReserved},
		{request: "GET /.pollbridge/socket|Upgrade: websocket|Connection: Upgrade", way: WaySocket},
		{request: "GET /api//x", way: WayPass, why: errSegment},
		{request: "GET /api/%2e%2e", way: WayPass, why: errSegment},
		{request: "GET /api/a%2fb", way: WayPass, why: errCharacter},
		{request: "GET /api/" + strings.Repeat("x", maxTarget), way: WayPass, why: errLong},
		{request: "OPTIONS /api/x|Origin: https://app.test|Access-Control-Request-Method: GET", way: WayPreflight, rule: "/api/{thing}", also: []string{"/api/"}, url: "/api/x"},
		{request: "OPTIONS /api/x|Origin: https://evil.test|Access-Control-Request-Method: GET", way: WayPass, why: errPreflight, rule: "/api/{thing}", also: []string{"/api/"}, url: "/api/x"},
	} {
		t.Run(strings.ReplaceAll(c.request, "/", "_")[:min(len(c.request), 60)], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, ask := decide(t, c.request)
				var rule string
				if d.Rule != nil {
					rule = d.Rule.Path
				}
				var also []string
				for _, e := range d.Also {
					also = append(also, e.Path)
				}
				if d.Way != c.way || d.Why != c.why || rule != c.rule || !slices.Equal(also, c.also) || d.URL != c.url {
					t.Errorf("got %q because %v, rule %q over %q, resource %q", d.Way, d.Why, rule, also, d.URL)
				}
				if post := strings.HasPrefix(c.request, "POST /orders"); post != (len(d.Refreshes) == 1) {
					t.Errorf("refreshes %v", d.Refreshes)
				}
				ask(d)
			})
		})
	}
}

// decide returns what is said of a request, and what makes the request and
// holds what happens against it.
func decide(t *testing.T, request string) (Decision, func(Decision)) {
	cfg, err := config.Parse("test.yaml", []byte(decisions), nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(request, "|")
	method, target, _ := strings.Cut(lines[0], " ")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	t.Cleanup(cancel)
	r := httptest.NewRequestWithContext(ctx, method, target, nil)
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	r.Header.Set("X-Mark", "the client's own") // no poll sends it
	var mu sync.Mutex
	var polls []*http.Request
	passed := false
	p, err := New(cfg, Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("X-Mark") != "" {
			passed = true
		} else {
			polls = append(polls, r.Clone(context.Background()))
		}
		rec := httptest.NewRecorder()
		rec.Header().Set("Content-Type", "application/json")
		rec.WriteString(`{"a":1}`)
		return rec.Result(), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p.Decide(r), func(d Decision) {
		p.ServeHTTP(httptest.NewRecorder(), r)
		mu.Lock()
		defer mu.Unlock()
		if passed != (d.Way == WayPass) {
			t.Errorf("%s: it passed through: %t", d.Way, passed)
		}
		for _, sent := range polls {
			if !slices.ContainsFunc([]*http.Request{d.Poll, d.Ask}, func(said *http.Request) bool {
				return said != nil && said.URL.String() == sent.URL.String() && reflect.DeepEqual(plainly(said.Header), plainly(sent.Header))
			}) {
				t.Errorf("%s %v was sent; said was %v", sent.URL, sent.Header, d.Poll)
			}
		}
		if polled := len(polls) > 0; polled != slices.Contains([]Way{WayGet, WayEvents, WayLongPoll}, d.Way) {
			t.Errorf("%s: %d polls", d.Way, len(polls))
		}
	}
}

// plainly is a header without the conditions that later polls have.
func plainly(h http.Header) http.Header {
	h = maps.Clone(h)
	h.Del("If-None-Match")
	return h
}
