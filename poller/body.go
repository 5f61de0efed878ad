package poller

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

// readBody reads the whole body of a response, at most limit bytes after
// decompression. A body that ends early is an error even where what arrived
// would be a document.
func readBody(res *http.Response, body io.Reader, limit int64, dst *bytes.Buffer) *Error {
	switch encoding := strings.ToLower(strings.TrimSpace(res.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		zr, err := gzip.NewReader(body)
		if err != nil {
			return bodyError("the upstream says that the body is gzip, and it is not", err)
		}
		body = zr
	default:
		return invalid(fmt.Sprintf("the upstream sent Content-Encoding %.60q, which was not asked for", encoding), nil)
	}
	if n := res.ContentLength; n > 0 && n <= limit {
		dst.Grow(int(n) + bytes.MinRead)
	}
	n, err := dst.ReadFrom(io.LimitReader(body, limit+1))
	if n > limit {
		return &Error{Code: CodeBodyTooLarge, Message: fmt.Sprintf("the body is larger than max_body, %d bytes", limit)}
	}
	if err != nil {
		return bodyError("the body was cut off or is damaged", err)
	}
	return nil
}

// A metered reader counts what is read.
type metered struct {
	io.Reader
	n int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.n += int64(n)
	return n, err
}

// bodyError tells a body that took too long from one that is wrong.
func bodyError(what string, err error) *Error {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return &Error{Code: CodeTimeout, Message: "the body did not arrive in time", Cause: err}
	}
	return invalid(what, err)
}

// kind is what a response's bytes are to be read as.
type kind int

const (
	kindJSON  kind = iota // says JSON: must be JSON
	kindText              // says text: JSON if it is, else lines
	kindOther             // says nothing useful: JSON or text if it is, else refused
	kindBytes             // says something that is neither
)

// kindOf reads a Content-Type (RFC 9110, section 8.3; RFC 6839 for suffixes).
func kindOf(contentType string) kind {
	t := mediaType(contentType)
	main, sub, _ := strings.Cut(t, "/")
	switch {
	case sub == "json", strings.HasSuffix(sub, "+json"):
		return kindJSON
	case main == "text", sub == "xml", strings.HasSuffix(sub, "+xml"), textSubtypes[sub]:
		return kindText
	case t == "", t == "application/octet-stream", t == "binary/octet-stream":
		return kindOther
	}
	return kindBytes
}

// mediaType is a Content-Type without its parameters, which say too much for an
// error.
func mediaType(contentType string) string {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		t = strings.ToLower(strings.TrimSpace(strings.SplitN(contentType, ";", 2)[0]))
	}
	return t
}

var textSubtypes = map[string]bool{
	"csv": true, "javascript": true, "ecmascript": true, "x-javascript": true, "yaml": true, "x-yaml": true,
	"toml": true, "x-ndjson": true, "ndjson": true, "jsonl": true, "json-seq": true, "graphql": true,
	"sql": true, "rtf": true, "x-www-form-urlencoded": true, "vnd.apple.mpegurl": true, "x-mpegurl": true,
}

var utf8BOM = []byte("\xef\xbb\xbf")

// decodeUTF8 reads bytes as response.json() and response.text() do: a byte
// order mark is dropped, and every ill-formed sequence becomes one U+FFFD
// (WHATWG Encoding, "UTF-8 decode"; Unicode's substitution of maximal
// subparts). b is returned as it is where nothing has to change, which costs
// one scan.
func decodeUTF8(b []byte) []byte {
	b = bytes.TrimPrefix(b, utf8BOM)
	if utf8.Valid(b) {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		if _, n := utf8.DecodeRune(b); n > 1 || b[0] < utf8.RuneSelf {
			out = append(out, b[:n]...)
			b = b[n:]
			continue
		}
		out = append(out, "\uFFFD"...)
		b = b[illFormed(b):]
	}
	return out
}

// illFormed is the length of the maximal subpart of an ill-formed sequence at
// the start of b (Unicode 15, section 3.9, table 3-7): as much of it as could
// have begun a character, and at least one byte.
func illFormed(b []byte) int {
	lo, hi, more := byte(0x80), byte(0xbf), 0
	switch c := b[0]; {
	case c >= 0xc2 && c <= 0xdf:
		more = 1
	case c >= 0xe0 && c <= 0xef:
		more = 2
	case c >= 0xf0 && c <= 0xf4:
		more = 3
	}
	switch b[0] {
	case 0xe0:
		lo = 0xa0
	case 0xed:
		hi = 0x9f
	case 0xf0:
		lo = 0x90
	case 0xf4:
		hi = 0x8f
	}
	n := 1
	for ; n <= more && n < len(b) && b[n] >= lo && b[n] <= hi; n++ {
		lo, hi = 0x80, 0xbf
	}
	return n
}

// looksBinary reports whether text contains what no text does.
func looksBinary(b []byte) bool { return bytes.IndexByte(b, 0) >= 0 }
