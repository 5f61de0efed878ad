package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pollbridge/client"
)

// An api is a legacy API on loopback. It answers GET with JSON documents that a
// test sets, and echoes what is sent by another method.
type api struct {
	*httptest.Server

	mu        sync.Mutex // guards the fields below
	documents map[string]string
	headers   []http.Header // of the requests for documents
}

func newAPI(t *testing.T) *api {
	a := &api{documents: map[string]string{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

// set makes body what path answers from now on.
func (a *api) set(path, body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.documents[path] = body
}

// asked is how many requests have come.
func (a *api) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.headers)
}

// wasSent reports whether a request for a document had a header.
func (a *api) wasSent(name, value string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.headers, func(h http.Header) bool { return h.Get(name) == value })
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		fmt.Fprintf(w, "%s %s ", r.Method, r.URL.RequestURI())
		io.Copy(w, r.Body)
		return
	}
	a.mu.Lock()
	body, ok := a.documents[r.URL.Path]
	a.headers = append(a.headers, r.Header)
	a.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.HasPrefix(body, "<") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	io.WriteString(w, body)
}

// A running pollbridge.
type running struct {
	*process
	address, admin string // host:port
}

// serveBinary runs pollbridge in front of an upstream, on free ports, with what
// else the YAML says.
func serveBinary(t *testing.T, upstream, yaml string) *running {
	t.Helper()
	return serveConfig(t, "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nupstream: "+upstream+"\n"+yaml)
}

func serveConfig(t *testing.T, yaml string) *running {
	t.Helper()
	r := &running{process: start(t, writeConfig(t, yaml), "serve")}
	found := r.errors.wait(t, `msg=serving listen=(\S+) .* admin=(\S+)\n`)
	r.address, r.admin = found[1], found[2]
	return r
}

// writeConfig writes config.yaml, with a rule for /api/orders unless there are
// others in it, and returns its folder.
func writeConfig(t *testing.T, yaml string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if !strings.Contains(yaml, "endpoints:") {
		yaml += "\nendpoints: [{path: /api/orders, interval: 20ms}]\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// health returns the status and the text of a page of the admin listener.
func (r *running) health(path string) (int, string) {
	r.t.Helper()
	res, err := http.Get("http://" + r.admin + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(text))
}

// waitHealth waits until a page of the admin listener answers so.
func (r *running) waitHealth(path string, status int) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got, text := r.health(path)
		if got == status {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s still answers %d %s, want %d", path, got, text, status)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// dial opens a socket.
func (r *running) dial(ctx context.Context, path string) *client.Conn {
	r.t.Helper()
	c, err := client.Dial(ctx, "ws://"+r.address+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.CloseNow() })
	return c
}

func next(ctx context.Context, t *testing.T, c *client.Conn) client.Message {
	t.Helper()
	m, err := c.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// orders is a document that is large enough for a change of it to be told as a
// patch.
func orders(state string) string {
	return `[{"id":1,"state":"` + state + `"},{"id":2,"state":"delivered","to":"Karl Johans gate 1, Oslo","items":["bell","saddle"]}]`
}

func TestServe(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", orders("open"))
	r := serveBinary(t, legacy.URL, "drain: 100ms\n")
	for _, page := range []string{"/livez", "/readyz"} {
		if status, text := r.health(page); status != 200 || text != "ok" {
			t.Errorf("%s: %d %s", page, status, text)
		}
	}

	res, err := http.Post("http://"+r.address+"/api/orders?a;b=%zz", "text/plain", strings.NewReader("one more"))
	if err != nil {
		t.Fatal(err)
	}
	echo, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if want := "POST /api/orders?a;b=%zz one more"; string(echo) != want {
		t.Errorf("passed through: got %q, want %q", echo, want)
	}

	c := r.dial(ctx, "/api/orders")
	first := next(ctx, t, c)
	if first.Type != client.TypeSnapshot || string(first.Data) != orders("open") {
		t.Errorf("got %+v", first)
	}
	legacy.set("/api/orders", orders("sent"))
	if m := next(ctx, t, c); m.Type != client.TypePatch || m.From != first.Version || string(m.Patch) != `[{"op":"replace","path":"/0/state","value":"sent"}]` {
		t.Errorf("got %+v", m)
	}

	r.signal(syscall.SIGHUP)
	r.errors.wait(t, "msg=\"configuration reloaded\"")
	r.signal(syscall.SIGTERM)
	if _, err := c.Next(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the socket ended with %v, want close 1001", err)
	}
	if code := r.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	r.errors.wait(t, "msg=drained\n")
}

// TestDrain holds what SIGTERM does when sockets are to be closed over a time
// that is too long for anybody, and that a second signal ends it, but not one to reload.
func TestDrain(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", `[]`)
	r := serveBinary(t, legacy.URL, "drain: 2h\n")
	ended := make(chan error, 2)
	for range 2 { // the first is closed at once, the other after an hour
		c := r.dial(ctx, "/api/orders")
		next(ctx, t, c)
		go func() {
			_, err := c.Next(ctx)
			ended <- err
		}()
	}
	r.signal(syscall.SIGTERM)
	if err := <-ended; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("a socket ended with %v, want close 1001", err)
	}
	r.waitHealth("/readyz", 503)
	if _, text := r.health("/readyz"); text != "draining" {
		t.Errorf("/readyz says %q", text)
	}
	if status, _ := r.health("/livez"); status != 200 {
		t.Errorf("/livez answers %d while draining", status)
	}
	if _, err := r.dial(ctx, "/api/orders").Next(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("a new socket ended with %v, want close 1001", err)
	}
	if res, err := http.Get("http://" + r.address + "/elsewhere"); err != nil || res.StatusCode != 404 {
		t.Errorf("pass-through while draining: %v, %v", res, err)
	} else {
		res.Body.Close()
	}
	select {
	case err := <-ended:
		t.Fatalf("the other socket ended too: %v", err)
	case <-r.exited:
		t.Fatal("it ended before everybody was gone")
	default:
	}
	r.signal(syscall.SIGHUP) // has nothing end
	r.errors.wait(t, `msg="configuration not reloaded: the one before stays in force" errors=draining`)
	r.signal(syscall.SIGTERM)
	if code := r.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	r.errors.wait(t, `msg="ended before everything was finished" err="a second signal came"`)
	<-ended
}

// TestDrainFinishesRequests holds that a request under way is answered.
func TestDrainFinishesRequests(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		select {
		case <-answer:
			io.WriteString(w, "at last")
		case <-t.Context().Done():
		}
	}))
	t.Cleanup(slow.Close)
	r := serveBinary(t, slow.URL, "drain: 0s\n")
	got := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + r.address + "/slow")
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		got <- fmt.Sprint(string(text), err)
	}()
	<-asked
	r.signal(syscall.SIGTERM)
	r.waitHealth("/readyz", 503)
	close(answer)
	if text := <-got; text != "at last<nil>" {
		t.Errorf("got %q", text)
	}
	if code := r.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestPortInUse holds that an address that cannot be had is told with the key that
// gives it, and with what to do.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, key := range []string{"listen", "admin"} {
		other := map[string]string{"listen": "admin", "admin": "listen"}[key]
		dir := writeConfig(t, fmt.Sprintf("%s: %q\n%s: 127.0.0.1:0\nupstream: http://127.0.0.1:1\n", key, taken.Addr(), other))
		p := start(t, dir, "serve")
		if code := p.code(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		want := fmt.Sprintf("%s: %s is in use by another program: stop that one, or give another address\n", key, taken.Addr())
		if got := p.errors.String(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	for address, want := range map[string]string{
		"unix:/nowhere/x.sock": "there is no such directory",
		"192.0.2.1:8080":       "is no address of this machine", // for documentation (RFC 5737)
	} {
		p := start(t, writeConfig(t, fmt.Sprintf("listen: %q\nadmin: \"\"\nupstream: http://127.0.0.1:1\n", address)), "serve")
		p.errors.wait(t, "^listen: "+regexp.QuoteMeta(address)+":? "+want)
		if code := p.code(); code != 1 {
			t.Errorf("exit code %d", code)
		}
	}
}

// TestLogs holds that the log is what its settings say.
func TestLogs(t *testing.T) {
	t.Parallel()
	r := start(t, writeConfig(t, "listen: 127.0.0.1:0\nadmin: \"\"\nupstream: http://127.0.0.1:1\nlog: {format: json}\n"), "serve")
	line := r.errors.wait(t, `.*"msg":"serving".*\n`)[0]
	var entry struct{ Level, Msg, Listen, Upstream, Admin string }
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if entry.Level != "INFO" || entry.Upstream != "http://127.0.0.1:1" || !strings.HasPrefix(entry.Listen, "127.0.0.1:") || entry.Admin != "" {
		t.Errorf("got %s", line)
	}
	r.signal(syscall.SIGINT)
	if code := r.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
