package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// TestFilesRunOut holds that a process that may open no more files goes on
// with those that it has, and with all else once there are some again.
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
	var log transcript
	c := exec.CommandContext(ctx, "sh", "-c", `ulimit -n 50; exec "$0" serve`, file)
	c.Dir = writeConfig(t, "listen: 127.0.0.1:0\nadmin: \"\"\nupstream: "+legacy.URL+"\n")
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	r := &running{process: &process{t: t}, address: log.wait(t, `msg=serving listen=(\S+) `)[1]}
	early := r.dial(ctx, "/api/orders")
	next(ctx, t, early)

	var idle []net.Conn
	for range 200 {
		conn, err := net.Dial("tcp", r.address)
		if err != nil {
			break
		}
		idle = append(idle, conn)
	}
	if code := getWithin(ctx, r.address, time.Second); code == http.StatusOK {
		t.Error("there are still files to be had: the test tries nothing")
	}
	legacy.set("/api/orders", orders("delivered"))
	for m := next(ctx, t, early); m.Type != "patch" && m.Type != "snapshot"; m = next(ctx, t, early) {
		if m.Type != "stale" && m.Type != "current" {
			t.Fatalf("one who was there before got %s", m.Type)
		}
	}
	for _, conn := range idle {
		conn.Close()
	}
	for code := 0; code != http.StatusOK; code = getWithin(ctx, r.address, time.Second) {
		if ctx.Err() != nil {
			t.Fatal("it does not answer any more")
		}
	}
	t.Logf("%d connections were tried with 50 files", len(idle))
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
