package client

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// TestConversations plays every script of testdata/conversations, with the
// test as the server and Watch as the client: on loopback sockets, and again
// over net.Pipe in simulated time. A line of a script is
//
//	simulated                 not on sockets: it waits for long
//	limit, throttle, resume   options of the watch
//	watch /path               starts it
//	open /path                the client opens that, and is let in
//	foreign /path             the client opens that, and is let in without the subprotocol
//	refuse /path status       the client opens that, and is refused
//	< message                 the server sends it; binary: a frame that is none
//	> message                 the client sends it
//	drop, close code reason   the server closes without, or with, a goodbye
//	closed code               the client closes
//	= update                  the watch yields it
//	leave                     the loop is left
//	cancel                    the context ends
//	! error                   the watch ends with it
func TestConversations(t *testing.T) {
	files, _ := filepath.Glob("testdata/conversations/*.txt")
	if len(files) == 0 {
		t.Fatal("no conversations")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if !strings.Contains(string(text), "\nsimulated\n") {
			t.Run(name+"/sockets", func(t *testing.T) {
				t.Parallel()
				c := newConversation(t)
				server := httptest.NewServer(c)
				defer server.Close()
				c.url = server.URL
				c.play(string(text))
			})
		}
		t.Run(name+"/simulated", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newConversation(t)
				c.url = "ws://server.test"
				c.options.NetDial = serve(t, c)
				c.play(string(text))
			})
		})
	}
}

// serve runs an HTTP server over net.Pipe and returns how to dial it.
func serve(t *testing.T, h http.Handler) func(ctx context.Context, network, address string) (net.Conn, error) {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.dial
}

// A pipeListener is the listening end of net.Pipe.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// A conversation is one script being played.
type conversation struct {
	t          *testing.T
	url        string
	options    Options
	ctx        context.Context
	cancel     context.CancelFunc
	handshakes chan *handshake
	conn       *websocket.Conn // the server's end of the newest
	frames     chan frame      // what came on it
	sizes      map[int]bool    // of the messages that were sent
	updates    chan Update
	leaveAfter int // updates, 0 for never
	ended      chan struct{}
	end        error // valid when ended is closed
}

// A handshake waits in its handler for what the script says.
type handshake struct {
	w    http.ResponseWriter
	r    *http.Request
	done chan struct{}
}

func newConversation(t *testing.T) *conversation {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	return &conversation{
		t: t, ctx: ctx, cancel: cancel,
		handshakes: make(chan *handshake),
		updates:    make(chan Update, 100),
		ended:      make(chan struct{}),
		sizes:      map[int]bool{0: true},
	}
}

func (c *conversation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := &handshake{w, r, make(chan struct{})}
	select {
	case c.handshakes <- h:
		<-h.done
	case <-c.ctx.Done():
	}
}

func (c *conversation) play(script string) {
	if strings.Contains(script, "\nleave") {
		c.leaveAfter = strings.Count(script, "\n= ")
	}
	for i, line := range strings.Split(strings.TrimSpace(script), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if err := c.step(word, rest); err != nil {
			c.t.Errorf("line %d: %s\n%v", i+1, line, err)
			break
		}
	}
	c.cancel()
	if c.conn != nil {
		c.conn.CloseNow()
	}
	<-c.ended
	for len(c.updates) > 0 && !c.t.Failed() {
		c.t.Errorf("not in the script: %s", show(<-c.updates))
	}
}

func (c *conversation) step(word, rest string) (err error) {
	switch word {
	case "#": // a comment
	case "limit":
		c.options.ReadLimit, err = strconv.ParseInt(rest, 10, 64)
	case "throttle":
		c.options.Throttle, err = time.ParseDuration(rest)
	case "resume":
		version, data, _ := strings.Cut(rest, " ")
		c.options.Resume = Update{Version: version, Data: []byte(data)}
	case "watch":
		c.watch(c.url + rest)
	case "open":
		return c.open(rest, Subprotocol)
	case "foreign":
		return c.open(rest, "")
	case "refuse":
		return c.refuse(rest)
	case "<":
		c.sizes[len(rest)] = true
		err = c.conn.Write(c.ctx, websocket.MessageText, []byte(rest))
	case "binary":
		err = c.conn.Write(c.ctx, websocket.MessageBinary, []byte("?"))
	case ">":
		return c.expectRequest(rest)
	case "drop":
		err = c.conn.CloseNow()
	case "close":
		code, reason, _ := strings.Cut(rest, " ")
		n, _ := strconv.Atoi(code)
		err = c.conn.Close(websocket.StatusCode(n), reason)
	case "closed":
		return c.expectClose(rest)
	case "=":
		return c.expectUpdate(rest)
	case "leave", "simulated": // seen before
	case "cancel":
		c.cancel()
	case "!":
		return c.expectEnd(rest)
	default:
		err = fmt.Errorf("there is no such word")
	}
	return err
}

// watch runs the loop, which is left after the script's last update if the
// script says so.
func (c *conversation) watch(url string) {
	go func() {
		defer close(c.ended)
		count := 0
		for u, err := range Watch(c.ctx, url, &c.options) {
			if err != nil {
				c.end = err
				continue // that it is the last is part of the promise
			}
			c.updates <- u
			if count++; count == c.leaveAfter {
				break
			}
		}
	}()
}

// handshake waits for the client to come, and for the path.
func (c *conversation) handshake(path string) (*handshake, error) {
	select {
	case h := <-c.handshakes:
		if h.r.URL.RequestURI() != path {
			close(h.done)
			return nil, fmt.Errorf("the client opened %s", h.r.URL.RequestURI())
		}
		return h, nil
	case <-c.ended:
		return nil, fmt.Errorf("the watch has ended: %v", c.end)
	case <-c.ctx.Done():
		return nil, fmt.Errorf("the client did not come")
	}
}

func (c *conversation) open(path, subprotocol string) error {
	h, err := c.handshake(path)
	if err != nil {
		return err
	}
	defer close(h.done)
	c.conn, err = websocket.Accept(h.w, h.r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
	if err == nil {
		c.frames = make(chan frame, 10)
		go read(c.ctx, c.conn, c.frames)
	}
	return err
}

// A frame is what the client sent, or how it ended.
type frame struct {
	text []byte
	err  error
}

func read(ctx context.Context, conn *websocket.Conn, frames chan<- frame) {
	for {
		_, text, err := conn.Read(ctx)
		frames <- frame{text, err}
		if err != nil {
			return
		}
	}
}

func (c *conversation) received() ([]byte, error) {
	select {
	case f := <-c.frames:
		return f.text, f.err
	case <-c.ctx.Done():
		return nil, fmt.Errorf("the client sent nothing")
	}
}

func (c *conversation) refuse(rest string) error {
	path, status, _ := strings.Cut(rest, " ")
	h, err := c.handshake(path)
	if err != nil {
		return err
	}
	defer close(h.done)
	code, err := strconv.Atoi(status)
	http.Error(h.w, "no", code)
	return err
}

func (c *conversation) expectRequest(want string) error {
	got, err := c.received()
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(decode(c.t, got), decode(c.t, []byte(want))) {
		return fmt.Errorf("the client sent %s", got)
	}
	return nil
}

func (c *conversation) expectClose(want string) error {
	text, err := c.received()
	if err == nil {
		return fmt.Errorf("the client sent %s", text)
	}
	if got := fmt.Sprintf("%d", websocket.CloseStatus(err)); got != want {
		return fmt.Errorf("the client closed with %v", err)
	}
	return nil
}

func (c *conversation) expectUpdate(want string) error {
	var u Update
	select {
	case u = <-c.updates:
	case <-c.ended:
		if len(c.updates) == 0 {
			return fmt.Errorf("the watch has ended: %v", c.end)
		}
		u = <-c.updates // it was the last
	case <-c.ctx.Done():
		return fmt.Errorf("the watch yields nothing")
	}
	if got := show(u); !c.same(got, want) {
		return fmt.Errorf("the watch yields %s", got)
	}
	if disconnected := u.Stale != nil && u.Stale.Code == CodeDisconnected; disconnected != (u.Bytes == 0) || !c.sizes[u.Bytes] {
		return fmt.Errorf("the message is said to have %d bytes", u.Bytes)
	}
	return nil
}

// same leaves out the URL where the script does.
func (c *conversation) same(got, want string) bool {
	if !strings.Contains(want, " url=") {
		got, _, _ = strings.Cut(got, " url=")
	}
	return got == want
}

// show writes an update as the scripts do.
func show(u Update) string {
	var b strings.Builder
	if u.Data == nil {
		b.WriteString("-")
	} else {
		fmt.Fprintf(&b, "%s %s at=%s", u.Version, u.Data, u.At.Format("15:04:05.999"))
	}
	if u.Stale != nil {
		fmt.Fprintf(&b, " stale=%s", u.Stale.Code)
		if u.Stale.Code != CodeDisconnected {
			fmt.Fprintf(&b, " since=%s", u.Since.Format("15:04:05.999"))
		}
	}
	if u.Patch != nil {
		fmt.Fprintf(&b, " %s=%s", map[bool]string{false: "patch", true: "merge"}[u.Merge], u.Patch)
	}
	if u.Lines {
		fmt.Fprintf(&b, " text=%q", u.Text())
	}
	fmt.Fprintf(&b, " url=%s", u.URL)
	return b.String()
}

func (c *conversation) expectEnd(want string) error {
	select {
	case <-c.ended:
	case <-time.After(20 * time.Second):
		return fmt.Errorf("the watch goes on")
	}
	got := ""
	if c.end != nil {
		got = strings.ReplaceAll(c.end.Error(), c.url, "URL")
	}
	if got != want {
		return fmt.Errorf("the watch ended with %s", got)
	}
	return nil
}
