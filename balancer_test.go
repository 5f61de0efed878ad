package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A balancer passes TCP on to processes in turn, as long as they are in.
type balancer struct {
	to   []*running
	addr string

	mu    sync.Mutex     // guards the fields below
	out   map[int]func() // is called for each connection that ends; there: nobody new is sent to it
	conns map[int]int
	turn  int
}

func (b *balancer) listen(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr, b.out, b.conns = l.Addr().String(), map[int]func(){}, map[int]int{}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.pass(conn)
		}
	}()
}

// open is how many connections there are to one.
func (b *balancer) open(i int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conns[i]
}

// leave has nobody new be sent to one, and ended called for each connection to it
// that ends.
func (b *balancer) leave(i int, ended func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out[i] = ended
}

func (b *balancer) choose() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		b.turn++
		if i := b.turn % len(b.to); b.out[i] == nil {
			b.conns[i]++
			return i
		}
	}
}

func (b *balancer) pass(conn net.Conn) {
	defer conn.Close()
	i := b.choose()
	up, err := net.Dial("tcp", b.to[i].address)
	if err != nil {
		return
	}
	defer up.Close()
	go io.Copy(up, conn)
	io.Copy(conn, up)
	b.mu.Lock()
	b.conns[i]--
	ended := b.out[i]
	b.mu.Unlock()
	if ended != nil {
		ended()
	}
}
