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
// frame (RFC 6455, section 5.5.1). Reading never waits for writing: a pong that
// cannot be sent at once goes behind what is being sent.
//
// Where the connection has a descriptor that can be written to without waiting,
// most frames go that way: no deadline has to be set, nobody waits.
type wire struct {
	// mu guards writes and the fields below. It is unlocked with unlock.
	mu     sync.Mutex
	closed bool   // a close frame was sent
	sent   int64  // bytes
	unsent []byte // of a frame that the peer has taken a part of; goes before all else

	pong atomic.Pointer[[]byte] // the latest that is still to be sent, by whoever has mu

	descriptor descriptor
	net.Conn

	buffered *bufio.Reader // what the library reads from
	early    []byte        // what arrived together with the handshake
	lastSign atomic.Int64  // when the peer last said anything, or took a piece of more, in ticks
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
		w.lastSign.Store(ticks())
	}
	return n, err
}

// Close closes the connection. Nobody else does: what is written to a
// descriptor after it was closed may go to another's connection.
func (w *wire) Close() error {
	w.descriptor.close()
	return w.Conn.Close()
}

// Write writes a control frame. A pong does not wait for what is being written: the
// library gives up a peer whose pong is not written within five seconds, and a slow
// one takes longer over a large frame.
func (w *wire) Write(frame []byte) (int, error) {
	if frame[0] == opPong {
		pong := bytes.Clone(frame)
		w.pong.Store(&pong)
		if w.lockForPong() {
			w.sendPong()
		}
		return len(frame), nil
	}
	w.mu.Lock()
	defer w.unlock()
	if w.closed {
		return 0, net.ErrClosed
	}
	w.closed = frame[0] == opClose
	if err := w.writeLocked(net.Buffers{frame}); err != nil {
		return 0, err
	}
	return len(frame), nil
}

// lockForPong locks mu if a pong waits and nobody is writing.
// Whoever is writing has it sent afterwards.
func (w *wire) lockForPong() bool {
	if w.pong.Load() == nil || !w.mu.TryLock() {
		return false
	}
	if len(w.unsent) > 0 { // somebody is about to write the rest
		w.mu.Unlock()
		return false
	}
	return true
}

// sendPong sends the pong that waits, the latest only (RFC 6455, section 5.5.3),
// and unlocks mu.
func (w *wire) sendPong() {
	defer w.unlock()
	if pong := w.pong.Swap(nil); pong != nil && !w.closed {
		w.writeLocked(net.Buffers{*pong})
	}
}

// unlock unlocks mu, and has the pong sent that came meanwhile. It does not wait.
func (w *wire) unlock() {
	w.mu.Unlock()
	if w.lockForPong() {
		go w.sendPong()
	}
}

// writeFrames writes complete frames in order, those that are small together.
func (w *wire) writeFrames(frames net.Buffers) error {
	w.mu.Lock()
	defer w.unlock()
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
		if len(frames) > 0 {
			w.lastSign.Store(ticks())
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
	defer w.unlock()
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
	defer w.unlock()
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
	defer w.unlock()
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

// silence is how long the peer has given no sign of life. One that takes a large
// frame, piece by piece, may say nothing meanwhile.
func (w *wire) silence() time.Duration {
	return time.Duration(ticks() - w.lastSign.Load())
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
	h.wire.lastSign.Store(ticks())
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
