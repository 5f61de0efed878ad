package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const behind = "docs/behind.md"

// proxies are the servers that docs/behind.md has a configuration for.
var proxies = []struct {
	language string // of the block
	listen   string // what to write another address for
	command  []string
	preamble string // before the configuration, for the test alone
	protocol bool   // it says by the PROXY protocol who the client is
	unix     bool   // pollbridge is to listen on a Unix socket
}{
	{"nginx", "listen 80;", nginxCommand, nginxPreamble, false, false},
	{"nginx", "listen 80;", nginxCommand, nginxPreamble, false, true},
	{"caddyfile", ":80 {", []string{"caddy", "run", "--adapter", "caddyfile", "--config", "FILE"}, "{\n\tadmin off\n}\n", false, false},
	{"haproxy", "bind :80", []string{"haproxy", "-db", "-f", "FILE"}, "", false, false},
	{"haproxy-tcp", "bind :80", []string{"haproxy", "-db", "-f", "FILE"}, "", true, false},
}

var nginxCommand = []string{"nginx", "-e", "stderr", "-p", "DIR", "-c", "FILE"}

const nginxPreamble = "daemon off; pid DIR/pid; error_log stderr;\n"

// TestBehind runs pollbridge behind each server that docs/behind.md is about,
// configured as it says.
func TestBehind(t *testing.T) {
	t.Parallel()
	yaml := oneBlock(t, behind, "yaml")
	for _, proxy := range proxies {
		name := proxy.language
		if proxy.unix {
			name += "-unix"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, err := exec.LookPath(proxy.command[0])
			if err != nil && os.Getenv("POLLBRIDGE_PROXIES") == "required" {
				t.Fatal(err)
			} else if err != nil {
				t.Skipf("%s is not installed", proxy.command[0])
			}
			b := &behindProxy{T: t, api: newAPI(t), hops: "127.0.0.2, 127.0.0.1"}
			b.api.set("/api/orders", orders("open"))
			listen, trusts := "127.0.0.1:0", "trusted_proxies:"
			if proxy.unix {
				listen = "unix:" + filepath.Join(open(t, t.TempDir()), "pollbridge.sock") + "\nlisten_mode: 0666"
			}
			if proxy.protocol {
				trusts, b.hops = "proxy_protocol:", "127.0.0.2"
			}
			b.running = serveConfig(t, strings.NewReplacer(`"127.0.0.1:8080"`, listen+"\nadmin: 127.0.0.1:0\nlimits: {connections_per_client: 2}",
				docAPI, b.api.URL, docInterval, "20ms", "trusted_proxies:", trusts).Replace(yaml))
			if proxy.unix {
				b.running.address = "unix:" + b.running.address // as nginx writes it
			}
			b.front = freeAddress(t)
			b.run(program, proxy.command[1:], proxy.preamble+b.configure(oneBlock(t, behind, proxy.language), proxy.listen))
			t.Run("get", func(t *testing.T) { b.get(t) })
			t.Run("passes", func(t *testing.T) { b.passes(t) })
			t.Run("socket", func(t *testing.T) { b.socket(t) })
			t.Run("events", func(t *testing.T) { b.events(t) })
			t.Run("longpoll", func(t *testing.T) { b.longPoll(t) })
			t.Run("address", func(t *testing.T) { b.addresses(t) })
		})
	}
}

// A behindProxy is pollbridge with a server before it.
type behindProxy struct {
	*testing.T
	api     *api
	running *running
	front   string // host:port of the server
	hops    string // what the API is told last of whom a client at 127.0.0.2 came by
}

// open lets every user into a directory of a test, and returns it.
func open(t *testing.T, dir string) string {
	t.Helper()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// configure puts the test's addresses into a configuration of the document.
func (b *behindProxy) configure(text, listen string) string {
	port := b.front[strings.LastIndex(b.front, ":"):]
	admin := b.running.admin[strings.LastIndex(b.running.admin, ":")+1:]
	if !strings.Contains(text, "127.0.0.1:8080") || !strings.Contains(text, listen) {
		b.Fatalf("the configuration has no 127.0.0.1:8080, or no %q:\n%s", listen, text)
	}
	there := strings.NewReplacer(":80", port, " 80;", " "+b.front+";").Replace(listen)
	return strings.NewReplacer("127.0.0.1:8080", b.running.address, listen, there, "port 9090", "port "+admin,
		"maxconn 65536", "maxconn 1000", // a test may not open that many files
	).Replace(text)
}

// run starts the server and waits until it answers.
func (b *behindProxy) run(program string, args []string, config string) {
	dir := open(b.T, b.TempDir())
	file := filepath.Join(dir, "config")
	place := strings.NewReplacer("DIR", dir, "FILE", file)
	if err := os.WriteFile(file, []byte(place.Replace(config)), 0o644); err != nil {
		b.Fatal(err)
	}
	c := exec.Command(program)
	for _, arg := range args {
		c.Args = append(c.Args, place.Replace(arg))
	}
	c.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	var said transcript
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { c.Wait(); close(exited) }()
	b.Cleanup(func() {
		c.Process.Signal(os.Interrupt)
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
			c.Process.Kill()
			<-exited
		}
		if b.Failed() {
			b.Logf("%s\n%s\n%s", c, config, said.String())
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if res, err := http.Get("http://" + b.front + "/api/orders"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-exited:
			b.Fatalf("%s ended: %s", c, said.String())
		default:
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s does not answer: %s", c, said.String())
		}
	}
}

// ask makes a request through the server, from a client's own address.
func (b *behindProxy) ask(t *testing.T, method, path string, headers ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+b.front+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := from("127.0.0.2").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// from is a client at an address of loopback.
func from(address string) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
}

func (b *behindProxy) get(t *testing.T) {
	res := b.ask(t, "GET", "/api/orders")
	body, _ := io.ReadAll(res.Body)
	if status := res.Header.Get("Cache-Status"); res.StatusCode != 200 || string(body) != orders("open") || !strings.HasPrefix(status, "pollbridge; ") {
		t.Errorf("got %d %q %s", res.StatusCode, status, body)
	}
}

// passes: what no rule names reaches the API, which is told who asked for what.
func (b *behindProxy) passes(t *testing.T) {
	b.api.set("/other", `"other"`)
	res := b.ask(t, "GET", "/other", "X-Forwarded-For", "192.0.2.1", "X-Probe", "1")
	if body, _ := io.ReadAll(res.Body); string(body) != `"other"` {
		t.Errorf("got %s", body)
	}
	b.api.mu.Lock()
	defer b.api.mu.Unlock()
	for _, h := range b.api.headers {
		if h.Get("X-Probe") == "" {
			continue
		}
		if hops := strings.Join(h["X-Forwarded-For"], ", "); !strings.HasSuffix(hops, b.hops) {
			t.Errorf("the API is told that %q asked", hops)
		}
		if host := h.Get("X-Forwarded-Host"); host != b.front {
			t.Errorf("the API is told that host %q was asked", host)
		}
		return
	}
	t.Error("the request did not reach the API")
}

// dial opens a socket through the server as a page of its host does.
func (b *behindProxy) dial(t *testing.T, address, lie string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	h := http.Header{"Origin": {"http://" + b.front}}
	if lie != "" {
		h.Set("X-Forwarded-For", lie)
	}
	c, res, err := websocket.Dial(ctx, "ws://"+b.front+"/api/orders", &websocket.DialOptions{HTTPClient: from(address), HTTPHeader: h})
	if err == nil {
		t.Cleanup(func() { c.CloseNow() })
	}
	return c, res, err
}

func (b *behindProxy) socket(t *testing.T) {
	b.api.set("/api/orders", orders("open"))
	c, _, err := b.dial(t, "127.0.0.2", "")
	if err != nil {
		t.Fatal(err)
	}
	until := func(want string) {
		t.Helper()
		for {
			_, message, err := c.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(message), want) {
				return
			}
		}
	}
	until(`"type":"snapshot"`)
	b.api.set("/api/orders", orders("sent by socket"))
	until("sent by socket")
}

// events holds that an event comes while the stream is open, and was not
// collected.
func (b *behindProxy) events(t *testing.T) {
	res := b.ask(t, "GET", "/api/orders", "Accept", "text/event-stream", "Accept-Encoding", "gzip")
	lines := bufio.NewScanner(res.Body)
	until := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("the stream ended before %q: %v", want, lines.Err())
	}
	until("event: snapshot")
	b.api.set("/api/orders", orders("sent by event"))
	until("sent by event")
}

func (b *behindProxy) longPoll(t *testing.T) {
	tag := b.ask(t, "GET", "/api/orders").Header.Get("Etag")
	answered := make(chan *http.Response, 1)
	go func() { answered <- b.ask(t, "GET", "/api/orders", "Prefer", "wait=30", "If-None-Match", tag) }()
	select {
	case res := <-answered:
		t.Errorf("it was answered at once, %d %s for %s", res.StatusCode, res.Header.Get("Etag"), tag)
	case <-time.After(200 * time.Millisecond):
		b.api.set("/api/orders", orders("sent by long-poll"))
		if res := <-answered; res.StatusCode != 200 || res.Header.Get("Etag") == tag {
			t.Errorf("got %d %s", res.StatusCode, res.Header.Get("Etag"))
		}
	}
}

// addresses holds that clients are told apart by who they are, and not by who
// they say they are: the limit of two connections holds for one client alone.
func (b *behindProxy) addresses(t *testing.T) {
	for i := range 2 {
		if _, _, err := b.dial(t, "127.0.0.3", fmt.Sprintf("192.0.2.%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, res, err := b.dial(t, "127.0.0.3", "192.0.2.9"); err == nil || res == nil || res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a client that says it is another is let in a third time: %v", err)
	}
	if _, _, err := b.dial(t, "127.0.0.4", ""); err != nil {
		t.Errorf("another client is not let in: %v", err)
	}
}

// TestBehindTimeouts holds that the timeouts of docs/behind.md are longer than
// the longest silence there is.
func TestBehindTimeouts(t *testing.T) {
	t.Parallel()
	const silence = 50 * time.Second // of a long-poll
	found := 0
	for _, language := range []string{"nginx", "haproxy"} {
		for _, m := range regexp.MustCompile(`(?m)(read_timeout|send_timeout|timeout client|timeout server|timeout tunnel) +(\w+)`).FindAllStringSubmatch(oneBlock(t, behind, language), -1) {
			found++
			if d, err := time.ParseDuration(m[2]); err != nil || d < silence*3/2 {
				t.Errorf("%s: %s %s", language, m[1], m[2])
			}
		}
	}
	if found != 5 {
		t.Errorf("found %d timeouts", found)
	}
}
