package proxy

import (
	"context"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollbridge/config"
)

// TestOrderAndTruthOverTCP holds the same on real sockets, whose buffers are
// small and fill up: a frame is written in parts, between others' frames, and
// readers stop in the middle of one.
func TestOrderAndTruthOverTCP(t *testing.T) {
	t.Parallel()
	const speed = 40
	var total tally
	t.Run("seeds", func(t *testing.T) {
		for seed := range 2 {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel()
				w := overTCP(t, strings.NewReplacer(
					"500ms", "12ms", "1s", "25ms", "2s", "500ms", "3s", "75ms").Replace(truthRules))
				u := newTruth(w, uint64(seed), &total)
				u.speed, u.blob = speed, strings.Repeat(padding, 1000)
				u.play()
			})
		}
	})
	total.check(t, 1)
}

// overTCP is a world on loopback sockets, in real time.
func overTCP(t *testing.T, yaml string) *world {
	w := &world{t: t}
	quiet := log.New(io.Discard, "", 0)
	upstream := httptest.NewUnstartedServer(w)
	upstream.Config.ErrorLog = quiet
	upstream.Start()
	t.Cleanup(upstream.Close)
	cfg, err := config.Parse("test.yaml", []byte("upstream: "+upstream.URL+"\n"+yaml), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if w.proxy, err = New(cfg, Options{}); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(w.proxy)
	front.Config.ErrorLog = quiet
	front.Listener = smallBuffers{front.Listener}
	front.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		w.proxy.Drain(ctx)
		w.proxy.Close()
		front.Close()
	})
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", front.Listener.Addr().String())
		if err == nil && rand.IntN(2) == 0 {
			err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return conn, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	w.http = &http.Client{Transport: transport}
	return w
}

// smallBuffers is a listener whose connections take little at a time.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
	}
	return conn, err
}
