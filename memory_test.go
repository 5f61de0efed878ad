package main

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pollbridge/client"
)

// TestMemory holds when clients are turned away and when they are not any more,
// and that what nobody watches is given up before.
func TestMemory(t *testing.T) {
	var log transcript
	live, forgotten, crowded := int64(0), 0, false
	m := &memory{
		limit: 1600, read: func() int64 { return live }, forget: func() { forgotten++ }, crowded: func(now bool) { crowded = now },
		log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	for i, step := range []struct {
		live      int64
		forgotten int
		crowded   bool
	}{
		{1399, 0, false},
		{1400, 1, false}, // what is forgotten may be enough
		{1300, 1, false},
		{1500, 2, false},
		{1500, 2, true},
		{1399, 2, true}, // to and fro is not worth it
		{1300, 2, true},
		{1299, 2, false},
		{1399, 2, false},
	} {
		live = step.live
		if m.look(); forgotten != step.forgotten || crowded != step.crowded {
			t.Errorf("step %d, %d of 1600 bytes: forgotten %d times, crowded %t; want %d, %t", i, live, forgotten, crowded, step.forgotten, step.crowded)
		}
	}
	for range 60 {
		live = 1600
		m.look()
	}
	if forgotten > 10 {
		t.Errorf("collected %d times in a minute", forgotten)
	}
	if got := strings.Count(log.String(), "\n"); got != 3 {
		t.Errorf("%d lines, want one for each change:\n%s", got, log.String())
	}
	unlimited := &memory{limit: math.MaxInt64, read: func() int64 { return 1 << 40 }}
	unlimited.look()
	if n := liveMemory(); n <= 0 || n > 1<<40 {
		t.Errorf("%d bytes are in use", n)
	}
}

func TestSystemLimit(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for want, root := range map[int64]fstest.MapFS{
		0: {},
		512 << 20: { // a container
			"proc/self/cgroup":         file("0::/\n"),
			"sys/fs/cgroup/memory.max": file("536870912\n"),
		},
		100 << 20: { // a unit in a slice that has less
			"proc/self/cgroup": file("0::/system.slice/pollbridge.service\n"),
			"sys/fs/cgroup/system.slice/pollbridge.service/memory.max": file("209715200\n"),
			"sys/fs/cgroup/system.slice/memory.max":                    file("104857600\n"),
		},
		64 << 20: { // a container of version 1, which is not told where it is
			"proc/self/cgroup":                           file("5:cpu:/x\n4:memory:/docker/0123\n1:name=systemd:/\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("67108864\n"),
		},
	} {
		if got := systemLimit(root); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	none := fstest.MapFS{
		"proc/self/cgroup": file("4:memory:/\n0::/a\n"), "sys/fs/cgroup/a/memory.max": file("max\n"),
		"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
	}
	if got := systemLimit(none); got != 0 {
		t.Errorf("got %d where there is no limit", got)
	}
}

// TestMemoryRunsOut holds that a process whose memory comes to its end tells who
// comes to come again, while those who were there before go on, and the operator
// is answered; and that all is as before once there is room.
func TestMemoryRunsOut(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", orders("open"))
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, file, "serve")
	c.Dir = writeConfig(t, "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nupstream: "+legacy.URL+
		"\nendpoints: [{path: /api/orders, interval: 20ms}, {path: '/api/{name}', interval: 1h, linger: 0s}]\n")
	c.Env = append(c.Environ(), "GOMEMLIMIT=48MiB")
	p := startCommand(t, c)
	p.errors.wait(t, `msg="memory is limited" bytes=50331648 by=GOMEMLIMIT`)
	m := p.errors.wait(t, `msg=serving listen=(\S+) .* admin=(\S+)`)
	r := &running{process: p, address: m[1], admin: m[2]}
	early := r.dial(ctx, "/api/orders")
	next(ctx, t, early)

	var held []*client.Conn
	for i := 0; getWithin(ctx, r.address, 5*time.Second) == http.StatusOK; i++ {
		if i > 200 {
			t.Fatal("nobody is turned away")
		}
		path := fmt.Sprintf("/api/%d", i)
		legacy.set(path, `["`+strings.Repeat("x", 1<<20)+`"]`)
		ws, err := client.Dial(ctx, "ws://"+r.address+path, nil)
		if err != nil {
			break
		}
		defer ws.CloseNow()
		next(ctx, t, ws)
		held = append(held, ws)
		time.Sleep(50 * time.Millisecond) // or all of it is there before anybody looks
	}
	p.errors.wait(t, `msg="memory is nearly used up: clients that come are turned away"`)
	code := 0
	for tries := 0; code == 0 && tries < 10; tries++ { // net/http takes an answer that is there before the request for none
		code = getWithin(ctx, r.address, 5*time.Second)
	}
	if code != http.StatusServiceUnavailable {
		t.Errorf("one who comes gets %d, want 503", code)
	}
	legacy.set("/api/orders", orders("delivered"))
	if m := next(ctx, t, early); m.Type != "patch" {
		t.Fatalf("one who was there before got %+v", m)
	}
	if status, text := r.health("/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d %s", status, text)
	}
	_, text := r.health("/metrics")
	if got := samples(t, text); got[`pollbridge_rejections_total{reason="memory"}`] < 1 || got["pollbridge_live_memory_bytes{}"] < 40<<20 {
		t.Errorf("rejections %v, live %v", got[`pollbridge_rejections_total{reason="memory"}`], got["pollbridge_live_memory_bytes{}"])
	}
	t.Logf("%d held a document of 1 MiB each when 48 MiB were nearly used up", len(held))
	for _, ws := range held {
		ws.CloseNow()
	}
	p.errors.wait(t, `msg="there is memory again"`)
	if code := getWithin(ctx, r.address, 5*time.Second); code != http.StatusOK {
		t.Errorf("and then: %d", code)
	}
}
