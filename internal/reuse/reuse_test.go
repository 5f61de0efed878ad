package reuse

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pollbridge/internal/pipe"
)

// server answers each request on a connection, which has a number, by what answer gives.
func server(l net.Listener, answer func(conn int, r *http.Request) string) {
	for n := 1; ; n++ {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := bufio.NewReader(c)
			for {
				r, err := http.ReadRequest(b)
				if err != nil {
					return
				}
				io.Copy(io.Discard, r.Body)
				if _, err := io.WriteString(c, answer(n, r)); err != nil {
					return
				}
			}
		}()
	}
}

func send(t *testing.T, rt http.RoundTripper, ctx context.Context, method string, header ...string) string {
	r, _ := http.NewRequestWithContext(ctx, method, "http://upstream.test/", nil)
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	res, err := rt.RoundTrip(r)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}

// TestLeftovers: what an upstream sends after an answer is never the answer to the next request, though that has the
// connection before it is looked at.
func TestLeftovers(t *testing.T) {
	const more = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nanother"
	for name, answer := range map[string]string{
		"Content-Length that is too small": "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown" + more,
		"chunks":                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nown\r\n0\r\n\r\n" + more,
		"no body":                          "HTTP/1.1 304 Not Modified\r\n\r\n" + more,
		"HEAD with a body":                 "HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n" + more,
	} {
		synctest.Test(t, func(t *testing.T) {
			l := pipe.Listen()
			defer l.Close()
			go server(l, func(_ int, r *http.Request) string {
				if r.Header.Get("First") != "" {
					return answer
				}
				return "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"
			})
			rt := New(l.Transport())
			defer rt.CloseIdleConnections()
			method := "GET"
			if strings.HasPrefix(name, "HEAD") {
				method = "HEAD"
			}
			handedOn := make(chan struct{})
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{PutIdleConn: func(error) { <-handedOn }})
			go send(t, rt, ctx, method, "First: 1")
			synctest.Wait()
			second := make(chan string)
			go func() { second <- send(t, rt, t.Context(), "GET") }()
			synctest.Wait() // it has the connection
			close(handedOn)
			if got := <-second; got != "mine" {
				t.Errorf("%s: the next request is answered by %q", name, got)
			}
		})
	}
}

// TestConnectionsAreReused: one after the other, where nothing is wrong.
func TestConnectionsAreReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := pipe.Listen()
		defer l.Close()
		var conns atomic.Int64
		go server(l, func(n int, r *http.Request) string {
			conns.Store(int64(n))
			return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
		})
		rt := New(l.Transport())
		defer rt.CloseIdleConnections()
		for range 100 {
			if got := send(t, rt, t.Context(), "GET"); got != "ok" {
				t.Fatalf("%q", got)
			}
		}
		if n := conns.Load(); n != 1 {
			t.Errorf("%d connections, want one", n)
		}
	})
}

// TestLoginsOfConnections: nobody is sent over a connection that another may have logged in.
func TestLoginsOfConnections(t *testing.T) {
	for _, login := range []string{"NTLM abc", "ntlm abc", "Negotiate abc", "nego2 abc", " negotiate\tabc"} {
		for _, upgrade := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				l := pipe.Listen()
				defer l.Close()
				user := make(map[int]string) // of a connection
				go server(l, func(n int, r *http.Request) string {
					if a := r.Header.Get("Authorization"); a != "" {
						user[n] = "alice"
					}
					return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + (user[n] + "nobody")[:5]
				})
				rt := New(l.Transport())
				defer rt.CloseIdleConnections()
				send(t, rt, t.Context(), "GET") // there is one that can be used
				synctest.Wait()
				header := []string{"Authorization: " + login}
				if upgrade { // to something that the upstream does not speak
					header = append(header, "Connection: Upgrade", "Upgrade: websocket")
				}
				if got := send(t, rt, t.Context(), "GET", header...); got != "alice" {
					t.Errorf("%s: her own answer is %q", login, got)
				}
				synctest.Wait()
				if got := send(t, rt, t.Context(), "GET"); got != "nobod" {
					t.Errorf("%s, upgrade %v: nobody in particular is shown what is %s's", login, upgrade, got)
				}
			})
		}
	}
}
