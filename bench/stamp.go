package main

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
)

// A change carries a stamp, "@channel:number:nanoseconds@": which change it is
// and when it was made. Number zero is the state that was there before.

func stamp(channel, number int, at int64) string {
	return fmt.Sprintf("@%d:%d:%d@", channel, number, at)
}

// maxStamp is how far into a message a stamp is looked for, in bytes.
const maxStamp = 4 << 10

// findStamp finds the stamp in a message; not one with number zero.
func findStamp(text []byte) (change []byte, at int64, ok bool) {
	if len(text) > maxStamp {
		text = text[:maxStamp]
	}
	_, rest, ok := bytes.Cut(text, []byte("@"))
	if !ok {
		return nil, 0, false
	}
	body, _, ok := bytes.Cut(rest, []byte("@"))
	i := bytes.LastIndexByte(body, ':')
	if !ok || i < 0 || bytes.HasSuffix(body[:i], []byte(":0")) {
		return nil, 0, false
	}
	at, err := strconv.ParseInt(string(body[i+1:]), 10, 64)
	return body[:i], at, err == nil
}

// pad returns n characters that compress to half.
func pad(n int) string {
	const hex = "0123456789abcdef"
	b := make([]byte, n)
	for i := range b {
		b[i] = hex[rand.IntN(len(hex))]
	}
	return string(b)
}

// body is the JSON object, of size bytes, that a change consists of.
func body(size int, stamp string) string {
	head, tail := `{"stamp":"`+stamp+`","text":"`, `"}`
	return head + pad(max(0, size-len(head)-len(tail))) + tail
}

// inflate returns the text of a deflated frame (RFC 7692, section 7.2.2).
func (w *watchers) inflate(deflated []byte) ([]byte, error) {
	for _, k := range w.known {
		if bytes.Equal(k.deflated, deflated) {
			return k.text, nil
		}
	}
	tail := bytes.NewReader([]byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff})
	text, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(deflated), tail)))
	if err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	copy(w.known[1:], w.known[:])
	w.known[0] = inflated{bytes.Clone(deflated), text}
	return text, nil
}
