package passthrough

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// The upstream's own WebSockets work: subprotocol, text, binary, messages larger than any buffer, and the close
// code, in both directions.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo.v1"}})
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		c.SetReadLimit(-1)
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if string(data) == "bye" {
				c.Close(4321, "as you wish")
				return
			}
			c.Write(r.Context(), kind, data)
		}
	}))
	statuses := make(chan int, 1)
	proxy := serve(t, newHandler(t, Options{
		Upstream:   upstream,
		OnResponse: func(_ *http.Request, status int, _ http.Header) { statuses <- status },
		OnError:    func(_ *http.Request, err error) { t.Error(err) },
	}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, proxy.String()+"/socket?a;b", &websocket.DialOptions{Subprotocols: []string{"echo.v1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if c.Subprotocol() != "echo.v1" {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	if status := await(t, statuses, "OnResponse"); status != http.StatusSwitchingProtocols {
		t.Errorf("status %d, want 101", status)
	}
	c.SetReadLimit(-1)
	for _, message := range []string{"", "Hello Server!", strings.Repeat("x", 1<<20)} {
		for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			go c.Write(ctx, kind, []byte(message))
			gotKind, got, err := c.Read(ctx)
			if err != nil || gotKind != kind || string(got) != message {
				t.Fatalf("echo of %d bytes of %v: %d bytes of %v, %v", len(message), kind, len(got), gotKind, err)
			}
		}
	}
	c.Write(ctx, websocket.MessageText, []byte("bye"))
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != 4321 {
		t.Errorf("at the end: %v, want close code 4321", err)
	}
}

const upgradeRequest = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// The tunnel opens with the upstream's 101 and carries bytes as they are, those included that came with the handshake.
// One side that says it is done can still listen.
func TestSwitchIsTransparent(t *testing.T) {
	t.Parallel()
	upstream := listen(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		readMessage(br, "")
		io.WriteString(conn, lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", "X-A: 1")+"early")
		all, _ := io.ReadAll(br)
		io.WriteString(conn, strings.ToUpper(string(all)))
	})
	conn := dial(t, through(t, upstream))
	io.WriteString(conn, upgradeRequest+"eager")
	br := bufio.NewReader(conn)
	m, err := readMessage(br, "GET")
	want := message{start: "HTTP/1.1 101 Switching Protocols",
		header: map[string][]string{"connection": {"Upgrade"}, "upgrade": {"websocket"}, "x-a": {"1"}}}
	if d := difference(want, m); d != nil || err != nil {
		t.Error(d, err)
	}
	early := make([]byte, 5)
	io.ReadFull(br, early)
	io.WriteString(conn, "\x00\r\nX")
	conn.CloseWrite()
	rest, err := io.ReadAll(br)
	if got := string(early) + string(rest); got != "earlyEAGER\x00\r\nX" || err != nil {
		t.Errorf("through the tunnel: %q, %v", got, err)
	}
}

// Without a real 101 there is no tunnel: what follows a refused upgrade is a request like any other.
func TestRefusedUpgradeIsNoTunnel(t *testing.T) {
	t.Parallel()
	upstream := newRawUpstream(t, func(m message) string {
		if strings.Contains(m.start, "/ws") {
			return lines("HTTP/1.1 403 Forbidden", "Connection: close", "Content-Length: 2") + "no"
		}
		return plainAnswer
	})
	conn := dial(t, through(t, upstream.url))
	io.WriteString(conn, upgradeRequest+lines("GET /second HTTP/1.1", "Host: h"))
	br := bufio.NewReader(conn)
	first, err := readMessage(br, "GET")
	if err != nil || first.start != "HTTP/1.1 403 Forbidden" || first.body != "no" {
		t.Errorf("first: %q, %v", first, err)
	}
	if second, err := readMessage(br, "GET"); err != nil || second.start != ok {
		t.Errorf("second: %q, %v", second, err)
	}
	seen := upstream.take()
	if len(seen) != 2 {
		t.Fatalf("upstream saw %d requests, want 2", len(seen))
	}
	checkForwarded(t, seen[1], "http")
	if d := difference(seen[1], message{start: "GET /second HTTP/1.1", header: map[string][]string{"host": {"h"}}}); d != nil {
		t.Error(d)
	}
}

// A 101 that nobody asked for, or to something else, is an answer that cannot be passed on.
func TestUnaskedSwitch(t *testing.T) {
	t.Parallel()
	for request, protocol := range map[string]string{
		lines("GET / HTTP/1.1", "Host: h"): "websocket",
		upgradeRequest:                     "h2c",
		lines("GET / HTTP/1.1", "Host: h", "Connection: Upgrade", "Upgrade: h2c"): "h2c",
	} {
		closed := make(chan error, 1)
		upstream := listen(t, func(conn net.Conn) {
			br := bufio.NewReader(conn)
			readMessage(br, "")
			io.WriteString(conn, lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: "+protocol))
			_, err := br.ReadByte()
			closed <- err
		})
		reports := make(chan error, 1)
		proxy := serve(t, newHandler(t, Options{Upstream: upstream, OnError: func(_ *http.Request, err error) { reports <- err }}))
		_, m := ask(t, proxy, request)
		if m.start != "HTTP/1.1 502 Bad Gateway" {
			t.Errorf("switch to %s: %q", protocol, m.start)
		}
		if err := await(t, reports, "the report"); !strings.Contains(err.Error(), protocol) {
			t.Errorf("reported: %v", err)
		}
		if err := await(t, closed, "the end of the upstream's connection"); err != io.EOF {
			t.Errorf("upstream read %v, want the end", err)
		}
	}
}
