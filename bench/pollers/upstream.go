package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// An upstream is the legacy API: one document, a hundredth of which changes
// every so often. An answer takes some time to make, and no header of it lets
// anybody keep it.
type upstream struct {
	every time.Duration // between two changes
	work  time.Duration // that an answer waits for, as for a database
	rows  int           // of the document, about 100 bytes each

	listener net.Listener
	server   *http.Server
	requests atomic.Int64
	sent     atomic.Int64 // bytes of bodies

	mu   sync.Mutex       // guards made
	made map[int64][]byte // the documents that were given, by number of the change
}

func newUpstream(every, work time.Duration, rows int) (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{every: every, work: work, rows: rows, listener: l, made: make(map[int64][]byte)}
	u.server = &http.Server{Handler: u}
	go u.server.Serve(l)
	return u, nil
}

func (u *upstream) address() string { return u.listener.Addr().String() }

func (u *upstream) close() { u.server.Close() }

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.requests.Add(1)
	time.Sleep(u.work)
	text := u.document(time.Now().UnixNano() / int64(u.every))
	u.sent.Add(int64(len(text)))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Write(text)
}

// document is what the upstream says after a change. The number of the change
// comes first, so that a poller reads it cheaply.
func (u *upstream) document(change int64) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	text := u.made[change]
	if text == nil {
		b := fmt.Appendf(nil, `{"change":%d,"orders":[`, change)
		for i := range u.rows {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"id":%d,"customer":"customer number %06d","state":"on its way","total":%d.50}`, i, i*7919, (change+int64(i))/100)
		}
		text = append(b, "]}"...)
		u.made[change] = text
	}
	return text
}

// said reports whether text is a document that was given, and after which
// change.
func (u *upstream) said(text []byte) (change int64, ok bool) {
	change, ok = numberAfter(text, `{"change":`)
	if !ok {
		return 0, false
	}
	u.mu.Lock()
	given := u.made[change]
	u.mu.Unlock()
	return change, bytes.Equal(given, text)
}

// numberAfter reads the number that stands after a prefix, where that is last:
// the patch of several changes has one after the other.
func numberAfter(text []byte, prefix string) (n int64, ok bool) {
	i := bytes.LastIndex(text, []byte(prefix))
	if i < 0 {
		return 0, false
	}
	for _, c := range text[i+len(prefix):] {
		if c < '0' || c > '9' {
			break
		}
		n, ok = n*10+int64(c-'0'), true
	}
	return n, ok
}

// behind is how long the upstream has said something newer than a change at t.
func (u *upstream) behind(change int64, t time.Time) time.Duration {
	return max(0, time.Duration(t.UnixNano()-(change+1)*int64(u.every)))
}
