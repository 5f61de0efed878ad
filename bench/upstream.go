package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// An upstream is the API that pollbridge polls. A document has a part that
// stays and one that changes. A change is made, and gets its stamp, when it is
// first served, so that the wait for the next poll does not count.
//
// It is HTTP/1.1 on its own, as little as serves pollbridge, because it runs on
// the same processors and is not what is measured.
type upstream struct {
	listener net.Listener
	requests atomic.Int64
	every    time.Duration // the documents change by themselves so often, each at its own time; zero: when change is called
	make     func(channel, number int, now time.Time) []byte

	mu        sync.Mutex // guards the fields below, and calls of make
	documents map[int]*document
	conns     []net.Conn
}

type document struct {
	number int // of the change that is wanted
	made   int // of the change that body has
	body   []byte
	etag   string
}

// newUpstream serves documents at /api/0, /api/1, and so on, whose changes are
// of size bytes.
func newUpstream(size int) (*upstream, error) {
	still := pad(4 * size)
	return serveUpstream(0, func(channel, number int, now time.Time) []byte {
		return fmt.Appendf(nil, `{"change":%s,"still":%q}`, body(size, stamp(channel, number, now.UnixNano())), still)
	})
}

func serveUpstream(every time.Duration, make func(channel, number int, now time.Time) []byte) (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{listener: l, every: every, make: make, documents: map[int]*document{}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			u.mu.Lock()
			u.conns = append(u.conns, conn)
			u.mu.Unlock()
			go u.serve(conn)
		}
	}()
	return u, nil
}

func (u *upstream) address() string { return u.listener.Addr().String() }

func (u *upstream) close() {
	u.listener.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.conns {
		c.Close()
	}
}

// change has the next poll of a channel find a change.
func (u *upstream) change(channel, number int) {
	u.mu.Lock()
	u.document(channel).number = number
	u.mu.Unlock()
}

func (u *upstream) document(channel int) *document {
	d := u.documents[channel]
	if d == nil {
		d = &document{made: -1}
		u.documents[channel] = d
	}
	return d
}

// current is a channel's document as it is now.
func (u *upstream) current(channel int) (body []byte, etag string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d := u.document(channel)
	now := time.Now()
	if u.every > 0 {
		phase := u.every / 127 * time.Duration(channel%127)
		d.number = int(now.Add(phase).UnixNano() / int64(u.every))
	}
	if d.made != d.number {
		d.made = d.number
		d.body = u.make(channel, d.number, now)
		d.etag = strconv.Quote(strconv.Itoa(d.number))
	}
	return d.body, d.etag
}

// serve answers GETs until the connection ends.
func (u *upstream) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	var out []byte
	for {
		channel, match, err := readRequest(in)
		if err != nil {
			return
		}
		u.requests.Add(1)
		text, etag := u.current(channel)
		if match == etag {
			out = fmt.Appendf(out[:0], "HTTP/1.1 304 Not Modified\r\nEtag: %s\r\n\r\n", etag)
		} else {
			out = fmt.Appendf(out[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nEtag: %s\r\nContent-Length: %d\r\n\r\n", etag, len(text))
			out = append(out, text...)
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// readRequest reads a GET of /api/<channel>.
func readRequest(in *bufio.Reader) (channel int, match string, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, "", err
	}
	path, ok := bytes.CutPrefix(line, []byte("GET /api/"))
	path, _, found := bytes.Cut(path, []byte(" "))
	if channel, err = strconv.Atoi(string(path)); !ok || !found || err != nil {
		return 0, "", fmt.Errorf("request %q", line)
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, "", err
		}
		if len(line) <= 2 {
			return channel, match, nil
		}
		if v, ok := bytes.CutPrefix(line, []byte("If-None-Match: ")); ok {
			match = string(bytes.TrimSpace(v))
		}
	}
}
