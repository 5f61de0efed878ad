package client

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// is tells whether the name, unescaped, is key.
func (n name) is(key string) bool {
	if bytes.IndexByte(n.written, '\\') < 0 {
		return string(n.written[1:len(n.written)-1]) == key
	}
	return unquote(n.written) == key
}

// unquote returns the value of a string known to be valid JSON. A surrogate
// that \u escapes without its other half gets the three bytes that UTF-8 would
// give it (WTF-8), so that two strings are equal here exactly when
// JSON.parse makes equal strings of them.
func unquote(written []byte) string {
	in := written[1 : len(written)-1]
	if bytes.IndexByte(in, '\\') < 0 {
		return string(in)
	}
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); {
		if in[i] != '\\' {
			out = append(out, in[i])
			i++
			continue
		}
		if in[i+1] != 'u' {
			out = append(out, unescaped(in[i+1]))
			i += 2
			continue
		}
		var r rune
		r, i = codePoint(in, i)
		out = appendWTF8(out, r)
	}
	return string(out)
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// codePoint reads the \uXXXX at i, and a second one that completes a pair.
func codePoint(in []byte, i int) (r rune, next int) {
	r = hex4(in[i+2:])
	next = i + 6
	if utf16.IsSurrogate(r) && next+6 <= len(in) && in[next] == '\\' && in[next+1] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(in[next+2:])); pair != utf8.RuneError {
			return pair, next + 6
		}
	}
	return r, next
}

func hex4(in []byte) (r rune) {
	for _, c := range in[:4] {
		d, _ := hexDigit(c)
		r = r<<4 | d
	}
	return r
}

func appendWTF8(b []byte, r rune) []byte {
	if utf16.IsSurrogate(r) {
		return append(b, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
	}
	return utf8.AppendRune(b, r)
}

// quote writes a string as JSON with the fewest escapes that are allowed,
// and those that WTF-8 needs.
func quote(s string) []byte {
	b := append(make([]byte, 0, len(s)+2), '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', '0'+c>>4, "0123456789abcdef"[c&15])
		case c == 0xED && i+2 < len(s) && s[i+1]&0xE0 == 0xA0 && s[i+2]&0xC0 == 0x80: // a lone surrogate
			r := rune(c&0x0F)<<12 | rune(s[i+1]&0x3F)<<6 | rune(s[i+2]&0x3F)
			b = append(b, '\\', 'u')
			b = strconv.AppendInt(b, int64(r), 16)
			i += 2
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
