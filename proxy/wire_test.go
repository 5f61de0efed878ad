package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pollbridge/config"
)

// A street is a proxy on real sockets, where a write can be tried: connections
// in memory cannot.
type street struct {
	t     *testing.T
	front *httptest.Server
	n     atomic.Int64 // of the document
	polls atomic.Int64
	size  int // of the document, in bytes
}

func newStreet(t *testing.T, size int, secure bool) *street {
	st := &street{t: t, size: size}
	back := httptest.NewServer(st)
	cfg, err := config.Parse("test.yaml", []byte("upstream: "+back.URL+"\nendpoints: [{path: /api/x, interval: 10ms, vary: []}]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Drain = 0
	p, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	st.front = httptest.NewUnstartedServer(p)
	if secure {
		st.front.StartTLS()
	} else {
		st.front.Start()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		p.Drain(ctx)
		p.Close()
		st.front.Close()
		back.Close()
	})
	return st
}

// ServeHTTP is the upstream's.
func (st *street) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	st.polls.Add(1)
	w.Header().Set("Content-Type", "application/json")
	n := st.n.Load()
	fmt.Fprintf(w, `{"n":%d,"text":%q}`, n, strings.Repeat(string(rune('a'+n%26)), st.size))
}

// change makes the document another and waits until it was polled.
func (st *street) change() {
	st.n.Add(1)
	for seen := st.polls.Load(); st.polls.Load() < seen+2; time.Sleep(time.Millisecond) {
	}
}

func (st *street) dial() net.Conn {
	st.t.Helper()
	conn, err := net.Dial("tcp", st.front.Listener.Addr().String())
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	fmt.Fprint(conn, "GET /api/x HTTP/1.1\r\n"+upgradeLines+"\r\n")
	return conn
}

// TestStalledPeer: a peer that reads nothing for many changes, and pings, reads
// whole frames, of which the last message is the newest, and the last pong that of
// its last ping.
func TestStalledPeer(t *testing.T) {
	st := newStreet(t, 300_000, false)
	conn := st.dial()
	conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	const changes = 20
	for n := range byte(changes) {
		st.change()
		conn.Write([]byte{opPing, 0x80 | 1, 0, 0, 0, 0, n})
	}
	in := bufio.NewReader(conn)
	if _, err := http.ReadResponse(in, nil); err != nil {
		t.Fatal(err)
	}
	snapshots, pong, last := 0, -1, -1
	for last < changes || pong < changes-1 {
		first, text := readFrame(t, in)
		if first == opPong && len(text) == 1 && int(text[0]) > pong {
			pong = int(text[0])
			continue
		}
		var m struct {
			Type string
			Data struct {
				N    int
				Text string
			}
		}
		if err := json.Unmarshal(text, &m); err != nil || first != opText || m.Type != "snapshot" || m.Data.N <= last || len(m.Data.Text) != st.size {
			t.Fatalf("frame %x %.100s after n %d: %v", first, text, last, err)
		}
		snapshots++
		last = m.Data.N
	}
	if snapshots > changes/2 {
		t.Errorf("%d snapshots were sent for %d changes to a peer that did not read", snapshots, changes)
	}
}

func readFrame(t *testing.T, in *bufio.Reader) (first byte, text []byte) {
	t.Helper()
	var head [10]byte
	if _, err := io.ReadFull(in, head[:2]); err != nil {
		t.Fatal(err)
	}
	n := int(head[1])
	extra := map[int]int{126: 2, 127: 8}[n]
	if extra > 0 {
		if _, err := io.ReadFull(in, head[2:2+extra]); err != nil {
			t.Fatal(err)
		}
		n = 0
		for _, b := range head[2 : 2+extra] {
			n = n<<8 | int(b)
		}
	}
	text = make([]byte, n)
	if _, err := io.ReadFull(in, text); err != nil {
		t.Fatal(err)
	}
	return head[0], text
}

// TestTLS: under TLS there is no descriptor to write to; everything comes all
// the same.
func TestTLS(t *testing.T) {
	st := newStreet(t, 100_000, true)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "wss"+strings.TrimPrefix(st.front.URL, "https")+"/api/x", &websocket.DialOptions{HTTPClient: st.front.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(-1)
	for n := range int64(5) {
		st.n.Store(n)
		want := fmt.Sprintf(`"n":%d,`, n)
		for {
			_, text, err := ws.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), want) {
				break
			}
		}
	}
}

// pair is two ends of a TCP connection.
func pair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

// TestAwait: the answers to pings do not wake the reader, all else does.
func TestAwait(t *testing.T) {
	server, client := pair(t)
	w := &wire{Conn: server}
	w.descriptor.open(server)
	if !w.descriptor.isThere() {
		t.Skip("no descriptors here")
	}
	pong := []byte{opPong, 0x80, 1, 2, 3, 4}
	text := []byte{opText, 0x81, 0, 0, 0, 0, 'x'}
	client.Write(append(append(pong, pong...), text...))
	w.await()
	buf := make([]byte, 100)
	n, err := w.Read(buf)
	if err != nil || string(buf[:n]) != string(text) {
		t.Errorf("read % x, %v; want % x", buf[:n], err, text)
	}
	if w.silence() > time.Minute {
		t.Error("a pong is no sign of life")
	}
	client.Close()
	w.await() // returns
	if _, err := w.Read(buf); err != io.EOF {
		t.Errorf("read: %v", err)
	}
}

// TestTry: what a peer takes at once is written without waiting and without
// allocating; where it does not, nothing is lost or cut in two.
func TestTry(t *testing.T) {
	server, client := pair(t)
	w := &wire{Conn: server}
	w.descriptor.open(server)
	if !w.descriptor.isThere() {
		t.Skip("no descriptors here")
	}
	frame := textFrame(func(b []byte) []byte { return append(b, strings.Repeat("x", 1000)...) })
	frames := net.Buffers{frame, frame, frame}
	var s sender
	buf := make([]byte, 3*len(frame))
	allocs := testing.AllocsPerRun(100, func() {
		if _, done, err := w.try(&s, frames); !done || err != nil {
			t.Errorf("done is %t, %v", done, err)
		}
		io.ReadFull(client, buf)
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}

	sent := 0
	var rest net.Buffers
	for done := true; done; { // until the peer's buffers are full
		var err error
		if rest, done, err = w.try(&s, frames); err != nil {
			t.Fatal(err)
		}
		sent += len(frames)
	}
	if len(w.unsent) > 0 {
		if _, done, _ := w.try(&s, frames); done {
			t.Error("a frame was sent in the middle of another")
		}
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		w.writeFrames(rest)
		w.Write([]byte{opClose, 0})
	}()
	in := bufio.NewReader(client)
	client.SetReadDeadline(time.Now().Add(2 * time.Minute))
	for n := 0; ; n++ {
		first, text := readFrame(t, in)
		if first == opClose {
			if n != sent {
				t.Errorf("%d frames came, %d were sent", n, sent)
			}
			break
		}
		if first != opText || len(text) != 1000 {
			t.Fatalf("frame %d: %x of %d bytes", n, first, len(text))
		}
	}
	<-closed
	if _, _, err := w.try(&s, frames); err != net.ErrClosed {
		t.Errorf("after the close frame: %v", err)
	}
}

// TestNeverToAnother: a descriptor that is closed is another connection's a
// moment later, and what is written while that happens does not go there.
func TestNeverToAnother(t *testing.T) {
	const connections = 500
	var writers sync.WaitGroup
	defer writers.Wait()
	written := 0
	for i := range connections {
		server, client := pair(t)
		w := &wire{Conn: server}
		w.descriptor.open(server)
		if !w.descriptor.isThere() {
			t.Skip("no descriptors here")
		}
		own := textFrame(func(b []byte) []byte { return fmt.Appendf(b, "%06d", i) })
		begun := make(chan struct{})
		writers.Go(func() {
			var s sender
			for n := 0; ; n++ {
				_, done, err := w.try(&s, net.Buffers{own})
				if n == 0 {
					close(begun)
				}
				if err != nil || !done {
					return
				}
			}
		})
		<-begun
		client.SetReadDeadline(time.Now().Add(20 * time.Second))
		got := make([]byte, len(own))
		for range 3 {
			if _, err := io.ReadFull(client, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, own) {
				t.Fatalf("connection %d was sent %q", i, got)
			}
			written++
		}
		w.Close() // the next connection has the descriptor
		client.Close()
	}
	t.Logf("%d frames on %d connections, each on its own", written, connections)
}
