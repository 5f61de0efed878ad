package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A wire is the connection under a WebSocket. coder/websocket reads from it and
// writes its control frames to it, each in one Write; beside it go the frames
// that are made here. It keeps the two apart, and sends no data after a close
// frame (RFC 6455, section 5.5.1).
//
// Where the connection has a descriptor that can be written to without waiting,
// most frames go that way: no deadline has to be set, nobody waits.
type wire struct {
	// mu guards writes and the fields below.
	mu     sync.Mutex
	closed bool   // a close frame was sent
	sent   int64  // bytes
	unsent []byte // of a frame that the peer has taken a part of; goes before all else

	descriptor descriptor
	net.Conn

	buffered *bufio.Reader // what the library reads from
	early    []byte        // what arrived together with the handshake
	lastRead atomic.Int64  // when the peer last said anything, in ticks
	slow     atomic.Bool   // it was given up, because it took nothing
}

// A peer that takes nothing for writeTimeout is given up; large frames are
// written in pieces, so that a slow peer which does take them is not.
const (
	writeTimeout = 10 * time.Second
	writePiece   = 64 << 10
)

func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.lastRead.Store(ticks())
	}
	return n, err
}

// Close closes the connection. Nobody else does: what is written to a
// descriptor after it was closed may go to another's connection.
func (w *wire) Close() error {
	w.descriptor.close()
	return w.Conn.Close()
}

// Write writes a control frame.
func (w *wire) Write(frame []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, net.ErrClosed
	}
	if len(frame) > 0 && frame[0] == opClose {
		w.closed = true
	}
	if err := w.writeLocked(net.Buffers{frame}); err != nil {
		return 0, err
	}
	return len(frame), nil
}

// writeFrames writes complete frames in order, those that are small together.
func (w *wire) writeFrames(frames net.Buffers) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	return w.writeLocked(frames)
}

// writeLocked waits until the peer has taken all.
func (w *wire) writeLocked(frames net.Buffers) error {
	if len(w.unsent) > 0 {
		frames = slices.Insert(frames, 0, w.unsent)
		w.unsent = nil
	}
	for len(frames) > 0 {
		batch := cut(&frames)
		w.SetWriteDeadline(time.Now().Add(writeTimeout))
		n, err := batch.WriteTo(w.Conn)
		w.sent += n
		if err != nil {
			w.slow.Store(errors.Is(err, os.ErrDeadlineExceeded))
			w.Close() // a frame that was cut short cannot be mended
			return err
		}
	}
	return nil
}

// try writes what can be written of frames without waiting. Where that is not
// all, done is false and writeFrames is to be called with the rest, even when
// that is empty: it may be of a frame that was cut short.
func (w *wire) try(s *sender, frames net.Buffers) (rest net.Buffers, done bool, err error) {
	if len(frames) == 0 {
		return nil, true, nil
	}
	if !w.descriptor.isThere() || !w.mu.TryLock() {
		return frames, false, nil
	}
	defer w.mu.Unlock()
	if w.closed {
		return nil, false, net.ErrClosed
	}
	if len(w.unsent) > 0 {
		return frames, false, nil
	}
	for len(frames) > 0 {
		b, n := s.join(frames)
		sent, err := w.descriptor.send(b)
		if err != nil {
			return nil, false, err
		}
		w.sent += int64(sent)
		if sent == len(b) {
			frames = frames[n:]
			continue
		}
		for sent >= len(frames[0]) {
			sent -= len(frames[0])
			frames = frames[1:]
		}
		if sent > 0 {
			w.unsent = frames[0][sent:]
			frames = frames[1:]
		}
		return frames, false, nil
	}
	return nil, true, nil
}

// written is how many bytes the peer was sent.
func (w *wire) written() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// cut takes about writePiece bytes off the front of frames.
func cut(frames *net.Buffers) net.Buffers {
	f := *frames
	n := 0
	for i, b := range f {
		if n+len(b) > writePiece {
			if room := writePiece - n; room > 0 {
				batch := append(net.Buffers(nil), f[:i]...)
				batch = append(batch, b[:room])
				f[i] = b[room:]
				*frames = f[i:]
				return batch
			}
			*frames = f[i:]
			return f[:i]
		}
		n += len(b)
	}
	*frames = nil
	return f
}

// ping sends a ping unless something is being written: then a write deadline
// is watching the peer already.
func (w *wire) ping() error {
	if !w.mu.TryLock() {
		return nil
	}
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	if len(w.unsent) > 0 {
		return nil
	}
	return w.writeLocked(net.Buffers{pingFrame})
}

// canAwait reports whether the wire can say when there is something to read,
// and nothing that was read is left over.
func (w *wire) canAwait() bool {
	return w.descriptor.isThere() && len(w.early) == 0 && w.buffered.Buffered() == 0
}

// started is what ticks count from.
var started = time.Now()

// ticks is the time in nanoseconds by a clock that nobody sets: a wall clock
// that is put forward must not make every peer look silent.
func ticks() int64 { return int64(time.Since(started)) }

// silence is how long the peer has said nothing.
func (w *wire) silence() time.Duration {
	return time.Duration(ticks() - w.lastRead.Load())
}

// A hijacker is a ResponseWriter that hands out its connection as the wire given, with
// buffers that suit small messages in and single control frames out.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

// The library reads what is longer than its buffer around it, so that little
// buffer does; and writes control frames, which are no longer than 127 bytes.
const (
	readBuffer  = 16
	writeBuffer = 128
)

// sendBuffer is how many bytes the kernel holds for a peer that does not take
// them. Left alone it would let that grow to megabytes.
const sendBuffer = 64 << 10

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	conn.SetDeadline(time.Time{}) // the server's limits are for requests
	h.wire.Conn = conn
	h.wire.descriptor.open(conn)
	h.wire.lastRead.Store(ticks())
	if n := buffered.Reader.Buffered(); n > 0 {
		early, _ := buffered.Reader.Peek(n)
		h.wire.early = bytes.Clone(early)
	}
	h.wire.buffered = bufio.NewReaderSize(h.wire, readBuffer)
	return h.wire, bufio.NewReadWriter(h.wire.buffered, bufio.NewWriterSize(h.wire, writeBuffer)), nil
}

// A sender writes to one wire after another. It allocates once.
type sender struct{ joined []byte }

// join returns the first of frames in one piece, of writePiece bytes at most
// unless the first is longer, and how many they are.
func (s *sender) join(frames net.Buffers) (b []byte, n int) {
	size := 0
	for n < len(frames) && (n == 0 || size+len(frames[n]) <= writePiece) {
		size += len(frames[n])
		n++
	}
	if n == 1 {
		return frames[0], 1
	}
	s.joined = s.joined[:0]
	for _, f := range frames[:n] {
		s.joined = append(s.joined, f...)
	}
	return s.joined, n
}
