package diff

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// AppendCompact appends the text without insignificant white space.
// Everything else stays as it is written.
func (doc *Document) AppendCompact(dst []byte) []byte { return doc.appendValue(dst, doc.root()) }

// appendValue is AppendCompact for one value.
func (doc *Document) appendValue(dst []byte, v value) []byte {
	text, size := doc.bytes(v), doc.compactSize(v)
	if size == len(text) {
		return append(dst, text...)
	}
	n := len(dst)
	dst = slices.Grow(dst, size)[:n+size]
	compact(dst[n:], text)
	return dst
}

// compactSize is how many bytes appendValue appends.
func (doc *Document) compactSize(v value) int {
	if v.node < 0 {
		return v.end - v.start
	}
	return v.end - v.start - int(doc.nodes[v.node].blank)
}

// compact writes a valid text without its insignificant white space to out, which
// is as long as that.
func compact(out, text []byte) {
	p, q := 0, 0
	for p < len(text) {
		c := text[p]
		p++
		if c <= ' ' {
			if c == '\n' {
				p = skipIndentation(text, p)
			}
			continue
		}
		out[q] = c
		if q++; c == '"' {
			p, q = copyString(out, text, p, q)
		}
	}
}

// copyString copies the rest of a string from offset p of text to offset q of out,
// and returns the offsets behind it. It copies eight bytes at a time, and looks
// afterwards how many of them were wanted.
func copyString(out, text []byte, p, q int) (int, int) {
	for p <= len(text)-8 && q <= len(out)-8 {
		w := binary.LittleEndian.Uint64(text[p : p+8])
		binary.LittleEndian.PutUint64(out[q:q+8], w)
		stop := specials(w)
		if stop == 0 {
			p, q = p+8, q+8
			continue
		}
		n := bits.TrailingZeros64(stop)/8 + 1
		if p, q = p+n, q+n; text[p-1] == '"' {
			return p, q
		}
		out[q] = text[p] // behind a backslash
		p, q = p+1, q+1
	}
	end := skipString(text, p)
	return end, q + copy(out[q:], text[p:end])
}
