package diff

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
)

// The grammar of RFC 8259, on bytes. The scan functions validate and return
// the offset after what they read, or -1; the skip functions trust what has
// been validated before and are for that much faster.

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// zeroBytes has the high bit set in the lowest byte of w that is zero; higher
// bits may be set wrongly, so only the lowest counts.
func zeroBytes(w uint64) uint64 { return (w - ones) &^ w & highs }

// skipSpace returns the offset of the first byte at or after p that is not
// white space.
func skipSpace(b []byte, p int) int {
	for p < len(b) && b[p] <= ' ' {
		switch b[p] {
		case ' ', '\t', '\r':
			p++
		case '\n':
			p = skipIndentation(b, p+1)
		default:
			return p
		}
	}
	return p
}

// skipIndentation skips many spaces, and not always all.
func skipIndentation(b []byte, p int) int {
	for p <= len(b)-8 {
		w := binary.LittleEndian.Uint64(b[p:p+8]) ^ ' '*ones
		if w != 0 {
			return p + bits.TrailingZeros64(w)/8
		}
		p += 8
	}
	return p
}

// specials marks the lowest byte of w that ends a string or is special in one: a
// quote, a backslash or a control character. Higher ones may be marked wrongly.
func specials(w uint64) uint64 {
	// with one bit turned round a quote is 0x20, and what is below that stays below
	return ((w ^ 2*ones - 0x21*ones) | (w ^ '\\'*ones - ones)) &^ w & highs
}

// plainEnd returns the offset of the first byte at or after p that ends a
// string, or is special in one; len(b) where there is none.
func plainEnd(b []byte, p int) int {
	for ; p <= len(b)-8; p += 8 {
		if stop := specials(binary.LittleEndian.Uint64(b[p : p+8])); stop != 0 {
			return p + bits.TrailingZeros64(stop)/8
		}
	}
	for ; p < len(b) && b[p] != '"' && b[p] != '\\' && b[p] >= 0x20; p++ {
	}
	return p
}

// scanString reads the rest of a string, p being after its opening quote.
func scanString(b []byte, p int) int {
	for ; p <= len(b)-8; p += 8 {
		if stop := specials(binary.LittleEndian.Uint64(b[p : p+8])); stop != 0 {
			if p += bits.TrailingZeros64(stop) / 8; b[p] == '"' {
				return p + 1
			}
			break
		}
	}
	return scanSpecialString(b, p)
}

// scanSpecialString is scanString for what has escapes, or is near the end.
func scanSpecialString(b []byte, p int) int {
	for {
		if p = plainEnd(b, p); p >= len(b) || b[p] < 0x20 {
			return -1
		}
		if b[p] == '"' {
			return p + 1
		}
		if p = scanEscape(b, p+1); p < 0 {
			return -1
		}
	}
}

// scanEscape reads an escape sequence, p being after its backslash.
func scanEscape(b []byte, p int) int {
	if p >= len(b) {
		return -1
	}
	switch b[p] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return p + 1
	case 'u':
		if p+5 > len(b) {
			return -1
		}
		for _, c := range b[p+1 : p+5] {
			if hexDigit(c) < 0 {
				return -1
			}
		}
		return p + 5
	}
	return -1
}

func hexDigit(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// scanScalar reads a string, number or literal.
func scanScalar(b []byte, p int) int {
	if p >= len(b) {
		return -1
	}
	switch c := b[p]; c {
	case '"':
		return scanString(b, p+1)
	case 't':
		return scanLiteral(b, p, "true")
	case 'f':
		return scanLiteral(b, p, "false")
	case 'n':
		return scanLiteral(b, p, "null")
	}
	return scanNumber(b, p)
}

func scanLiteral(b []byte, p int, word string) int {
	if len(b)-p < len(word) || string(b[p:p+len(word)]) != word {
		return -1
	}
	return p + len(word)
}

// nonDigits marks the bytes of w that are not digits.
func nonDigits(w uint64) uint64 {
	t := w ^ '0'*ones
	return (t&^highs + (0x7F-9)*ones | t) & highs
}

// scanNumber reads a number: one of at most 7 digits and point in a single look.
func scanNumber(b []byte, p int) int {
	if p < len(b) && b[p] == '-' {
		p++
	}
	if p > len(b)-8 {
		return scanLongNumber(b, p)
	}
	w := binary.LittleEndian.Uint64(b[p : p+8])
	stop := nonDigits(w)
	n := uint(bits.TrailingZeros64(stop)) // 7 and 8 for each digit, or 64
	if n-15 > 63-15 || n > 15 && byte(w) == '0' {
		return scanLongNumber(b, p)
	}
	c := byte(w >> (n - 7))
	if c == '.' {
		point := n
		if n = uint(bits.TrailingZeros64(stop & (stop - 1))); n <= point+8 || n == 64 {
			return scanLongNumber(b, p)
		}
		c = byte(w >> (n - 7))
	}
	if c|0x20 == 'e' {
		return scanLongNumber(b, p)
	}
	return p + int(n/8)
}

// scanLongNumber reads any number, p being after its sign.
func scanLongNumber(b []byte, p int) int {
	if p < len(b) && b[p] == '0' {
		p++
	} else if p = scanDigits(b, p); p < 0 {
		return -1
	}
	if p < len(b) && b[p] == '.' {
		if p = scanDigits(b, p+1); p < 0 {
			return -1
		}
	}
	if p < len(b) && b[p]|0x20 == 'e' {
		p++
		if p < len(b) && (b[p] == '+' || b[p] == '-') {
			p++
		}
		return scanDigits(b, p)
	}
	return p
}

// scanDigits reads one digit or more.
func scanDigits(b []byte, p int) int {
	first := p
	for ; p <= len(b)-8; p += 8 {
		t := binary.LittleEndian.Uint64(b[p:p+8]) ^ '0'*ones
		if stop := (t + (0x7F-9)*ones | t) & highs; stop != 0 { // the lowest byte that is more than 9
			if p += bits.TrailingZeros64(stop) / 8; p == first {
				return -1
			}
			return p
		}
	}
	for p < len(b) && b[p]-'0' <= 9 {
		p++
	}
	if p == first {
		return -1
	}
	return p
}

// skipString returns the offset after the closing quote, p being after the
// opening one.
func skipString(b []byte, p int) int {
	for {
		for p <= len(b)-8 {
			w := binary.LittleEndian.Uint64(b[p : p+8])
			if stop := specials(w); stop != 0 {
				p += bits.TrailingZeros64(stop) / 8
				break
			}
			p += 8
		}
		switch b[p] {
		case '"':
			return p + 1
		case '\\':
			p++
		}
		p++
	}
}

// skipScalar returns the offset after the scalar at p.
func skipScalar(b []byte, p int) int {
	switch b[p] {
	case '"':
		return skipString(b, p+1)
	case 't', 'n':
		return p + 4
	case 'f':
		return p + 5
	}
	for ; p <= len(b)-8; p += 8 { // up to a comma, a closing bracket or white space
		w := binary.LittleEndian.Uint64(b[p : p+8])
		if stop := zeroBytes(w^','*ones) | zeroBytes((w|0x20*ones)^'}'*ones) | (w-0x21*ones)&^w&highs; stop != 0 {
			return p + bits.TrailingZeros64(stop)/8
		}
	}
	for p < len(b) && numeric[b[p]] {
		p++
	}
	return p
}

// numeric are the bytes a number may hold.
var numeric = [256]bool{'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true,
	'7': true, '8': true, '9': true, '-': true, '+': true, '.': true, 'e': true, 'E': true}

// commonPrefix is the number of bytes in which a and b begin alike. Long runs
// go through bytes.Equal, which compares a cache line per step.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i <= n-8; i += 8 {
		if i == 64 {
			if i += commonBlocks(a[i:n], b[i:n]); i > n-8 {
				break
			}
		}
		if x := binary.LittleEndian.Uint64(a[i:i+8]) ^ binary.LittleEndian.Uint64(b[i:i+8]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for ; i < n && a[i] == b[i]; i++ {
	}
	return i
}

// commonBlocks is commonPrefix, rounded down to whole blocks, of slices of one
// length.
func commonBlocks(a, b []byte) int {
	i := 0
	for size := 128; ; {
		if i+size <= len(a) && bytes.Equal(a[i:i+size], b[i:i+size]) {
			i += size
			size = min(2*size, 8192)
		} else if size /= 4; size < 32 {
			return i
		}
	}
}

// commonSuffix is the number of bytes in which a and b end alike.
func commonSuffix(a, b []byte) int {
	n := min(len(a), len(b))
	a, b = a[len(a)-n:], b[len(b)-n:]
	i := n
	for ; i >= 8; i -= 8 {
		if x := binary.LittleEndian.Uint64(a[i-8:]) ^ binary.LittleEndian.Uint64(b[i-8:]); x != 0 {
			return n - i + bits.LeadingZeros64(x)/8
		}
	}
	for ; i > 0 && a[i-1] == b[i-1]; i-- {
	}
	return n - i
}

// syntaxError says what is wrong with raw and where, in encoding/json's words.
func syntaxError(raw []byte) error {
	err := json.Unmarshal(raw, new(json.RawMessage))
	var se *json.SyntaxError
	if errors.As(err, &se) {
		return fmt.Errorf("invalid JSON at byte %d: %w", se.Offset, err)
	}
	return fmt.Errorf("invalid JSON in %d bytes", len(raw))
}
