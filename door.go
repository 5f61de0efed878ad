package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"pollbridge/listen"
)

// A door is one of the program's listeners, and the server behind it. The
// listener can be another one from one moment to the next; who has come in by
// the one before stays.
type door struct {
	server   *http.Server
	listener *listen.Listener // nil: there is none
	failed   chan<- error

	serving sync.WaitGroup // of listeners
	fresh   sync.Map       // connections that nothing was read from yet, with when they came
}

// newDoor returns one that nobody can come in by yet.
func newDoor(server *http.Server, failed chan<- error) *door {
	d := &door{server: server, failed: failed}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			d.fresh.Store(c, time.Now())
		} else {
			d.fresh.Delete(c)
		}
	}
	return d
}

// open has connections come in by another listener.
func (d *door) open(l *listen.Listener) {
	old := d.listener
	d.listener = l
	d.serving.Go(func() {
		err := d.server.Serve(l)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
			return // as it was told to
		}
		select {
		case d.failed <- err:
		default: // one is enough
		}
	})
	if old != nil {
		old.Close()
	}
}

// shut lets nobody in any more.
func (d *door) shut() {
	if d.listener != nil {
		d.listener.Close()
	}
}

// retire lets nobody in any more, and ends it once those requests are answered
// that are under way, or with an error when ctx ends.
//
// http.Server.Shutdown alone would not do: who has come in, and has not been read
// from when it is called, is dropped without an answer. So it is called when
// there is nobody like that.
func (d *door) retire(ctx context.Context) error {
	d.shut()
	d.serving.Wait() // whoever was let in is known
	for d.expects() && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	err := d.server.Shutdown(ctx)
	d.Close()
	return err
}

// silence is how long one who has come in may say nothing before nothing is
// expected any more.
const silence = time.Second

// expects reports whether somebody has come in a moment ago and has not been read
// from.
func (d *door) expects() (expects bool) {
	d.fresh.Range(func(_, since any) bool {
		expects = time.Since(since.(time.Time)) < silence
		return !expects
	})
	return expects
}

// addr is where the door is; empty where it is nowhere.
func (d *door) addr() string {
	if d.listener == nil {
		return ""
	}
	return d.listener.Addr().String()
}

// Close ends it, and everybody who came in by it.
func (d *door) Close() {
	d.server.Close()
	d.shut()
}
