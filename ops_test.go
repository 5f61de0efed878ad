package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	jsonpatch "github.com/evanphx/json-patch/v5"

	"pollbridge/client"
)

// What the tests of running it share: clients that know nothing of each other,
// and looks at the process.

// watchWith follows a document with the Go client.
func watchWith(ctx context.Context, t *testing.T, url string, reconnects *atomic.Int64, show func([]byte)) {
	for u, err := range client.Watch(ctx, url, nil) {
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			t.Errorf("watch: %v", err)
			return
		case u.Stale != nil && u.Stale.Code == client.CodeDisconnected:
			reconnects.Add(1)
		case u.Stale != nil:
			t.Errorf("stale: %v", u.Stale)
		default:
			show(u.Data)
		}
	}
}

// followRaw follows a document with a WebSocket library and a JSON Patch library
// and nothing else, and connects again when it is told to.
func followRaw(ctx context.Context, t *testing.T, url string, reconnects *atomic.Int64, show func([]byte)) {
	for ctx.Err() == nil {
		ws, _, err := websocket.Dial(ctx, url, nil)
		if err != nil {
			continue // until the next process listens
		}
		ws.SetReadLimit(-1)
		var document []byte
		version := ""
		for {
			_, text, err := ws.Read(ctx)
			if err != nil {
				ws.CloseNow()
				if ctx.Err() == nil {
					reconnects.Add(1)
					if websocket.CloseStatus(err) != websocket.StatusGoingAway {
						t.Errorf("a socket was lost: %v", err)
					}
				}
				break
			}
			var m struct {
				Type, From, Version, Format string
				Data, Patch                 json.RawMessage
			}
			if err := json.Unmarshal(text, &m); err != nil {
				t.Errorf("%v: %s", err, text)
			}
			switch {
			case m.Type == "snapshot":
				document = m.Data
			case m.Type == "patch" && m.From != version:
				t.Errorf("a patch from %s, and what is held is %s", m.From, version)
			case m.Type == "patch" && m.Format == "merge-patch":
				document, err = jsonpatch.MergePatch(document, m.Patch)
			case m.Type == "patch":
				var p jsonpatch.Patch
				if p, err = jsonpatch.DecodePatch(m.Patch); err == nil {
					document, err = p.Apply(document)
				}
			case m.Type == "current" && m.Version == version:
			default:
				t.Errorf("got %s", text)
			}
			if err != nil {
				t.Errorf("%v: %s", err, text)
			}
			version = m.Version
			show(document)
		}
	}
}

// unixClient speaks HTTP over a Unix socket.
func unixClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

// resident is how much memory the process has, in bytes.
func (r *running) resident() int64 {
	r.t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(r.cmd.Process.Pid) + "/statm")
	if err != nil {
		return 0 // not on this system
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// metric is the value of one without labels.
func (r *running) metric(name string) float64 {
	r.t.Helper()
	_, page := r.health("/metrics")
	lines := bufio.NewScanner(strings.NewReader(page))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				r.t.Fatal(err)
			}
			return v
		}
	}
	r.t.Fatalf("there is no metric %s", name)
	return 0
}
