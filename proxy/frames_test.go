package proxy

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pollbridge/config"
)

// A rawConn is a client that sends the bytes it likes and reads frames on its
// own, by RFC 6455, section 5.2.
type rawConn struct {
	net.Conn
	in   *bufio.Reader
	said chan string // what the server sends, one frame each
}

const upgradeLines = "Host: proxy.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

func (w *world) connect() net.Conn {
	w.t.Helper()
	conn, err := w.front.Dial(context.Background(), "", "")
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// handshake sends a request and returns the answer, of which with 101 only
// the headers are read.
func (w *world) handshake(request string) (*rawConn, *http.Response) {
	w.t.Helper()
	c := &rawConn{Conn: w.connect(), said: make(chan string, 10_000)}
	c.in = bufio.NewReader(c)
	go c.Write([]byte(request))
	c.SetReadDeadline(time.Now().Add(time.Minute))
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		w.t.Fatalf("%q: %v", request, err)
	}
	c.SetReadDeadline(time.Time{})
	return c, res
}

// raw opens a WebSocket with more header lines and starts to read from it.
func (w *world) raw(path, lines string) *rawConn {
	w.t.Helper()
	c, res := w.handshake("GET " + path + " HTTP/1.1\r\n" + upgradeLines + lines + "\r\n")
	if got := res.Header.Get("Sec-WebSocket-Accept"); res.StatusCode != 101 || got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		w.t.Fatalf("handshake: %s, Sec-WebSocket-Accept %q", res.Status, got)
	}
	go c.listen()
	return c
}

func (c *rawConn) listen() {
	defer close(c.said)
	for {
		first, payload, err := c.readFrame()
		if err != nil {
			c.said <- "eof"
			return
		}
		c.said <- describeFrame(first, payload)
	}
}

// readFrame reads one frame, which servers do not mask and never fragment here.
func (c *rawConn) readFrame() (first byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch head[1] {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(c.in, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(c.in, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err != nil || n > 1<<20 {
		return 0, nil, fmt.Errorf("frame of %d bytes: %v", n, err)
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.in, payload)
	return head[0], payload, err
}

// describeFrame names a frame of the server's: the type of a message, pong and what
// it carries, close and its code.
func describeFrame(first byte, payload []byte) string {
	switch first {
	case 0x81, 0xc1:
		if first == 0xc1 {
			payload, _ = io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
		}
		var m struct{ Type string }
		if err := json.Unmarshal(payload, &m); err != nil {
			return fmt.Sprintf("text %q", payload)
		}
		return m.Type
	case 0x8a:
		return fmt.Sprintf("pong %.10s", payload)
	case 0x89:
		return "ping"
	case 0x88:
		if len(payload) == 0 {
			return "close"
		}
		if len(payload) == 1 || len(payload) > 125 {
			return fmt.Sprintf("bad close frame of %d bytes", len(payload))
		}
		return fmt.Sprintf("close %d", binary.BigEndian.Uint16(payload))
	}
	return fmt.Sprintf("frame %#x %q", first, payload)
}

// next returns what the server says next, within a minute.
func (c *rawConn) next() string {
	select {
	case s := <-c.said:
		return s
	case <-time.After(time.Minute):
		return "silence"
	}
}

// rawFrame makes a masked frame of a client (RFC 6455, section 5.3).
func rawFrame(first byte, payload string) string {
	return rawHeader(first, uint64(len(payload)), 0x80) + "\x01\x02\x03\x04" + rawMask(payload)
}

func rawHeader(first byte, n uint64, mask byte) string {
	b := []byte{first, mask}
	switch {
	case n < 126:
		b[1] |= byte(n)
	case n <= 0xffff:
		b[1] |= 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] |= 127
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return string(b)
}

func rawMask(payload string) string {
	b := []byte(payload)
	for i := range b {
		b[i] ^= byte(i&3 + 1)
	}
	return string(b)
}

func rawText(s string) string { return rawFrame(0x81, s) }

func rawClose(code uint16, reason string) string {
	return rawFrame(0x88, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

func rawDeflate(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	io.WriteString(w, s)
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

const (
	deflateLine = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	subscribing = `{"type":"subscribe","url":"/api/x"}`
)

// TestFrames sends frames as RFC 6455 has them and as it forbids them. What
// comes back ends with "open" where the socket has to work on.
func TestFrames(t *testing.T) {
	const half = len(subscribing) / 2
	for _, c := range []struct{ name, lines, in, out string }{
		// Section 5.4: fragments.
		{"whole", "", rawText(subscribing), "snapshot open"},
		{"two fragments", "", rawFrame(1, subscribing[:half]) + rawFrame(0x80, subscribing[half:]), "snapshot open"},
		{"fragments of one byte", "", rawFragments(subscribing, 1), "snapshot open"},
		{"empty fragments", "", rawFrame(1, "") + rawFrame(0, "") + rawFrame(0, subscribing) + rawFrame(0x80, ""), "snapshot open"},
		{"ping between fragments", "", rawFrame(1, subscribing[:half]) + rawFrame(0x89, "p") + rawFrame(0x80, subscribing[half:]), "pong p snapshot open"},
		{"pong between fragments", "", rawFrame(1, subscribing[:half]) + rawFrame(0x8a, "p") + rawFrame(0x80, subscribing[half:]), "snapshot open"},
		{"close between fragments", "", rawFrame(1, subscribing[:half]) + rawClose(1000, ""), "close 1000 eof"},
		{"text between fragments", "", rawFrame(1, subscribing[:half]) + rawText(subscribing), "close 1002 eof"},
		{"continuation of nothing", "", rawFrame(0x80, subscribing), "close 1002 eof"},
		{"continuation after the end", "", rawText("{}") + rawFrame(0x80, "x"), "error close 1002 eof"},
		{"unfinished", "", rawFrame(1, "abc"), "open"},

		// Section 5.5: control frames.
		{"ping", "", rawFrame(0x89, "hello"), "pong hello open"},
		{"empty ping", "", rawFrame(0x89, ""), "pong  open"},
		{"ping of 125", "", rawFrame(0x89, strings.Repeat("p", 125)), "pong pppppppppp open"},
		{"ping of 126", "", rawFrame(0x89, strings.Repeat("p", 126)), "close 1002 eof"},
		{"pings in order", "", rawFrame(0x89, "1") + rawFrame(0x89, "2") + rawFrame(0x89, "3"), "pong 1 pong 2 pong 3 open"},
		{"ping in fragments", "", rawFrame(0x09, "p"), "close 1002 eof"},
		{"close in fragments", "", rawFrame(0x08, "\x03\xe8"), "close 1002 eof"},
		{"pong nobody asked for", "", rawFrame(0x8a, "p"), "open"},
		{"pong of 126", "", rawFrame(0x8a, strings.Repeat("p", 126)), "close 1002 eof"},
		{"close of 126", "", rawClose(1000, strings.Repeat("r", 124)), "close 1002 eof"},
		{"ping before close", "", rawFrame(0x89, "p") + rawClose(1001, "bye"), "pong p close 1001 eof"},
		{"ping after close", "", rawClose(1001, "bye") + rawFrame(0x89, "p"), "close 1001 eof"},
		{"text after close", "", rawClose(1000, "") + rawText(subscribing), "close 1000 eof"},

		// Section 7.4: close codes.
		{"close without code", "", rawFrame(0x88, ""), "close eof"},
		{"close with half a code", "", rawFrame(0x88, "\x03"), "close 1002 eof"},
		{"close 0", "", rawClose(0, ""), "close 1002 eof"},
		{"close 999", "", rawClose(999, ""), "close 1002 eof"},
		{"close 1004", "", rawClose(1004, ""), "close 1002 eof"},
		{"close 1005", "", rawClose(1005, ""), "close 1002 eof"},
		{"close 1006", "", rawClose(1006, ""), "close 1002 eof"},
		{"close 1015", "", rawClose(1015, ""), "close 1002 eof"},
		{"close 2999", "", rawClose(2999, ""), "close 1002 eof"},
		{"close 3000", "", rawClose(3000, ""), "close 3000 eof"},
		{"close 4999", "", rawClose(4999, "done"), "close 4999 eof"},
		{"close 5000", "", rawClose(5000, ""), "close 1002 eof"},
		{"close with a long reason", "", rawClose(1000, strings.Repeat("r", 123)), "close 1000 eof"},

		// Section 5.2: bits and opcodes. Section 5.1: masks.
		{"RSV1", "", rawFrame(0xc1, subscribing), "close 1002 eof"},
		{"RSV2", "", rawFrame(0xa1, subscribing), "close 1002 eof"},
		{"RSV3", "", rawFrame(0x91, subscribing), "close 1002 eof"},
		{"RSV1 on a ping", deflateLine, rawFrame(0xc9, "p"), "close 1002 eof"},
		{"opcode 3", "", rawFrame(0x83, "x"), "close 1002 eof"},
		{"opcode 7", "", rawFrame(0x87, "x"), "close 1002 eof"},
		{"opcode 11", "", rawFrame(0x8b, "x"), "close 1002 eof"},
		{"opcode 15", "", rawFrame(0x8f, "x"), "close 1002 eof"},
		{"unmasked text", "", rawHeader(0x81, 5, 0) + "Hello", "eof"},
		{"unmasked ping", "", rawHeader(0x89, 0, 0), "eof"},
		{"unmasked close", "", rawHeader(0x88, 0, 0), "eof"},
		{"length with the highest bit", "", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", "eof"},

		// Section 8.1 and 5.6: what the frames carry.
		{"bad UTF-8", "", rawText("\"\xff\""), "close 1007 eof"},
		{"surrogate", "", rawText("\"\xed\xa0\x80\""), "close 1007 eof"},
		{"cut UTF-8", "", rawText("\"\xe2\x82"), "close 1007 eof"},
		{"bad UTF-8 over fragments", "", rawFrame(1, "\"\xe2\x82") + rawFrame(0x80, "\""), "close 1007 eof"},
		{"a character over fragments", "", rawFrame(1, "\"\xe2\x82") + rawFrame(0x80, "\xac\""), "error open"},
		{"binary", "", rawFrame(0x82, subscribing), "error open"},
		{"bad UTF-8 as binary", "", rawFrame(0x82, "\xff"), "error open"},
		{"empty text", "", rawText(""), "error open"},
		{"NUL", "", rawText("\x00"), "error open"},
		{"largest message", "", rawText(strings.Repeat("x", readLimit)), "error open"},
		{"too large", "", rawText(strings.Repeat("x", readLimit+1)), "close 1009 eof"},
		{"too large in fragments", "", rawFragments(strings.Repeat("x", readLimit+1), 10_000), "close 1009 eof"},
		{"said to be larger than everything", "", rawHeader(0x81, 1<<62, 0x80) + "\x01\x02\x03\x04" + strings.Repeat("x", readLimit+2), "close 1009 eof"},
		{"deep", "", rawText(strings.Repeat("[", 60_000)), "error open"},

		// RFC 7692: compression.
		{"deflated", deflateLine, rawFrame(0xc1, rawDeflate(subscribing)), "snapshot open"},
		{"plain though deflate was agreed", deflateLine, rawText(subscribing), "snapshot open"},
		{"deflated in fragments", deflateLine, rawFrame(0x41, rawDeflate(subscribing)[:5]) + rawFrame(0x80, rawDeflate(subscribing)[5:]), "snapshot open"},
		{"RSV1 on a continuation", deflateLine, rawFrame(0x41, rawDeflate(subscribing)[:5]) + rawFrame(0xc0, rawDeflate(subscribing)[5:]), "close 1002 eof"},
		{"two deflated", deflateLine, rawFrame(0xc1, rawDeflate("1")) + rawFrame(0xc1, rawDeflate("2")), "error error open"},
		{"no deflate data", deflateLine, rawFrame(0xc1, "\xff\xff\xff\xff"), "eof"},
		{"bomb", deflateLine, rawFrame(0xc1, rawDeflate(strings.Repeat("x", 10<<20))), "close 1009 eof"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			within(t, basic, func(w *world) {
				w.proxy.now().cfg.Compression = c.lines == deflateLine // no configuration may say so yet
				conn := w.raw("/", c.lines)
				defer conn.Close()
				go conn.Write([]byte(c.in))
				got := ""
				want, open := strings.CutSuffix(c.out, "open")
				for len(got) < len(want) {
					got += conn.next() + " "
				}
				if strings.TrimSpace(got) != strings.TrimSpace(want) {
					t.Fatalf("got %q, want %q", got, want)
				}
				if open {
					conn.stillWorks(t)
				}
			})
		})
	}
}

// stillWorks checks that a ping is answered, and the goodbye returned.
func (c *rawConn) stillWorks(t *testing.T) {
	t.Helper()
	go c.Write([]byte(rawFrame(0x89, "alive") + rawClose(1000, "")))
	for _, want := range []string{"pong alive", "close 1000", "eof"} {
		if got := c.next(); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func rawFragments(s string, size int) string {
	var b strings.Builder
	for i := 0; i < len(s); i += size {
		first, end := byte(0), min(i+size, len(s))
		if i == 0 {
			first = 1
		}
		if end == len(s) {
			first |= 0x80
		}
		b.WriteString(rawFrame(first, s[i:end]))
	}
	return b.String()
}

// TestHandshakes sends requests that are, are nearly, and are not a WebSocket
// handshake (RFC 6455, section 4.2.1).
func TestHandshakes(t *testing.T) {
	without := func(line string) string { return strings.Replace(upgradeLines, line, "", 1) }
	const (
		key     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		version = "Sec-WebSocket-Version: 13\r\n"
		upgrade = "Upgrade: websocket\r\n"
		connect = "Connection: Upgrade\r\n"
	)
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"plain", "GET / HTTP/1.1\r\n" + upgradeLines, 101},
		{"on a rule's url", "GET /api/x HTTP/1.1\r\n" + upgradeLines, 101},
		{"with a query", "GET /?a=b HTTP/1.1\r\n" + upgradeLines, 101},
		{"case", "GET / HTTP/1.1\r\n" + without(upgrade) + "uPGRADE: WebSocket\r\n", 101},
		{"as Firefox does", "GET / HTTP/1.1\r\n" + without(connect) + "Connection: keep-alive, Upgrade\r\n", 101},
		{"two Connection lines", "GET / HTTP/1.1\r\n" + without(connect) + "Connection: keep-alive\r\nConnection: upgrade\r\n", 101},
		{"no key", "GET / HTTP/1.1\r\n" + without(key), 400},
		{"two keys", "GET / HTTP/1.1\r\n" + upgradeLines + key, 400},
		{"short key", "GET / HTTP/1.1\r\n" + without(key) + "Sec-WebSocket-Key: YQ==\r\n", 400},
		{"key that is not base64", "GET / HTTP/1.1\r\n" + without(key) + "Sec-WebSocket-Key: !!!\r\n", 400},
		{"no version", "GET / HTTP/1.1\r\n" + without(version), 400},
		{"version 8", "GET / HTTP/1.1\r\n" + without(version) + "Sec-WebSocket-Version: 8\r\n", 400},
		{"no Connection", "GET / HTTP/1.1\r\n" + without(connect), 426},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n" + upgradeLines, 426},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: other.test\r\n" + upgradeLines, 400},
		{"another origin", "GET / HTTP/1.1\r\nOrigin: http://evil.test\r\n" + upgradeLines, 403},
		{"not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
		{"a space too many", "GET  / HTTP/1.1\r\n" + upgradeLines, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			within(t, basic, func(w *world) {
				conn, res := w.handshake(c.request + "\r\n\r\n"[:2])
				if res.StatusCode != c.status {
					t.Errorf("got %s, want %d", res.Status, c.status)
				}
				conn.Close()
			})
		})
	}
}

// TestBytesWithTheHandshake sends the first messages without waiting for the
// answer to the handshake, all in one write and in every cut of it.
func TestBytesWithTheHandshake(t *testing.T) {
	all := "GET / HTTP/1.1\r\n" + upgradeLines + "\r\n" + rawText(subscribing) + rawFrame(0x89, "p") + rawText("{}")
	first := strings.Index(all, "\r\n\r\n")
	cuts := []int{0, first - 1, first + 2, first + 4, first + 5, first + 6, first + 12, len(all) - 3}
	for _, cut := range cuts {
		within(t, basic, func(w *world) {
			conn := &rawConn{Conn: w.connect(), said: make(chan string, 100)}
			conn.in = bufio.NewReader(conn)
			go func() {
				conn.Write([]byte(all[:cut]))
				time.Sleep(time.Second)
				conn.Write([]byte(all[cut:]))
			}()
			res, err := http.ReadResponse(conn.in, nil)
			if err != nil || res.StatusCode != 101 {
				t.Fatalf("cut at %d: %v %v", cut, res, err)
			}
			go conn.listen()
			got := map[string]bool{conn.next(): true, conn.next(): true, conn.next(): true}
			if !got["snapshot"] || !got["pong p"] || !got["error"] {
				t.Errorf("cut at %d: got %v", cut, got)
			}
			conn.stillWorks(t)
			conn.Close()
		})
	}
}

// TestHalfHandshake leaves in the middle of everything. That nothing of it is
// left behind is held by the bubble, which ends only when all goroutines have.
func TestHalfHandshake(t *testing.T) {
	all := "GET /api/x HTTP/1.1\r\n" + upgradeLines + "\r\n" + rawFrame(1, subscribing[:9]) + rawFrame(0x89, "p") + rawFrame(0x80, subscribing[9:])
	for cut := 0; cut <= len(all); cut += 7 {
		within(t, basic, func(w *world) {
			conn := w.connect()
			go io.Copy(io.Discard, conn)
			conn.Write([]byte(all[:cut]))
			time.Sleep(time.Duration(cut%3) * time.Second)
			conn.Close()
			time.Sleep(10 * time.Second)
			if n := w.proxy.poller.Watched(); n != 0 {
				t.Errorf("cut at %d: %d resources are polled still", cut, n)
			}
		})
	}
}

// TestGoodbyeOverTCP sends what is refused, and more after it, on real sockets:
// a connection that is closed with bytes unread is reset, which must not take
// the close frame with it that says why.
func TestGoodbyeOverTCP(t *testing.T) {
	cfg, err := config.Parse("test.yaml", []byte("upstream: http://127.0.0.1:1\n"+basic), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	server := httptest.NewServer(p)
	defer server.Close()
	for _, c := range []struct{ name, in, out string }{
		{"too large", rawText(strings.Repeat("x", 1<<20)), "close 1009"},
		{"protocol error", rawFrame(0x83, "x") + strings.Repeat("x", 1<<20), "close 1002"},
		{"bad UTF-8", rawText("\xff") + strings.Repeat(rawText("x"), 1000), "close 1007"},
	} {
		for range 5 {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			client := &rawConn{Conn: conn, in: bufio.NewReader(conn), said: make(chan string, 100)}
			io.WriteString(conn, "GET / HTTP/1.1\r\n"+upgradeLines+"\r\n")
			if _, err := http.ReadResponse(client.in, nil); err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, c.in) // the server may have closed
			go client.listen()
			if got := <-client.said; got != c.out {
				t.Errorf("%s: got %q, want %q", c.name, got, c.out)
			}
			conn.Close()
		}
	}
}
