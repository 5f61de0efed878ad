package diff

import (
	"bytes"
	"hash/maphash"
	"math/big"
	"unicode/utf16"
	"unicode/utf8"
)

// Scalars are compared by value, whatever their spelling: 1.0 is 1, "\u00e9"
// is "é". Nothing goes through a float64.

// seed makes the hashes differ from process to process. They only ever narrow
// a search down; what counts is decided on the values.
var seed = maphash.MakeSeed()

// equalScalars reports whether two scalars are the same value.
func equalScalars(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	switch {
	case a[0] == '"' && b[0] == '"':
		return equalStrings(a[1:len(a)-1], b[1:len(b)-1])
	case isNumber(a[0]) && isNumber(b[0]):
		return equalNumbers(a, b)
	}
	return false
}

// hashScalar gives equal scalars equal hashes.
func hashScalar(a []byte) uint64 {
	switch {
	case a[0] == '"':
		return hashString(a[1 : len(a)-1])
	case isNumber(a[0]):
		n := parseNumber(a)
		return n.hash()
	}
	return maphash.Bytes(seed, a)
}

func escaped(s []byte) bool { return bytes.IndexByte(s, '\\') >= 0 }

// equalStrings compares two strings as written, without their quotes.
func equalStrings(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if !escaped(a) && !escaped(b) {
		return false
	}
	var s, t [128]byte
	return bytes.Equal(appendUnescaped(s[:0], a), appendUnescaped(t[:0], b))
}

func hashString(s []byte) uint64 {
	if escaped(s) {
		var t [128]byte
		s = appendUnescaped(t[:0], s)
	}
	return maphash.Bytes(seed, s)
}

// appendUnescaped appends a string's value. A lone surrogate, which JSON can
// write and Unicode has not, gets the three bytes that UTF-8 would give it, so
// that no two strings become one.
func appendUnescaped(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			u := hex4(s[i+1:])
			i += 4
			if i+6 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
				if r := utf16.DecodeRune(u, hex4(s[i+3:])); r != utf8.RuneError {
					u = r
					i += 6
				}
			}
			if utf16.IsSurrogate(u) {
				dst = append(dst, 0xE0|byte(u>>12), 0x80|byte(u>>6&0x3F), 0x80|byte(u&0x3F))
			} else {
				dst = utf8.AppendRune(dst, u)
			}
		default:
			dst = append(dst, s[i])
		}
	}
	return dst
}

func hex4(s []byte) rune {
	return hexDigit(s[0])<<12 | hexDigit(s[1])<<8 | hexDigit(s[2])<<4 | hexDigit(s[3])
}

func isNumber(c byte) bool { return c == '-' || '0' <= c && c <= '9' }

// A number is a decimal: its significant digits, in which a point may stand
// that does not count, and the power of ten of the first of them.
type number struct {
	negative bool
	digits   []byte // from the first to the last that is not 0; empty for zero
	power    int64
	exponent []byte // as written, where it is too long for power
}

func parseNumber(b []byte) number {
	var n number
	if b[0] == '-' {
		n.negative = true
		b = b[1:]
	}
	point, end, first, last := -1, len(b), -1, 0
	for i, c := range b {
		if c|0x20 == 'e' {
			end = i
			n.readExponent(b[i+1:])
			break
		}
		if c == '.' {
			point = i
		} else if c != '0' {
			if last = i; first < 0 {
				first = i
			}
		}
	}
	if first < 0 {
		return number{}
	}
	if point < 0 {
		point = end
	}
	n.digits = b[first : last+1]
	if n.power += int64(point - first); first < point {
		n.power--
	}
	return n
}

func (n *number) readExponent(e []byte) {
	if len(e) > 18 {
		n.exponent = e
		return
	}
	negative := e[0] == '-'
	for _, c := range bytes.TrimLeft(e, "+-") {
		n.power = 10*n.power + int64(c-'0')
	}
	if negative {
		n.power = -n.power
	}
}

func equalNumbers(a, b []byte) bool {
	if differAtADigit(a, b) {
		return false
	}
	if x, ok := plain(a); ok {
		if y, ok := plain(b); ok {
			return string(x) == string(y)
		}
	}
	m, n := parseNumber(a), parseNumber(b)
	if m.negative != n.negative || !equalDigits(m.digits, n.digits) {
		return false
	}
	if m.exponent == nil && n.exponent == nil {
		return m.power == n.power
	}
	return m.bigPower().Cmp(n.bigPower()) == 0
}

// differAtADigit reports whether two numbers are different at a glance: where
// they first do so, both have a digit that counts.
func differAtADigit(a, b []byte) bool {
	counts := false // what is alike has a digit that is not 0
	for i := 0; i < len(a) && i < len(b); i++ {
		c, d := a[i], b[i]
		switch {
		case c != d:
			return '0' <= c && c <= '9' && '0' <= d && d <= '9' && (counts || c != '0' && d != '0')
		case c > '9':
			return false // an exponent
		case c > '0':
			counts = true
		}
	}
	return false
}

// plain returns a number that has no exponent without the zeros that do not
// count: what is equal is then written alike.
func plain(b []byte) ([]byte, bool) {
	point := false
	for _, c := range b {
		if c > '9' {
			return nil, false
		}
		point = point || c == '.'
	}
	if point {
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
		if b[len(b)-1] == '.' {
			b = b[:len(b)-1]
		}
	}
	if string(b) == "-0" {
		b = b[1:]
	}
	return b, true
}

// bigPower is the power of ten where it may exceed an int64.
func (n *number) bigPower() *big.Int {
	p := big.NewInt(n.power)
	if n.exponent != nil {
		e, _ := new(big.Int).SetString(string(bytes.TrimPrefix(n.exponent, []byte("+"))), 10)
		p.Add(p, e)
	}
	return p
}

// equalDigits compares digits, points aside.
func equalDigits(a, b []byte) bool {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == '.':
			i++
		case b[j] == '.':
			j++
		case a[i] != b[j]:
			return false
		default:
			i++
			j++
		}
	}
	return i == len(a) && j == len(b)
}

func (n *number) hash() uint64 {
	h := uint64(7)
	for _, c := range n.digits {
		if c != '.' {
			h = (h ^ uint64(c)) * 0x9E3779B97F4A7C15
			h ^= h >> 29
		}
	}
	return h
}
