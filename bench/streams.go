package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"time"
)

// What is held for those who watch by other ways than a socket, and for what is
// watched.

// runStreams measures what an event stream holds while nothing happens, and
// what a document that is watched holds.
func (b *bench) runStreams(string) error {
	const size = 100_000
	streams, documents := b.watchers*2/5, b.watchers/25
	one, err := b.held(1, streams, 100)
	if err != nil {
		return err
	}
	many, err := b.held(documents, documents, size)
	if err != nil {
		return err
	}
	perDocument := float64(many)/float64(documents) - float64(one)/float64(streams)
	fmt.Fprintf(b.out, "RSS per event stream: %d\nRSS per watched document of %d bytes, after a change: %.0f, %.1f times its size\n",
		one/int64(streams), size, perDocument, perDocument/size)
	return nil
}

// held opens event streams on so many documents, has each change once, and
// returns what memory that took.
func (b *bench) held(documents, streams, size int) (int64, error) {
	still := records(size)
	up, err := serveUpstream(0, func(channel, number int, now time.Time) []byte {
		return fmt.Appendf(nil, `{"change":%d,"still":%s}`, number, still)
	})
	if err != nil {
		return 0, err
	}
	s, err := startPollbridge(&b.run, up, time.Second)
	if err != nil {
		return 0, err
	}
	defer b.over(s, nil)
	b.rest()
	before, address := s.memory(), s.join(1).Address
	var open []*bufio.Reader
	for i := range streams {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /api/%d HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", i%documents, address)
		r := bufio.NewReaderSize(conn, 512)
		if err := until(r, "event: snapshot"); err != nil {
			return 0, err
		}
		open = append(open, r)
	}
	b.number++
	for c := range documents {
		up.change(c, b.number)
	}
	for _, r := range open {
		if err := until(r, "event: patch"); err != nil {
			return 0, err
		}
	}
	b.rest()
	return s.memory() - before, nil
}

// until reads lines until one begins so.
func until(r *bufio.Reader, want string) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, want) {
			return nil
		}
	}
}

// records is an array of objects, as APIs send, of about so many bytes.
func records(size int) []byte {
	var b bytes.Buffer
	b.WriteString("[")
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"station_id":%d,"name":"Station %d","bikes":%d,"docks":%d,"renting":true}`, i, i, i%7, i%11)
	}
	b.WriteString("]")
	return b.Bytes()
}
