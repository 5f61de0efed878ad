package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pollbridge/internal/pipe"
)

// TestServerLimits holds that nobody keeps a connection by saying nothing, by
// saying it slowly or by never coming to an end, and that who is slow with a
// body has the time for it if somebody wants it.
func TestServerLimits(t *testing.T) {
	for _, c := range []struct {
		name, first string
		each        string // said every second
		least, most time.Duration
	}{
		{"nothing", "", "", 9 * time.Second, 11 * time.Second},
		{"half a request line", "GET / HT", "", 9 * time.Second, 11 * time.Second},
		{"headers without end", "GET / HTTP/1.1\r\n", "X: y\r\n", 9 * time.Second, 11 * time.Second},
		{"large headers", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 80<<10) + "\r\n\r\n", "", 0, time.Second},
		{"one request", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", 119 * time.Second, 121 * time.Second},
		{"a slow body that nobody reads", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n", "z", 9 * time.Second, 12 * time.Second},
		{"a slow body", "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n", "z", 300 * time.Second, 422 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := pipe.Listen()
			server := newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/read" { // as what passes through is
					http.NewResponseController(w).SetReadDeadline(time.Time{})
					io.Copy(io.Discard, r.Body)
				}
			}), nil)
			go server.Serve(l)
			defer server.Close()
			conn, err := l.Dial(context.Background(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			go func() {
				io.WriteString(conn, c.first)
				for c.each != "" {
					time.Sleep(time.Second)
					if _, err := io.WriteString(conn, c.each); err != nil {
						return
					}
				}
			}()
			io.Copy(io.Discard, conn)
			if d := time.Since(began); d < c.least || d > c.most {
				t.Errorf("%s: ended after %v, want %v to %v", c.name, d, c.least, c.most)
			}
			conn.Close()
			time.Sleep(2 * time.Second) // until that is noticed
		})
	}
}

// TestPanicIsLogged holds that a request that ends in a panic ends alone, and is
// told as an error, with where it was; what clients do wrong is not.
func TestPanicIsLogged(t *testing.T) {
	var log transcript
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("at the worst moment")
		}
		io.WriteString(w, "well")
	}))
	server.Config.ErrorLog = newServerLog(slog.New(slog.NewTextHandler(&log, nil)))
	server.Start()
	defer server.Close()
	if res, err := http.Get(server.URL + "/panic"); err == nil {
		t.Errorf("answered with %s", res.Status)
	}
	got := log.wait(t, `(?m)^.*at the worst moment.*$`)[0]
	if !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "chaos_server_test.go") {
		t.Errorf("logged as %s", got)
	}
	res, err := http.Get(server.URL + "/other")
	if err != nil || res.StatusCode != 200 {
		t.Errorf("the next request: %v", err)
	}
	server.Config.ErrorLog.Print("http: TLS handshake error from 192.0.2.1:1: EOF")
	if strings.Contains(log.String(), "TLS") {
		t.Error("what a client did wrong is logged")
	}
}
