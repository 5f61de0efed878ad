package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pollbridge/client"
)

// rewrite puts another configuration in the place of the one that a process was
// started with, as an editor does, or as Kubernetes does where link says so.
func (r *running) rewrite(yaml string) {
	r.t.Helper()
	next := filepath.Join(r.cmd.Dir, "next.yaml")
	if err := os.WriteFile(next, []byte(yaml), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(r.cmd.Dir, "config.yaml")); err != nil {
		r.t.Fatal(err)
	}
}

// reload asks for a reload by the admin listener.
func (r *running) reload() (status int, text string) {
	r.t.Helper()
	res, err := http.Post("http://"+r.admin+"/reload", "", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestReload holds how a reload is asked for, and that a configuration that is
// wrong changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	for _, path := range []string{"/api/orders", "/api/two", "/api/three"} {
		legacy.set(path, orders("open"))
	}
	base := "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nupstream: " + legacy.URL + "\n"
	rules := func(more string) string {
		return base + "endpoints:\n  - {path: /api/orders, interval: 20ms}\n" + more
	}
	r := serveConfig(t, rules(""))
	c := r.dial(ctx, "/api/orders")
	first := next(ctx, t, c)
	known := func(path string) string {
		t.Helper()
		if err := c.Subscribe(ctx, path, client.SubscribeOptions{}); err != nil {
			t.Fatal(err)
		}
		return next(ctx, t, c).Type
	}
	if got := known("/api/two"); got != client.TypeEnd {
		t.Fatalf("/api/two: %s", got)
	}

	r.rewrite(rules("  - {path: /api/two, interval: 20ms}\n"))
	r.signal(syscall.SIGHUP)
	r.errors.wait(t, `msg="configuration reloaded" .* endpoints=2 `)
	if got := known("/api/two"); got != client.TypeSnapshot {
		t.Errorf("/api/two after SIGHUP: %s", got)
	}
	r.rewrite(rules("  - {path: /api/two, interval: 20ms}\n  - {path: /api/three, interval: 20ms}\n"))
	if status, text := r.reload(); status != 200 || text != "reloaded\n" {
		t.Errorf("POST /reload: %d %s", status, text)
	}
	if got := known("/api/three"); got != client.TypeSnapshot {
		t.Errorf("/api/three after POST /reload: %s", got)
	}

	wrong := rules("  - {path: /api/two, interval: 20}\n  - {path: api, interval: 1s, oops: 1}\n")
	r.rewrite(wrong)
	status, text := r.reload()
	for _, want := range []string{"config.yaml:6: endpoints[1].interval", "config.yaml:7: endpoints[2].path", "endpoints[2].oops"} {
		if status != 400 || !strings.Contains(text, want) {
			t.Errorf("POST /reload of what is wrong: %d %s; want 400 and %s", status, text, want)
		}
	}
	r.errors.wait(t, `level=ERROR msg="configuration not reloaded.*interval.*oops`)
	if status, text := r.health("/readyz"); status != 200 {
		t.Errorf("/readyz after a reload that failed: %d %s", status, text)
	}
	for metric, want := range map[string]string{"pollbridge_config_last_reload_successful": "0"} {
		if _, page := r.health("/metrics"); !strings.Contains(page, metric+" "+want+"\n") {
			t.Errorf("%s is not %s", metric, want)
		}
	}
	if err := os.Remove(filepath.Join(r.cmd.Dir, "config.yaml")); err != nil {
		t.Fatal(err)
	}
	if status, text := r.reload(); status != 400 || text != "open config.yaml: no such file or directory\n" {
		t.Errorf("POST /reload of no file: %d %s", status, text)
	}
	other := newAPI(t)
	taken := strings.Replace(rules(""), "listen: 127.0.0.1:0", "listen: "+strings.TrimPrefix(other.URL, "http://"), 1)
	r.rewrite(taken + "tls: {cert: none.pem, key: none.pem}\n")
	if status, text := r.reload(); status != 400 || !strings.Contains(text, "is in use by another program") || !strings.Contains(text, "open none.pem") {
		t.Errorf("POST /reload of an address that is taken: %d %s", status, text)
	}
	r.rewrite(strings.Replace(rules(""), "admin:", "tracing: {endpoint: \"http://127.0.0.1:1\"}\nadmin:", 1))
	if status, text := r.reload(); status != 400 || !strings.Contains(text, "restart") {
		t.Errorf("POST /reload of another tracing: %d %s", status, text)
	}

	legacy.set("/api/orders", orders("sent")) // none of it was noticed by those who watch
	for {
		m := next(ctx, t, c)
		if m.URL == "/api/orders" {
			if m.Type != client.TypePatch || m.From != first.Version {
				t.Errorf("got %+v, want a patch from the first version", m)
			}
			break
		}
	}
}

// TestReloadListener holds that another address, another admin listener and
// another log are there after a reload, and that who was there stays.
func TestReloadListener(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", orders("open"))
	file := func(listen, more string) string {
		return "listen: " + listen + "\ndrain: 100ms\nupstream: " + legacy.URL + "\n" + more + "endpoints: [{path: /api/orders, interval: 20ms}]\n"
	}
	r := serveConfig(t, file("127.0.0.1:0", "admin: 127.0.0.1:0\n"))
	c := r.dial(ctx, "/api/orders")
	next(ctx, t, c)
	socket := filepath.Join(t.TempDir(), "s")
	r.rewrite(file("unix:"+socket, "listen_mode: 0600\nadmin: \"\"\nlog: {format: json, access: true}\n"))
	if status, text := r.reload(); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	r.errors.wait(t, `"msg":"configuration reloaded"`)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v %v", info, err)
	}
	for name, address := range map[string]string{"listen": r.address, "admin": r.admin} {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("%s: what was given up is still there", name)
		}
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // over connections that were there
		if _, err := http.Get("http://" + r.admin + "/livez"); err != nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("the admin listener still answers")
		}
	}
	over := unixClient(socket)
	res, err := over.Get("http://pollbridge/api/orders")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	r.errors.wait(t, `"msg":"request".*"path":"/api/orders".*"client":"127.0.0.1"`)
	legacy.set("/api/orders", orders("sent"))
	if m := next(ctx, t, c); m.Type != client.TypePatch {
		t.Errorf("who was there got %+v", m)
	}
	ws, _, err := websocket.Dial(ctx, "ws://pollbridge/api/orders", &websocket.DialOptions{HTTPClient: over})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if _, text, err := ws.Read(ctx); err != nil || !strings.Contains(string(text), `"snapshot"`) {
		t.Errorf("a socket over a socket: %s %v", text, err)
	}
	r.signal(syscall.SIGTERM)
	if code := r.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket's file is left behind")
	}
}

// TestReloadWatch holds that a file that changes is read again, also where links
// lead to it as in Kubernetes, and that a part of one is not taken for all.
func TestReloadWatch(t *testing.T) {
	t.Parallel()
	legacy := newAPI(t)
	base := "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nupstream: " + legacy.URL + "\nendpoints:\n  - {path: /a, interval: 1s}\n"
	dir := t.TempDir()
	mount := func(n int, yaml string) { // as the kubelet does
		t.Helper()
		data := fmt.Sprintf("..data_%d", n)
		link := filepath.Join(dir, "..link")
		if err := os.MkdirAll(filepath.Join(dir, data), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			os.WriteFile(filepath.Join(dir, data, "config.yaml"), []byte(yaml), 0o600),
			os.Symlink(data, link), os.Rename(link, filepath.Join(dir, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	mount(1, base)
	if err := os.Symlink(filepath.Join("..data", "config.yaml"), filepath.Join(dir, "config.yaml")); err != nil {
		t.Fatal(err)
	}
	r := &running{process: start(t, dir, "serve", "--watch")}
	r.errors.wait(t, `msg=serving`)
	mount(2, base+"  - {path: /b, interval: 1s}\n")
	r.errors.wait(t, `msg="configuration reloaded" .* endpoints=2 `)
	os.Remove(filepath.Join(dir, "config.yaml"))
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(base+"  - {path: /b, interval: 1s}\n  - {path: /c, interval: 1s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.errors.wait(t, `msg="configuration reloaded" .* endpoints=3 `)
}

// TestReloadStorm reloads a thousand times while clients of two kinds watch, and
// loses nothing: no socket, no change, no order.
func TestReloadStorm(t *testing.T) {
	t.Parallel()
	reloads, watchers := 1000, 60
	if testing.Short() || raceDetector() {
		reloads, watchers = 200, 20
	}
	ctx, legacy := within(t), newAPI(t)
	document := func(n int) string {
		return fmt.Sprintf(`{"n":%d,"list":[1,2,3,%d],"pad":"%0200d"}`, n, n%7, 0)
	}
	for i := range 3 {
		legacy.set(fmt.Sprint("/api/", i), document(0))
	}
	file := func(i int) string {
		return fmt.Sprintf(`listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: %s
log: {level: %s}
endpoints:
  - {path: "/api/{x}", interval: %s, linger: %ds, max_body: %dKiB, format: %s, ignore: [%s], refresh_on: ["POST /w"]}
  - {path: /other/%d, interval: 1s, vary: []}
limits: {connections: %d}
`, legacy.URL, []string{"info", "warn"}[i%2], []string{"10ms", "20ms", "30ms"}[i%3], i%5, 64+i%9, []string{"json-patch", "merge-patch", "snapshot"}[i/5%3], []string{"", "/x"}[i%2], i, 500+i%3)
	}
	r := serveConfig(t, file(0))
	before := r.resident()

	stop := make(chan struct{})
	var n, got, reconnects atomic.Int64
	var changing, watching sync.WaitGroup
	changing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(7 * time.Millisecond):
				for i := range 3 {
					legacy.set(fmt.Sprint("/api/", i), document(int(n.Load()+1)))
				}
				n.Add(1)
			}
		}
	})
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	last := make([]atomic.Int64, watchers)
	for i := range watchers {
		watching.Go(func() {
			url := fmt.Sprintf("ws://%s/api/%d", r.address, i%3)
			follow := watchWith
			if i%2 == 0 {
				follow = followRaw
			}
			follow(wctx, t, url, &reconnects, func(document []byte) {
				var d struct{ N int64 }
				if err := json.Unmarshal(document, &d); err != nil {
					t.Errorf("%v: %s", err, document)
				}
				if was := last[i].Swap(d.N); d.N < was {
					t.Errorf("a watcher was taken back from %d to %d", was, d.N)
				}
				got.Add(1)
			})
		})
	}
	for i := range reloads {
		r.rewrite(file(i + 1))
		if status, text := r.reload(); status != 200 {
			t.Fatalf("reload %d: %d %s", i+1, status, text)
		}
	}
	close(stop)
	changing.Wait()
	end := n.Load()
	deadline := time.Now().Add(patience)
	for i := range last {
		for last[i].Load() != end {
			if time.Now().After(deadline) {
				t.Fatalf("watcher %d has %d, the upstream %d", i, last[i].Load(), end)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	cancel()
	watching.Wait()
	t.Logf("%d reloads under %d sockets and %d changes each of 3 documents: %d updates were seen, %d connections lost; memory %d MiB before, %d MiB after",
		reloads, watchers, end, got.Load(), reconnects.Load(), before>>20, r.resident()>>20)
	if reconnects.Load() != 0 {
		t.Errorf("%d connections were lost", reconnects.Load())
	}
	if grown := r.resident() - before; grown > 150<<20 {
		t.Errorf("memory has grown by %d MiB", grown>>20)
	}
	if g := r.metric("go_goroutines"); g > 200 {
		t.Errorf("%v goroutines are left", g)
	}
}
