package passthrough

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pollbridge/internal/pipe"
)

// A line is a client, a proxy and an upstream, joined by pipes that hold nothing: what one does not take the other
// cannot send. It lives in a bubble where time is simulated.
type line struct {
	t       *testing.T
	front   *pipe.Listener
	client  *http.Transport
	reports []error
	ended   chan time.Duration // of each exchange, how long it took
}

// inLine runs f with an upstream and with limits of 60 s and 10 min. Version is the client's of HTTP.
func inLine(t *testing.T, version int, upstream http.HandlerFunc, f func(l *line)) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, front: pipe.Listen(), ended: make(chan time.Duration, 10)}
		back := pipe.Listen()
		quiet := log.New(io.Discard, "", 0)
		up := &http.Server{Handler: upstream, ErrorLog: quiet}
		go up.Serve(back)
		tr := newTransport()
		tr.DialContext = back.Dial
		h := New(Options{
			Upstream: &url.URL{Scheme: "http", Host: "upstream"}, Transport: tr, Answer: time.Minute, Idle: 10 * time.Minute,
			OnError: func(_ *http.Request, err error) { l.reports = append(l.reports, err) },
		})
		server := &http.Server{ErrorLog: quiet, ReadTimeout: 10 * time.Second, Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			defer func() { l.ended <- time.Since(began) }()
			h.ServeHTTP(w, r)
		})}
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetUnencryptedHTTP2(true)
		go server.Serve(l.front)
		l.client = l.front.Transport()
		l.client.Protocols = new(http.Protocols)
		l.client.Protocols.SetHTTP1(version == 1)
		l.client.Protocols.SetUnencryptedHTTP2(version == 2)
		f(l)
		l.client.CloseIdleConnections()
		server.Close()
		tr.CloseIdleConnections()
		up.Close()
		time.Sleep(time.Hour)
	})
}

// post sends a body of a length, -1 being unknown, and returns the status.
func (l *line) post(body io.Reader, length int64) (status int, err error) {
	r, _ := http.NewRequest("POST", "http://proxy/", io.NopCloser(body))
	r.ContentLength = length
	res, err := l.client.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// took is how long the exchange took.
func (l *line) took(from, to time.Duration) {
	l.t.Helper()
	if d := <-l.ended; d < from || d > to {
		l.t.Errorf("it ended after %v, want %v to %v", d, from, to)
	}
}

// dripping gives a byte after each pause, n of them.
func dripping(n int, pause time.Duration) io.Reader { return &drip{n, pause} }

type drip struct {
	n     int
	pause time.Duration
}

func (d *drip) Read(p []byte) (int, error) {
	if d.n == 0 {
		return 0, io.EOF
	}
	time.Sleep(d.pause)
	d.n--
	p[0] = 'x'
	return 1, nil
}

func both(t *testing.T, f func(t *testing.T, version int)) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP%d", version), func(t *testing.T) { f(t, version) })
	}
}

func swallow(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }

// A client that stops sending, or sends next to nothing of what it has announced, is told so.
func TestStalledUpload(t *testing.T) {
	both(t, func(t *testing.T, version int) {
		for name, c := range map[string]struct {
			body   io.Reader
			length int64
			longer time.Duration
		}{
			"stops":                    {io.MultiReader(zeros(1<<20), blocked{}), 2 << 20, time.Second},
			"stops, of unknown length": {io.MultiReader(zeros(1000), blocked{}), -1, time.Second},
			"a byte a minute":          {nil, 1 << 20, time.Minute},
		} {
			t.Run(name, func(t *testing.T) {
				inLine(t, version, swallow, func(l *line) {
					if c.body == nil {
						c.body = dripping(1<<20, time.Minute)
					}
					if status, err := l.post(c.body, c.length); status != http.StatusRequestTimeout {
						t.Errorf("status %d, %v, want 408", status, err)
					}
					l.took(10*time.Minute, 10*time.Minute+c.longer)
					if l.reports != nil {
						t.Errorf("the client's fault was reported: %v", l.reports)
					}
				})
			})
		}
	})
}

// blocked gives nothing and does not end within any test.
type blocked struct{}

func (blocked) Read([]byte) (int, error) { time.Sleep(20 * time.Minute); return 0, io.EOF }

// A stream up may rest for a while, as often as it likes.
func TestStreamUp(t *testing.T) {
	both(t, func(t *testing.T, version int) {
		inLine(t, version, swallow, func(l *line) {
			if status, err := l.post(dripping(10, 9*time.Minute), -1); status != http.StatusOK || err != nil {
				t.Errorf("status %d, %v", status, err)
			}
			l.took(90*time.Minute, 90*time.Minute)
		})
	})
}

// An upstream that does not take the request, or does not answer it, has its time, and the client is told.
func TestUpstreamHangs(t *testing.T) {
	both(t, func(t *testing.T, version int) {
		for name, c := range map[string]struct {
			upstream http.HandlerFunc
			after    time.Duration
		}{
			"takes nothing":   {func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Minute) }, 10 * time.Minute},
			"answers nothing": {func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() }, time.Minute},
		} {
			t.Run(name, func(t *testing.T) {
				inLine(t, version, c.upstream, func(l *line) {
					if status, err := l.post(zeros(1<<20), 1<<20); status != http.StatusGatewayTimeout {
						t.Errorf("status %d, %v, want 504", status, err)
					}
					l.took(c.after, c.after+time.Second)
					if len(l.reports) != 1 {
						t.Errorf("reported: %v", l.reports)
					}
				})
			})
		}
	})
}

// An answer that stops is broken off, so that nobody takes it for whole.
func TestStalledAnswer(t *testing.T) {
	both(t, func(t *testing.T, version int) {
		for _, length := range []string{"2000", ""} {
			inLine(t, version, func(w http.ResponseWriter, r *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				io.CopyN(w, zeroReader{}, 1000)
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}, func(l *line) {
				if status, err := l.post(http.NoBody, 0); status != http.StatusOK || err == nil {
					t.Errorf("status %d, %v, want half of an answer", status, err)
				}
				l.took(10*time.Minute, 10*time.Minute+time.Second)
				if len(l.reports) != 1 || !strings.Contains(l.reports[0].Error(), "nothing has moved for 10m0s") {
					t.Errorf("reported: %v", l.reports)
				}
			})
		}
	})
}

// An event stream may rest for a while, as often as it likes; so may an answer whose header alone has come.
func TestStreamDown(t *testing.T) {
	both(t, func(t *testing.T, version int) {
		inLine(t, version, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 10 {
				http.NewResponseController(w).Flush()
				time.Sleep(9 * time.Minute)
				io.WriteString(w, ":\n\n")
			}
		}, func(l *line) {
			if status, err := l.post(http.NoBody, 0); status != http.StatusOK || err != nil {
				t.Errorf("status %d, %v", status, err)
			}
			l.took(90*time.Minute, 90*time.Minute)
			time.Sleep(30 * time.Minute) // nothing is left that could strike later
			if status, err := l.post(strings.NewReader("x"), 1); status != http.StatusOK || err != nil {
				t.Errorf("on the same connection: status %d, %v", status, err)
			}
		})
	})
}

// Who takes nothing of an answer, or next to nothing, holds no connection of the upstream's for ever. This is on real
// connections: httputil.ReverseProxy waits for a lock meanwhile, which holds up simulated time.
func TestTakesNothing(t *testing.T) {
	both(t, func(t *testing.T, version int) {
		t.Parallel()
		for name, length := range map[string]string{"known length": fmt.Sprint(1 << 40), "unknown length": ""} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				gone, ended := make(chan bool), make(chan bool)
				upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if length != "" {
						w.Header().Set("Content-Length", length)
					}
					io.Copy(w, zeros(1<<40))
					close(gone)
				}))
				h := newHandler(t, Options{Upstream: upstream, Idle: time.Second})
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer close(ended)
					h.ServeHTTP(w, r)
				}))
				s.EnableHTTP2 = version == 2
				s.StartTLS()
				t.Cleanup(s.Close)
				res, err := s.Client().Get(s.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				go func() { // until it is closed
					for b := make([]byte, 1); ; time.Sleep(50 * time.Millisecond) {
						if _, err := res.Body.Read(b); err != nil {
							return
						}
					}
				}()
				await(t, ended, "the end of the exchange")
				await(t, gone, "the end of the upstream's connection")
			})
		}
	})
}

// A tunnel goes on for as long as something moves in it either way, and ends on both sides when nothing does.
func TestTunnelRests(t *testing.T) {
	for _, c := range []struct {
		name       string
		up, down   int // bytes, each 9 minutes after the one before
		takes      bool
		from, till time.Duration
	}{
		{"silent", 0, 0, true, 10 * time.Minute, 10 * time.Minute},
		{"up", 5, 0, true, 55 * time.Minute, 55 * time.Minute},
		{"down", 0, 5, true, 55 * time.Minute, 55 * time.Minute},
		{"takes nothing", 0, 5, false, 10 * time.Minute, 20 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			var closed bool
			inLine(t, 1, func(w http.ResponseWriter, r *http.Request) {
				conn, _, _ := http.NewResponseController(w).Hijack()
				io.WriteString(conn, lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"))
				go io.Copy(conn, dripping(c.down, 9*time.Minute))
				io.Copy(io.Discard, conn)
				conn.Close()
				closed = true
			}, func(l *line) {
				conn, _ := l.front.Dial(context.Background(), "", "")
				defer conn.Close()
				io.WriteString(conn, upgradeRequest)
				br := bufio.NewReader(conn)
				if m, err := readMessage(br, "GET"); !strings.Contains(m.start, "101") {
					t.Fatal(m, err)
				}
				go copyAll(conn, dripping(c.up, 9*time.Minute))
				if c.takes {
					go io.Copy(io.Discard, br)
				}
				l.took(c.from, c.till)
				synctest.Wait()
				if !closed {
					t.Error("the upstream's connection is still open")
				}
			})
		})
	}
}

// copyAll writes what comes, and ends nothing.
func copyAll(conn net.Conn, from io.Reader) {
	io.Copy(conn, from)
}

// Without limits nothing ends.
func TestNoLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() {
			br := bufio.NewReader(theirs)
			readMessage(br, "")
			time.Sleep(100 * time.Hour)
			io.WriteString(theirs, plainAnswer)
		}()
		tr := newTransport()
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
		defer tr.CloseIdleConnections()
		r, _ := http.NewRequest("GET", "/", nil)
		r.RequestURI = "/"
		w := &headerOnly{header: make(http.Header)}
		New(Options{Upstream: &url.URL{Scheme: "http", Host: "upstream"}, Transport: tr}).ServeHTTP(w, r)
		if w.status != http.StatusOK {
			t.Errorf("status %d", w.status)
		}
	})
}

type headerOnly struct {
	header http.Header
	status int
}

func (w *headerOnly) Header() http.Header         { return w.header }
func (w *headerOnly) WriteHeader(status int)      { w.status = status }
func (w *headerOnly) Write(p []byte) (int, error) { return len(p), nil }

// A body that the upstream does not want holds the connection for a moment only.
func TestUnwantedBody(t *testing.T) {
	inLine(t, 1, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusForbidden)
	}, func(l *line) {
		conn, _ := l.front.Dial(context.Background(), "", "")
		defer conn.Close()
		go func() {
			io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
			io.Copy(conn, dripping(1000, time.Minute))
		}()
		began := time.Now()
		br := bufio.NewReader(conn)
		if _, m, err := readResponse(br, "POST"); !strings.Contains(m.start, "403") {
			t.Errorf("%q, %v", m, err)
		}
		if _, err := br.ReadByte(); !errors.Is(err, io.EOF) || time.Since(began) > leftTime+time.Minute {
			t.Errorf("%v after %v, want the end of the connection", err, time.Since(began))
		}
	})
}
