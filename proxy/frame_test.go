package proxy

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestFrameLengths holds frames to RFC 6455, section 5.2, where the form of the
// length changes.
func TestFrameLengths(t *testing.T) {
	for _, c := range []struct {
		n    int
		head string
	}{
		{0, "81 00"}, {1, "81 01"}, {125, "81 7d"}, {126, "81 7e 00 7e"}, {65535, "81 7e ff ff"},
		{65536, "81 7f 00 00 00 00 00 01 00 00"},
	} {
		text := strings.Repeat("x", c.n)
		frame := textFrame(func(b []byte) []byte { return append(b, text...) })
		if got := string(payload(frame)); got != text {
			t.Errorf("%d bytes: the payload is %d", c.n, len(got))
		}
		if head := fmt.Sprintf("% x", frame[:len(frame)-c.n]); head != c.head {
			t.Errorf("%d bytes: the header is %s, want %s", c.n, head, c.head)
		}
	}
}

// TestDeflateFrame holds deflated frames to RFC 7692, section 7.2: the payload
// without its last four bytes, RSV1 set; or the frame as it was where deflating
// is of no use.
func TestDeflateFrame(t *testing.T) {
	for _, c := range []struct {
		name, text string
		deflated   bool
	}{
		{"short", strings.Repeat("a", minDeflate-1), false},
		{"long", strings.Repeat("a", minDeflate), true},
		{"huge", strings.Repeat(`{"name":"value"},`, 100_000), true},
		{"incompressible", noise(4096), false},
	} {
		frame := textFrame(func(b []byte) []byte { return append(b, c.text...) })
		got := deflateFrame(frame)
		if deflated := got[0] == opText|rsv1; deflated != c.deflated {
			t.Errorf("%s: deflated is %t", c.name, deflated)
			continue
		}
		if !c.deflated {
			if !bytes.Equal(got, frame) {
				t.Errorf("%s: the frame is another", c.name)
			}
			continue
		}
		tail := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")
		text, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload(got)), tail)))
		if err != nil || string(text) != c.text {
			t.Errorf("%s: inflated to %d bytes of %d, %v", c.name, len(text), len(c.text), err)
		}
	}
}

// noise is text that does not compress.
func noise(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x >> 8)
	}
	return string(b)
}

// TestCompression has the library's client, which inflates by itself, watch
// documents that are deflated and ones that are not, whatever context takeover
// it offers.
func TestCompression(t *testing.T) {
	for _, mode := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionNoContextTakeover, websocket.CompressionContextTakeover} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			within(t, basic, func(w *world) {
				w.json(`{"n":0}`)
				ws, res, err := websocket.Dial(context.Background(), "ws://proxy.test/", &websocket.DialOptions{HTTPClient: w.http, CompressionMode: mode})
				if err != nil {
					t.Fatal(err)
				}
				extensions := res.Header.Get("Sec-WebSocket-Extensions")
				if want := mode != websocket.CompressionDisabled; want != strings.Contains(extensions, "permessage-deflate") ||
					want && !strings.Contains(extensions, "server_no_context_takeover") {
					t.Fatalf("extensions: %q", extensions)
				}
				ws.SetReadLimit(-1)
				p := &peer{t, ws}
				// A long message of the client's comes deflated too.
				p.send(`{"type":"subscribe","url":"/api/x","unknown":%q}`, strings.Repeat("y", 4000))
				p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":0}}`)
				for n := 1; n < 5; n++ {
					text := strings.Repeat(fmt.Sprintf("%d,", n), 1<<(4*n))
					w.json(fmt.Sprintf(`{"n":%d,"text":%q}`, n, text))
					got := p.next()
					var data any
					json.Unmarshal(fmt.Appendf(nil, `{"n":%d,"text":%q}`, n, text), &data)
					if got["type"] != "snapshot" || !reflect.DeepEqual(got["data"], data) {
						t.Fatalf("n is %d: %.200v", n, got)
					}
				}
				p.silent(10 * time.Second)
			})
		})
	}
}
