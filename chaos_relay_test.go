package main

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A faultyRelay passes TCP connections on and does to them what networks do. The
// address that it passes them on to may change.
type faultyRelay struct {
	net.Listener
	target atomic.Value // string, host:port
	did    *deeds

	mu    sync.Mutex // guards the fields below
	r     *rand.Rand
	wild  bool // does anything at all
	conns map[*relayed]struct{}
}

// newFaultyRelay listens on loopback until the test ends.
func newFaultyRelay(t *testing.T, seed uint64, target string, did *deeds) *faultyRelay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	y := &faultyRelay{Listener: l, did: did, r: rand.New(rand.NewPCG(seed, 1)), conns: make(map[*relayed]struct{})}
	y.target.Store(target)
	t.Cleanup(func() {
		l.Close()
		y.calm()
	})
	go y.run()
	return y
}

func (y *faultyRelay) address() string { return y.Addr().String() }

func (y *faultyRelay) run() {
	for {
		conn, err := y.Accept()
		if err != nil {
			return
		}
		go y.pass(conn)
	}
}

// storm begins to do things.
func (y *faultyRelay) storm() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.wild = true
}

// calm ends it. Connections to which something has been done end, as they do
// in the end: what is promised is for those that work.
func (y *faultyRelay) calm() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.wild = false
	for c := range y.conns {
		if c.fate != "" {
			c.reset()
		}
	}
}

// A relayed connection has a fate, which comes after so many bytes.
type relayed struct {
	client, server *net.TCPConn
	fate           string // empty: none
	after          atomic.Int64
	delay          time.Duration // of every piece, at most
	met            sync.Once
}

func (y *faultyRelay) pass(conn net.Conn) {
	y.did.add("connection")
	c := &relayed{client: conn.(*net.TCPConn)}
	y.mu.Lock()
	if y.wild {
		c.fate = []string{"", "delayed", "dropped", "reset", "half-open", "refused"}[y.r.IntN(6)]
		c.after.Store(int64(y.r.IntN(4_000)))
		c.delay = time.Duration(y.r.IntN(30)) * time.Millisecond
	}
	y.mu.Unlock()
	if c.fate == "refused" {
		y.did.add(c.fate)
		conn.Close()
		return
	}
	server, err := net.Dial("tcp", y.target.Load().(string))
	if err != nil { // the proxy is being killed
		y.did.add("nobody there")
		conn.Close()
		return
	}
	c.server = server.(*net.TCPConn)
	y.mu.Lock()
	y.conns[c] = struct{}{}
	if !y.wild {
		c.fate = ""
	}
	y.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { y.copy(c, c.server, c.client) })
	both.Go(func() { y.copy(c, c.client, c.server) })
	both.Wait()
	c.client.Close()
	c.server.Close()
	y.mu.Lock()
	delete(y.conns, c)
	y.mu.Unlock()
}

// copy passes one direction on until its end or its fate.
func (y *faultyRelay) copy(c *relayed, to, from *net.TCPConn) {
	defer to.CloseWrite()
	b := make([]byte, 4<<10)
	for {
		n, err := from.Read(b)
		if c.fate != "" && c.after.Add(-int64(n)) < 0 && c.meet(y.did) {
			return
		}
		if c.delay > 0 {
			time.Sleep(c.delay)
		}
		if _, failed := to.Write(b[:n]); failed != nil || err != nil {
			if err == io.EOF && failed == nil {
				return
			}
			c.reset()
			return
		}
	}
}

// meet does to a connection what is to be done, and reports whether that is
// its end.
func (c *relayed) meet(did *deeds) bool {
	if c.fate == "delayed" {
		c.met.Do(func() { did.add(c.fate) })
		return false
	}
	c.met.Do(func() {
		did.add(c.fate)
		switch c.fate {
		case "dropped":
			c.client.Close()
			c.server.Close()
		case "reset":
			c.reset()
		case "half-open": // nothing arrives any more and nobody says so, until the network does
			time.AfterFunc(time.Second, c.reset)
		}
	})
	if c.fate == "half-open" {
		io.Copy(io.Discard, c.server) // not even that there is no room
	}
	return true
}

func (c *relayed) reset() {
	for _, conn := range []*net.TCPConn{c.client, c.server} {
		conn.SetLinger(0)
		conn.Close()
	}
}
