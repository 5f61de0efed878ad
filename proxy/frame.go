package proxy

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"sync"
)

// Frames are made here, complete, because one frame is written to many
// connections: coder/websocket has no prepared messages (its #546).

// The first byte of frames that this side sends (RFC 6455, section 5.2): FIN
// and an opcode, and RSV1 where the payload is deflated (RFC 7692).
const (
	opText  = 0x80 | 1
	opClose = 0x80 | 8
	opPing  = 0x80 | 9
	opPong  = 0x80 | 10
	rsv1    = 0x40
)

var pingFrame = []byte{opPing, 0}

// pongFrame is the answer to it, but for the four bytes of the mask.
var pongFrame = [6]byte{opPong, 0x80}

const maxHeader = 10

// textFrame returns the frame of the text that build appends.
func textFrame(build func(dst []byte) []byte) []byte {
	return finish(build(make([]byte, maxHeader, 256)), opText)
}

// finish writes the header into the maxHeader bytes that b begins with and
// returns where the frame starts.
func finish(b []byte, first byte) []byte {
	n := len(b) - maxHeader
	switch {
	case n < 126:
		b = b[maxHeader-2:]
		b[1] = byte(n)
	case n <= 0xffff:
		b = b[maxHeader-4:]
		b[1] = 126
		binary.BigEndian.PutUint16(b[2:], uint16(n))
	default:
		b[1] = 127
		binary.BigEndian.PutUint64(b[2:], uint64(n))
	}
	b[0] = first
	return b
}

// payload returns what a frame of finish carries.
func payload(frame []byte) []byte {
	switch frame[1] {
	case 126:
		return frame[4:]
	case 127:
		return frame[10:]
	}
	return frame[2:]
}

// minDeflate is the payload from which deflating is worth it, in bytes.
const minDeflate = 512

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // fails on an unknown level only
	return w
}}

// deflateFrame returns the frame with its payload deflated as RFC 7692, section
// 7.2.1 has it, without context takeover, so that one frame serves all
// connections; the frame itself where that does not make it smaller.
func deflateFrame(frame []byte) []byte {
	text := payload(frame)
	if len(text) < minDeflate {
		return frame
	}
	var out bytes.Buffer
	out.Grow(maxHeader + len(text)/4)
	out.Write(make([]byte, maxHeader))
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&out)
	w.Write(text) // to memory: cannot fail
	w.Flush()
	b := bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xff, 0xff})
	if len(b)-maxHeader >= len(text) {
		return frame
	}
	return finish(b, opText|rsv1)
}
