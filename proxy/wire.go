package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A wire is the connection under a WebSocket. coder/websocket reads from it and
// writes its control frames to it, each in one Write; beside it go the frames
// that are made here. It keeps the two apart, and sends no data after a close
// frame (RFC 6455, section 5.5.1).
type wire struct {
	net.Conn
	early    []byte       // what arrived together with the handshake
	lastRead atomic.Int64 // Unix nanoseconds, when the peer last said anything

	// mu guards writes and the field below.
	mu     sync.Mutex
	closed bool // a close frame was sent
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
		w.lastRead.Store(time.Now().UnixNano())
	}
	return n, err
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
	w.SetWriteDeadline(time.Now().Add(writeTimeout))
	return w.Conn.Write(frame)
}

// writeFrames writes complete frames in order, those that are small together.
func (w *wire) writeFrames(frames net.Buffers) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	for len(frames) > 0 {
		batch := cut(&frames)
		w.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := batch.WriteTo(w.Conn); err != nil {
			w.Conn.Close() // a frame that was cut short cannot be mended
			return err
		}
	}
	return nil
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
	w.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := w.Conn.Write(pingFrame)
	return err
}

// silence is how long the peer has said nothing.
func (w *wire) silence() time.Duration {
	return time.Since(time.Unix(0, w.lastRead.Load()))
}

// A hijacker is a ResponseWriter that hands out its connection as a wire, with
// buffers that suit small messages in and single control frames out.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

const bufferSize = 512

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	conn.SetDeadline(time.Time{}) // the server's limits are for requests
	h.wire = &wire{Conn: conn}
	h.wire.lastRead.Store(time.Now().UnixNano())
	if n := buffered.Reader.Buffered(); n > 0 {
		early, _ := buffered.Reader.Peek(n)
		h.wire.early = bytes.Clone(early)
	}
	return h.wire, bufio.NewReadWriter(bufio.NewReaderSize(io.Reader(h.wire), bufferSize), bufio.NewWriterSize(h.wire, bufferSize)), nil
}
