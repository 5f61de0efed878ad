package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pollbridge/config"
	"pollbridge/internal/pipe"
)

// A world is a whole proxy in memory: a real server as the upstream, the real
// proxy on a real server before it, and real clients.
type world struct {
	t     *testing.T
	proxy *Proxy
	front *pipe.Listener
	http  *http.Client
	log   logged // of the proxy, in full

	mu       sync.Mutex // guards the fields below
	handler  http.HandlerFunc
	requests []*http.Request
}

// within runs f in a bubble with a proxy of the configuration given, to which
// the upstream is added.
func within(t *testing.T, yaml string, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		cfg, err := config.Parse("test.yaml", []byte("upstream: http://upstream.test\n"+yaml), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, front: pipe.Listen()}
		w.json(`{"n":1}`)
		back := pipe.Listen()
		quiet := slog.NewLogLogger(slog.DiscardHandler, 0)
		upstream := &http.Server{Handler: w, ErrorLog: quiet}
		go upstream.Serve(back)
		transport := back.Transport()
		w.proxy, err = New(cfg, Options{Transport: transport, Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: w.proxy, ErrorLog: quiet}
		go server.Serve(w.front)
		client := w.front.Transport()
		w.http = &http.Client{Transport: client}
		defer func() { // also after a test has failed: whatever runs on would hide why
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			w.proxy.Drain(ctx)
			cancel()
			w.proxy.Close()
			client.CloseIdleConnections()
			server.Close()
			transport.CloseIdleConnections()
			upstream.Close()
			time.Sleep(time.Minute)
		}()
		f(w)
	})
}

// ServeHTTP is the upstream's.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.requests = append(w.requests, r)
	h := w.handler
	w.mu.Unlock()
	h(rw, r)
}

func (w *world) answer(h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handler = h
}

func (w *world) json(text string) {
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, text)
	})
}

func (w *world) polls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.requests)
}

// A peer is a WebSocket client.
type peer struct {
	t  *testing.T
	ws *websocket.Conn
}

func (w *world) dial(path string, header http.Header) *peer {
	w.t.Helper()
	ws, res, err := websocket.Dial(context.Background(), "ws://proxy.test"+path, &websocket.DialOptions{HTTPClient: w.http, HTTPHeader: header})
	if err != nil {
		body := ""
		if res != nil {
			b, _ := io.ReadAll(res.Body)
			body = string(b)
		}
		w.t.Fatalf("dial %s: %v %s", path, err, body)
	}
	ws.SetReadLimit(-1)
	return &peer{w.t, ws}
}

func (p *peer) send(format string, args ...any) {
	p.t.Helper()
	if err := p.ws.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		p.t.Fatal(err)
	}
}

// next returns the next message, decoded, within a minute of silence.
func (p *peer) next() map[string]any {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	kind, text, err := p.ws.Read(ctx)
	if err != nil {
		p.t.Fatalf("read: %v", err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil || kind != websocket.MessageText {
		p.t.Fatalf("message %q: %v", text, err)
	}
	return m
}

// silent fails the test if anything arrives within d. It ends the connection.
func (p *peer) silent(d time.Duration) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if _, text, err := p.ws.Read(ctx); err == nil {
		p.t.Errorf("unexpected message %s", text)
	}
}

// want checks the next message: members of like have to be equal, and where a
// value is "*" present.
func (p *peer) want(like string) map[string]any {
	p.t.Helper()
	got := p.next()
	var want map[string]any
	if err := json.Unmarshal([]byte(like), &want); err != nil {
		p.t.Fatal(err)
	}
	matches(p.t, got, want)
	return got
}

func matches(t *testing.T, got, want map[string]any) {
	t.Helper()
	for name, v := range want {
		g, ok := got[name]
		inner, isObject := v.(map[string]any)
		switch {
		case v == "*" && ok:
		case isObject && name == "error":
			o, _ := g.(map[string]any)
			matches(t, o, inner)
		case fmt.Sprint(v) != fmt.Sprint(g):
			t.Fatalf("%s is %v, want %v, in %v", name, g, v, got)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Fatalf("unexpected member %s in %v", name, got)
		}
	}
}

const basic = `
endpoints:
  - {path: "/api/{thing}", interval: 1s, linger: 5s}
`

var big = strings.Repeat("x", 300)

func TestSnapshotPatchStaleCurrent(t *testing.T) {
	within(t, basic, func(w *world) {
		w.json(`{"n":1, "pad":"` + big + `"}`)
		p := w.dial("/api/x", nil)
		first := p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":1,"pad":"` + big + `"}}`)
		w.json(`{"n":2, "pad":"` + big + `"}`)
		second := p.want(`{"type":"patch","url":"/api/x","from":"` + first["version"].(string) + `","version":"*","at":"*","patch":[{"op":"replace","path":"/n","value":2}]}`)
		w.answer(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(503) })
		p.want(`{"type":"stale","url":"/api/x","since":"*","error":{"code":"upstream_status","message":"the upstream answered 503 Service Unavailable","status":503}}`)
		w.json(`{"n":2, "pad":"` + big + `"}`)
		p.want(`{"type":"current","url":"/api/x","version":"` + second["version"].(string) + `","at":"*"}`)
		w.json(`{"n":3}`)
		p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":3}}`)
		p.silent(10 * time.Second)
	})
}

func TestManySubscriptionsOnOneSocket(t *testing.T) {
	within(t, basic, func(w *world) {
		p := w.dial("/", nil)
		p.send("Hello Server!")
		p.want(`{"type":"error","error":{"code":"bad_message","message":"not a message: want a JSON object such as {\"type\":\"subscribe\",\"url\":\"/api/x\"}"}}`)
		p.send(`{"type":"subscribe","url":"/api/a"}`)
		p.want(`{"type":"snapshot","url":"/api/a","version":"*","at":"*","data":{"n":1}}`)
		p.send(`{"type":"subscribe","url":"/api/%%62?_=123&q=1#top"}`)
		p.want(`{"type":"alias","url":"/api/b?q=1","for":"/api/%62?_=123&q=1#top"}`)
		p.want(`{"type":"snapshot","url":"/api/b?q=1","version":"*","at":"*","data":{"n":1}}`)
		p.send(`{"type":"subscribe","url":"/elsewhere"}`)
		p.want(`{"type":"end","url":"/elsewhere","error":{"code":"not_found","message":"*"}}`)
		p.send(`{"type":"unsubscribe","url":"/api/a"}`)
		p.want(`{"type":"end","url":"/api/a"}`)
		p.send(`{"type":"unsubscribe","url":"/api/a"}`)
		p.want(`{"type":"error","error":"*"}`)
		p.ws.CloseNow()
	})
}
