package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"pollbridge/config"
)

// BenchmarkFanOut is a change told to 500 sockets, from the refresh until the
// last of them has it, over TCP and over TLS. Their own work, which is the same
// in kind, counts too.
func BenchmarkFanOut(b *testing.B) {
	for _, name := range []string{"tcp", "tls"} {
		b.Run(name, func(b *testing.B) {
			var n atomic.Int64
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, `{"n":%d,"pad":"%s"}`, n.Load(), strings.Repeat("x", 1000))
			}))
			defer upstream.Close()
			cfg, err := config.Parse("bench.yaml", []byte("drain: 0s\nupstream: "+upstream.URL+"\nendpoints: [{path: /x, interval: 1h}]\n"), nil)
			if err != nil {
				b.Fatal(err)
			}
			p, err := New(cfg, Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			front := httptest.NewUnstartedServer(p)
			if name == "tls" {
				front.StartTLS()
			} else {
				front.Start()
			}
			defer front.Close()
			var told sync.WaitGroup
			const sockets = 500
			told.Add(sockets)
			for range sockets {
				ws, _, err := websocket.Dial(context.Background(), strings.Replace(front.URL, "http", "ws", 1)+"/x", &websocket.DialOptions{HTTPClient: front.Client()})
				if err != nil {
					b.Fatal(err)
				}
				defer ws.CloseNow()
				go func() {
					for {
						_, r, err := ws.Reader(context.Background())
						if err != nil {
							return
						}
						io.Copy(io.Discard, r)
						told.Done()
					}
				}()
			}
			told.Wait()
			for b.Loop() {
				told.Add(sockets)
				n.Add(1)
				p.Refresh()
				told.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/sockets, "ns/socket")
		})
	}
}
