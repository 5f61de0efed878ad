package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	"pollbridge/listen"
)

// A door is one of the program's listeners, and the server behind it. The
// listener can be another one from one moment to the next; who has come in by
// the one before stays.
type door struct {
	server   *http.Server
	listener *listen.Listener // nil: there is none
	failed   chan<- error
}

// open has connections come in by another listener.
func (d *door) open(l *listen.Listener) {
	old := d.listener
	d.listener = l
	go func() {
		err := d.server.Serve(l)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
			return // as it was told to
		}
		select {
		case d.failed <- err:
		default: // one is enough
		}
	}()
	if old != nil {
		old.Close()
	}
}

// retire lets nobody in any more, and ends it once those requests are answered
// that are under way.
func (d *door) retire() {
	ctx, cancel := context.WithTimeout(context.Background(), drainGrace)
	defer cancel()
	d.server.Shutdown(ctx)
	d.Close()
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
	if d.listener != nil {
		d.listener.Close()
	}
}
