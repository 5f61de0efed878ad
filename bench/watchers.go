package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A join has a process of watchers open connections.
type join struct {
	Address   string   // host:port of the server, IPv4
	Source    string   // the address to connect from, IPv4
	Target    string   // of the handshake's request; %d is the number of the connection, modulo Modulo
	Header    string   // further lines of the handshake, each with its CRLF
	Messages  []string // sent after the handshake, each as a frame; %d as above
	Ready     []byte   // occurs in every frame that makes a connection ready
	Readies   int      // how many of these; zero: the handshake is enough
	Count     int      // of connections
	First     int      // number of the first
	Modulo    int      // zero: none
	InFlight  int      // how many may be joining at once; zero: all
	Silent    bool     // never read again once ready
	PongEmpty bool     // answer the message {} with {}
	Expect    int      // receipts of one change that make it complete; zero: nobody waits
}

// A command is what the driver tells a process of watchers. Exactly one member
// is set.
type command struct {
	Join   *join
	Report bool // and begin to measure anew
	Leave  bool // close all connections
}

// A word is what a process of watchers tells the driver.
type word struct {
	Complete string // the change that all of this process have received
	Joined   bool
	Report   *report
	Err      string
}

// A report is what one or all processes of watchers have seen since the last.
type report struct {
	Latencies []uint32         // µs from the change's stamp to its receipt, one for each delivery
	First     map[string]int64 // ns until the first receipt of a change
	Last      map[string]int64 // and until the last so far
	Frames    int
	Bytes     int64 // of the frames
	CPU       time.Duration
	Open      int // connections
	Gone      int // connections that the server has ended
}

// watchers are many WebSocket clients in one thread. They read cheaply: one
// epoll, one buffer, frames skipped over but for the stamp that a change
// carries.
type watchers struct {
	epoll int
	out   chan word

	mu     sync.Mutex // guards the fields below; the thread that reads holds it while it works
	conns  map[int]*conn
	report report
	counts map[string]int
	known  [4]inflated
	expect int
	cpu    time.Duration
}

// A conn is one of them.
type conn struct {
	fd        int
	join      *join
	number    int
	upgraded  bool
	readies   int
	joined    func()
	rest      []byte // of a frame that is not complete yet
	connected bool
}

// An inflated frame is remembered, because all connections get the same.
type inflated struct{ deflated, text []byte }

// runWatchers is the process. It ends with its standard input.
func runWatchers(in io.Reader, out io.Writer) error {
	raiseLimit()
	epoll, err := syscall.EpollCreate1(0)
	if err != nil {
		return err
	}
	w := &watchers{epoll: epoll, out: make(chan word, 1024), conns: make(map[int]*conn), counts: make(map[string]int)}
	w.reset()
	go func() {
		enc := gob.NewEncoder(out)
		for m := range w.out {
			enc.Encode(m)
		}
	}()
	go w.loop()
	for dec := gob.NewDecoder(bufio.NewReader(in)); ; {
		var c command
		if err := dec.Decode(&c); err != nil {
			return nil
		}
		switch {
		case c.Join != nil:
			go w.join(c.Join)
		case c.Report:
			w.out <- word{Report: w.reset()}
		case c.Leave:
			w.leave()
			w.out <- word{Joined: true}
		}
	}
}

// raiseLimit allows as many open files as the system lets us.
func raiseLimit() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		l.Cur = l.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
}

func (w *watchers) reset() *report {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.report
	cpu := ownCPU()
	r.CPU, w.cpu = cpu-w.cpu, cpu
	for _, c := range w.conns {
		if c.upgraded {
			r.Open++
		}
	}
	w.report = report{First: make(map[string]int64), Last: make(map[string]int64)}
	clear(w.counts)
	return &r
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (w *watchers) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for fd := range w.conns {
		// With a reset, so that the address is free at once.
		syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
		syscall.Close(fd)
	}
	clear(w.conns)
}

// join opens connections and says when all are ready.
func (w *watchers) join(j *join) {
	w.mu.Lock()
	w.expect = j.Expect
	w.mu.Unlock()
	inFlight := j.InFlight
	if inFlight == 0 {
		inFlight = j.Count
	}
	slots := make(chan struct{}, inFlight)
	var all sync.WaitGroup
	for i := range j.Count {
		slots <- struct{}{}
		all.Add(1)
		c := &conn{join: j, number: j.First + i, joined: func() { all.Done(); <-slots }}
		if j.Modulo > 0 {
			c.number %= j.Modulo
		}
		if err := w.connect(c); err != nil {
			w.out <- word{Err: fmt.Sprintf("connection %d: %v", c.number, err)}
			return
		}
	}
	all.Wait()
	w.out <- word{Joined: true}
}

func (w *watchers) connect(c *conn) error {
	to, err := socketAddress(c.join.Address)
	if err != nil {
		return err
	}
	from, err := socketAddress(c.join.Source + ":0")
	if err != nil {
		return err
	}
	c.fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	const bindAddressNoPort = 24 // IP_BIND_ADDRESS_NO_PORT: the port is chosen by connect, for the pair
	syscall.SetsockoptInt(c.fd, syscall.IPPROTO_IP, bindAddressNoPort, 1)
	if err := syscall.Bind(c.fd, from); err != nil {
		return err
	}
	if err := syscall.Connect(c.fd, to); err != nil && err != syscall.EINPROGRESS {
		return err
	}
	w.mu.Lock()
	w.conns[c.fd] = c
	w.mu.Unlock()
	return syscall.EpollCtl(w.epoll, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLOUT, Fd: int32(c.fd)})
}

func socketAddress(s string) (*syscall.SockaddrInet4, error) {
	a, err := net.ResolveTCPAddr("tcp4", s)
	if err != nil {
		return nil, err
	}
	return &syscall.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())}, nil
}

// loop reads whatever there is.
func (w *watchers) loop() {
	runtime.LockOSThread()
	events := make([]syscall.EpollEvent, 256)
	buf := make([]byte, 256<<10)
	for {
		n, err := syscall.EpollWait(w.epoll, events, -1)
		if err != nil && err != syscall.EINTR {
			w.out <- word{Err: "epoll: " + err.Error()}
			return
		}
		w.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			if c := w.conns[int(e.Fd)]; c == nil {
				continue // left just now
			} else if err := w.event(c, buf); err != nil {
				w.drop(c, err)
			}
		}
		w.mu.Unlock()
	}
}

func (w *watchers) drop(c *conn, err error) {
	delete(w.conns, c.fd)
	syscall.Close(c.fd)
	w.report.Gone++
	if c.joined != nil {
		w.out <- word{Err: fmt.Sprintf("connection %d ended while it was joining: %v", c.number, err)}
	}
}

func (w *watchers) event(c *conn, buf []byte) error {
	if !c.connected {
		c.connected = true
		request := "GET " + numbered(c.join.Target, c.number) + " HTTP/1.1\r\nHost: " + c.join.Address +
			"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + c.join.Header + "\r\n"
		if _, err := syscall.Write(c.fd, []byte(request)); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		return syscall.EpollCtl(w.epoll, syscall.EPOLL_CTL_MOD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)})
	}
	n, err := syscall.Read(c.fd, buf[len(c.rest):])
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return nil
	case err != nil:
		return err
	case n == 0:
		return io.EOF
	}
	b := buf[:len(c.rest)+n]
	copy(b, c.rest) // what was read lies behind it
	if !c.upgraded {
		if b, err = w.upgraded(c, b); err != nil {
			return err
		}
	}
	if c.upgraded {
		if b, err = w.frames(c, b); err != nil {
			return err
		}
	}
	c.rest = nil
	if len(b) > 0 {
		c.rest = bytes.Clone(b)
		if len(b) > len(buf)/2 {
			return fmt.Errorf("a frame of more than %d bytes", len(buf)/2)
		}
	}
	return nil
}

func numbered(s string, n int) string {
	before, after, ok := cutNumber(s)
	if !ok {
		return s
	}
	return before + strconv.Itoa(n) + after
}

func cutNumber(s string) (before, after string, ok bool) {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '%' && s[i+1] == 'd' {
			return s[:i], s[i+2:], true
		}
	}
	return s, "", false
}

// upgraded takes the handshake's answer off b when it is complete.
func (w *watchers) upgraded(c *conn, b []byte) ([]byte, error) {
	head, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return b, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		return nil, fmt.Errorf("answer %.200q", b)
	}
	c.upgraded = true
	for _, m := range c.join.Messages {
		if err := c.say(numbered(m, c.number)); err != nil {
			return nil, err
		}
	}
	if c.join.Readies == 0 {
		w.ready(c)
	}
	return rest, nil
}

// say sends a short text, masked with a key of zeros.
func (c *conn) say(text string) error {
	f := []byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}
	if len(text) > 125 {
		f = []byte{0x81, 0x80 | 126, byte(len(text) >> 8), byte(len(text)), 0, 0, 0, 0}
	}
	_, err := syscall.Write(c.fd, append(f, text...))
	return err
}

func (w *watchers) ready(c *conn) {
	c.joined()
	c.joined = nil
	if c.join.Silent {
		syscall.EpollCtl(w.epoll, syscall.EPOLL_CTL_DEL, c.fd, nil)
	}
}

// frames takes the complete frames off b.
func (w *watchers) frames(c *conn, b []byte) ([]byte, error) {
	for len(b) >= 2 {
		head, n := 2, int(b[1]&0x7f)
		switch {
		case n == 126 && len(b) >= 4:
			head, n = 4, int(b[2])<<8|int(b[3])
		case n == 127 && len(b) >= 10:
			head, n = 10, int(b[6])<<24|int(b[7])<<16|int(b[8])<<8|int(b[9])
		case n >= 126:
			return b, nil
		}
		if len(b) < head+n {
			return b, nil
		}
		if err := w.frame(c, b[0], b[head:head+n]); err != nil {
			return nil, err
		}
		w.report.Bytes += int64(head + n)
		b = b[head+n:]
	}
	return b, nil
}

func (w *watchers) frame(c *conn, first byte, text []byte) error {
	switch first & 0x0f {
	case 8:
		return fmt.Errorf("closed by the server: %q", text)
	case 9:
		_, err := syscall.Write(c.fd, []byte{0x8a, 0x80, 0, 0, 0, 0}) // our pings are empty
		return err
	}
	w.report.Frames++
	if first&0x40 != 0 {
		var err error
		if text, err = w.inflate(text); err != nil {
			return err
		}
	}
	if c.joined != nil && c.join.Readies > 0 {
		if c.readies += bytes.Count(text, c.join.Ready); c.readies >= c.join.Readies {
			w.ready(c)
		}
	}
	for line := range bytes.SplitSeq(text, []byte("\n")) { // Centrifugo sends several in one frame
		if c.join.PongEmpty && string(line) == "{}" {
			if err := c.say("{}"); err != nil {
				return err
			}
		}
		w.receipt(line)
	}
	return nil
}

// receipt notes a change that has arrived.
func (w *watchers) receipt(text []byte) {
	change, at, ok := findStamp(text)
	if !ok {
		return
	}
	took := time.Now().UnixNano() - at
	w.report.Latencies = append(w.report.Latencies, uint32(took/1000))
	if w.expect == 0 {
		return
	}
	n := w.counts[string(change)] + 1
	if n == 1 {
		w.report.First[string(change)] = took
	}
	w.counts[string(change)] = n
	if n == w.expect {
		w.report.Last[string(change)] = took
		w.out <- word{Complete: string(change)}
	}
}
