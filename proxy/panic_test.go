package proxy

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pollbridge/poller"
)

// A faulty source panics when it is read.
type faulty struct{ source }

func (faulty) Newest() *poller.Snapshot { panic("canary") }
func (faulty) Close()                   {}

// TestPanicInOneSocket: it ends with 1011 and a line in the log; all others,
// also those that the same writer serves, go on.
func TestPanicInOneSocket(t *testing.T) {
	for name, provoke := range map[string]func(w *world, s *socket, p *peer){
		"while it is written to": func(w *world, s *socket, p *peer) {
			sub := &subscription{socket: s, watch: faulty{}, url: "/api/x", live: true}
			sub.Wake()
		},
		"while it is read from": func(w *world, s *socket, p *peer) {
			was := w.proxy.state.Swap(&state{cfg: w.proxy.now().cfg, routes: &routes{}})
			p.send(`{"type":"subscribe","url":"/api/x?1"}`)
			time.Sleep(time.Second)
			w.proxy.state.Store(was)
		},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, basic, func(w *world) {
				p := w.dial("/api/x", nil)
				p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":1}}`)
				var s *socket
				for s = range w.proxy.sockets.open {
				}
				other := w.dial("/api/x", nil)
				other.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":1}}`)
				synctest.Wait() // both have begun
				provoke(w, s, p)
				if _, _, err := p.ws.Read(context.Background()); websocket.CloseStatus(err) != websocket.StatusInternalError {
					t.Errorf("it ended with %v", err)
				}
				if !strings.Contains(w.log.String(), "canary") && !strings.Contains(w.log.String(), "nil pointer") || !strings.Contains(w.log.String(), "proxy") {
					t.Errorf("the log says %s", w.log.String())
				}
				w.json(`{"n":2}`)
				other.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":2}}`)
				other.ws.CloseNow()
				time.Sleep(time.Minute)
				if n := w.proxy.poller.Watched(); n != 0 {
					t.Errorf("%d resources are polled still", n)
				}
			})
		})
	}
}

// TestPanicAsASocketBegins: it ends, too, and leaves nothing behind.
func TestPanicAsASocketBegins(t *testing.T) {
	within(t, basic, func(w *world) {
		faulty := &routes{mux: http.NewServeMux()}
		faulty.mux.Handle("/api/x", &endpoint{routes: faulty}) // which has no rule
		was := w.proxy.state.Swap(&state{cfg: w.proxy.now().cfg, routes: faulty})
		p := w.dial("/api/x", nil)
		if _, _, err := p.ws.Read(context.Background()); websocket.CloseStatus(err) != websocket.StatusInternalError {
			t.Errorf("it ended with %v", err)
		}
		time.Sleep(time.Minute)
		w.proxy.state.Store(was)
		if n := len(w.proxy.sockets.all()); n != 0 || !strings.Contains(w.log.String(), "nil pointer") {
			t.Errorf("%d sockets are left; the log says %s", n, w.log.String())
		}
	})
}
