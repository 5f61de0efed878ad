package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// listenUnix serves an API on a Unix socket of a name, which ends with the test.
func listenUnix(t *testing.T, name string, h http.Handler) (path string, server *httptest.Server) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server = httptest.NewUnstartedServer(h)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return path, server
}

// TestUpstreamSocket holds that an API on a Unix socket is polled, and passed through to, like any other, and that people are shown
// its path.
func TestUpstreamSocket(t *testing.T) {
	t.Parallel()
	ctx, documents := within(t), newAPI(t)
	documents.set("/api/v2/orders", orders("open"))
	documents.set("/next", orders("next"))
	path, server := listenUnix(t, "app", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/orders": // as frameworks redirect: to the name that was asked for
			http.Redirect(w, r, "http://"+r.Host+"/api/v2/orders", http.StatusFound)
		case "/host":
			io.WriteString(w, r.Host)
		case "/socket":
			if c, err := websocket.Accept(w, r, nil); err == nil {
				kind, text, _ := c.Read(r.Context())
				c.Write(r.Context(), kind, text)
				c.CloseNow()
			}
		default:
			documents.ServeHTTP(w, r)
		}
	}))
	r := serveBinary(t, "unix:"+path, "")
	r.errors.wait(t, `msg=serving .*upstream=unix:`+path)
	c := r.dial(ctx, "/api/orders")
	if m := next(ctx, t, c); m.Type != "snapshot" || !strings.Contains(string(m.Data), "open") {
		t.Fatalf("who watches got %+v", m)
	}
	documents.set("/api/v2/orders", orders("sent"))
	if m := next(ctx, t, c); m.Type != "patch" {
		t.Errorf("after a change who watches got %+v", m)
	}
	res, err := http.Get("http://" + r.address + "/host")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if host, _ := io.ReadAll(res.Body); string(host) != r.address {
		t.Errorf("the API was told that %q was asked for, want %s", host, r.address)
	}
	ws, _, err := websocket.Dial(ctx, "ws://"+r.address+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.Write(ctx, websocket.MessageText, []byte("there and back"))
	if _, text, err := ws.Read(ctx); string(text) != "there and back" {
		t.Errorf("through a socket of the API's came %q, %v", text, err)
	}
	for url, want := range map[string]string{
		"/elsewhere":  "It passes through to unix:" + path + ": ",
		"/api/orders": "GET http://unix:" + path + ":/api/orders\n",
	} {
		out, err := command(t, r.cmd.Dir, "explain", url).Output()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("explain %s: %v, without %q: %s", url, err, want, out)
		}
	}
	p := start(t, t.TempDir(), "advise", "--listen", "127.0.0.1:0", "unix:"+path)
	through := p.errors.wait(t, `Everything passes through (http://\S+) to unix:`+path+`\.\n`)[1]
	if res, err := http.Get(through + "/host"); err != nil || res.StatusCode != 200 {
		t.Errorf("advise answers %v %v", res, err)
	} else {
		res.Body.Close()
	}

	other, _ := listenUnix(t, "other", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, orders("other"))
	}))
	const rest = "\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\nendpoints: [{path: /api/orders, interval: 20ms}]\n"
	r.rewrite("upstream: unix:" + other + rest)
	if status, text := r.reload(); status != 200 {
		t.Fatalf("another socket: %d %s", status, text)
	}
	for m := next(ctx, t, c); !strings.Contains(fmt.Sprintf("%s%s", m.Data, m.Patch), "other"); m = next(ctx, t, c) {
	}
	r.rewrite("upstream: unix:" + path + rest)
	server.Close()
	r.reload()
	r.errors.wait(t, `msg="poll failed" .*dial unix `+path)
	if res, err := http.Get("http://" + r.address + "/host"); err != nil || res.StatusCode != 502 {
		t.Errorf("without the API a client is answered %v %v, want 502", res, err)
	}
}
