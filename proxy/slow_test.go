package proxy

import (
	"bufio"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSlowWatchersAreNotWaitedFor: watchers that never read hold up nobody, and
// however much changes, nothing grows on their account.
func TestSlowWatchersAreNotWaitedFor(t *testing.T) {
	const silent, changes, size = 40, 60, 200_000
	st := newStreet(t, size, false)
	reader := bufio.NewReader(st.dial())
	if _, err := http.ReadResponse(reader, nil); err != nil {
		t.Fatal(err)
	}
	readFrame(t, reader)
	for range silent {
		st.dial()
	}
	follow := func(n int) {
		for range n {
			st.change()
			want := `"n":` + strconv.FormatInt(st.n.Load(), 10) + `,`
			for {
				if _, text := readFrame(t, reader); strings.Contains(string(text[:200]), want) {
					break
				}
			}
		}
	}
	follow(changes / 4) // by now their buffers are full
	before, goroutines := heapInUse(), runtime.NumGoroutine()
	follow(changes)
	// A queue would hold silent*changes*size, 480 MB.
	if more := heapInUse() - before; more > 40<<20 {
		t.Errorf("%d MiB more are held after %d changes", more>>20, changes)
	}
	if more := runtime.NumGoroutine() - goroutines; more > silent {
		t.Errorf("%d more goroutines", more)
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSlowPeerGetsAll: who takes a large document little by little gets all of it,
// though it says nothing meanwhile for longer than others may, or pings, as client
// libraries do: it is told so behind the document, of its latest ping only
// (RFC 6455, section 5.5.3).
func TestSlowPeerGetsAll(t *testing.T) {
	const pings = 3
	for _, pinging := range []bool{false, true} {
		within(t, "endpoints: [{path: /x, interval: 10s, vary: []}]\n", func(w *world) {
			document := strconv.Quote(strings.Repeat("x", 2<<20))
			w.json(document)
			c, _ := w.handshake("GET /x HTTP/1.1\r\n" + upgradeLines + "\r\n")
			started := time.Now()
			c.in = bufio.NewReaderSize(&slowly{c.in}, 16)
			c.in.Peek(1)
			go func() {
				for n := byte('1'); pinging && n < '1'+pings; n++ {
					c.Write([]byte{opPing, 0x80 | 1, 0, 0, 0, 0, n})
				}
			}()
			if first, text := readFrame(w.t, c.in); first != opText || !strings.Contains(string(text), document) {
				w.t.Fatalf("the first frame is %x, of %d bytes", first, len(text))
			}
			if took := time.Since(started); took < 80*time.Second {
				w.t.Fatalf("the document took %v: that is not slow", took)
			}
			if pinging {
				if first, text := readFrame(w.t, c.in); first != opPong || string(text) != strconv.Itoa(pings) {
					w.t.Errorf("behind the document came %x %.100q, want the pong of the latest ping", first, text)
				}
			}
		})
	}
}

// A slowly takes no more than 64 KiB in three seconds.
type slowly struct{ io.Reader }

func (s *slowly) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p[:min(len(p), 64<<10)])
	time.Sleep(3 * time.Second * time.Duration(n) / (64 << 10))
	return n, err
}
