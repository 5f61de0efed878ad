package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestFilesRunOut holds that a process whose files run out keeps some for its
// own: who comes is told at once to come again, those who were there before go on,
// the upstream is polled and the operator is answered; and that all is as before
// once there are files again.
func TestFilesRunOut(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("has no such limit")
	}
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", orders("open"))
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, "sh", "-c", `ulimit -n 64; exec "$0" serve`, file)
	c.Dir = writeConfig(t, "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nupstream: "+legacy.URL+"\n")
	p := startCommand(t, c)
	m := p.errors.wait(t, `msg=serving listen=(\S+) .* admin=(\S+)`)
	r := &running{process: p, address: m[1], admin: m[2]}
	early := r.dial(ctx, "/api/orders")
	next(ctx, t, early)
	legacy.CloseClientConnections() // the next poll needs a file
	before := legacy.asked()

	var idle []net.Conn
	defer func() {
		for _, conn := range idle {
			conn.Close()
		}
	}()
	var told atomic.Int64
	for range 200 {
		conn, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
		go func() { // until it is closed
			if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil && line == "HTTP/1.1 503 Service Unavailable\r\n" {
				told.Add(1)
			}
		}()
	}
	for told.Load() < 200-64 {
		if ctx.Err() != nil {
			t.Fatalf("of 200 who came %d were told to come again", told.Load())
		}
		time.Sleep(time.Millisecond)
	}
	for legacy.asked() < before+3 {
		if ctx.Err() != nil {
			t.Fatal("the upstream is not polled any more")
		}
		time.Sleep(time.Millisecond)
	}
	legacy.set("/api/orders", orders("delivered"))
	if m := next(ctx, t, early); m.Type != "patch" {
		t.Fatalf("one who was there before got %+v", m)
	}
	if status, text := r.health("/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d %s", status, text)
	}
	if _, text := r.health("/metrics"); samples(t, text)[`pollbridge_rejections_total{reason="open_files"}`] < float64(told.Load()) {
		t.Error("those who were turned away are not counted")
	}
	r.errors.wait(t, `msg="clients are turned away" reason=open_files`)
	for _, conn := range idle {
		conn.Close()
	}
	for code := 0; code != http.StatusOK; code = getWithin(ctx, r.address, time.Second) {
		if ctx.Err() != nil {
			t.Fatal("it does not answer any more")
		}
	}
	t.Logf("of 200 connections with 64 files %d were told to come again", told.Load())
}

// getWithin returns the status of an answer; 0 if there is none in time.
func getWithin(ctx context.Context, address string, d time.Duration) int {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/api/orders", address), nil)
	if err != nil {
		return 0
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}
