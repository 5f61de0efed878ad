package client

import "fmt"

// maxDepth bounds the nesting of what is read, as encoding/json does.
const maxDepth = 10_000

// A span is the size of one array or object as written: its bytes, and how
// many arrays and objects it holds, itself included. Both are relative, so the
// spans of any part of a text are a plain slice of the spans of the whole.
type span struct{ size, count int }

// scan checks that text is one JSON value (RFC 8259) and returns it as an
// unopened node. It is strict about everything but two: it does not look at
// the validity of UTF-8, and it takes any members with equal names.
func scan(text []byte) (node, error) {
	s := scanner{text: text}
	s.space()
	start := s.pos
	if err := s.value(1); err != nil {
		return node{}, err
	}
	end := s.pos
	s.space()
	if s.pos < len(text) {
		return node{}, s.unexpected("the end")
	}
	return node{text: text[start:end:end], spans: s.spans}, nil
}

// A scanner walks over JSON text once. spans gets one entry for every array
// and object, in the order in which they open.
type scanner struct {
	text  []byte
	pos   int
	spans []span
}

func (s *scanner) unexpected(want string) error {
	if s.pos >= len(s.text) {
		return fmt.Errorf("invalid JSON: it ends at byte %d, want %s", s.pos, want)
	}
	return fmt.Errorf("invalid JSON: %q at byte %d, want %s", s.text[s.pos], s.pos, want)
}

// peek returns the next byte, 0 at the end. No JSON token begins with a 0 byte.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) value(depth int) error {
	switch c := s.peek(); {
	case c == '{' || c == '[':
		return s.container(c, depth)
	case c == '"':
		return s.string()
	case c == '-' || isDigit(c):
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.unexpected("a value")
}

func (s *scanner) container(open byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("invalid JSON: nested deeper than %d at byte %d", maxDepth, s.pos)
	}
	at, start := len(s.spans), s.pos
	s.spans = append(s.spans, span{})
	item, end := s.element, byte(']')
	if open == '{' {
		item, end = s.member, '}'
	}
	if err := s.items(item, end, depth); err != nil {
		return err
	}
	s.spans[at] = span{s.pos - start, len(s.spans) - at}
	return nil
}

// items reads from the opening bracket to behind the closing one.
func (s *scanner) items(item func(depth int) error, end byte, depth int) error {
	s.pos++
	s.space()
	if s.peek() == end {
		s.pos++
		return nil
	}
	for {
		s.space()
		if err := item(depth); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case end:
			s.pos++
			return nil
		default:
			return s.unexpected(`"," or "` + string(end) + `"`)
		}
	}
}

func (s *scanner) element(depth int) error { return s.value(depth + 1) }

func (s *scanner) member(depth int) error {
	if s.peek() != '"' {
		return s.unexpected("a member's name")
	}
	if err := s.string(); err != nil {
		return err
	}
	s.space()
	if s.peek() != ':' {
		return s.unexpected(`":"`)
	}
	s.pos++
	s.space()
	return s.value(depth + 1)
}

// plain holds the bytes that need no look inside a string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

func (s *scanner) string() error {
	text, i := s.text, s.pos+1
	for {
		for i < len(text) && plain[text[i]] {
			i++
		}
		s.pos = i
		switch s.peek() {
		case '"':
			s.pos++
			return nil
		case '\\':
			if err := s.escape(); err != nil {
				return err
			}
			i = s.pos
		default:
			return s.unexpected("the rest of a string")
		}
	}
}

func (s *scanner) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		s.pos++
		for range 4 {
			if _, ok := hexDigit(s.peek()); !ok {
				return s.unexpected("a hexadecimal digit")
			}
			s.pos++
		}
		return nil
	}
	return s.unexpected("an escaped character")
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.peek() == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c := s.peek(); c != 'e' && c != 'E' {
		return nil
	}
	s.pos++
	if c := s.peek(); c == '+' || c == '-' {
		s.pos++
	}
	return s.digits()
}

func (s *scanner) digits() error {
	text, i := s.text, s.pos
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	if i == s.pos {
		return s.unexpected("a digit")
	}
	s.pos = i
	return nil
}

func (s *scanner) literal(want string) error {
	for i := range len(want) {
		if s.peek() != want[i] {
			return s.unexpected(want)
		}
		s.pos++
	}
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func hexDigit(c byte) (rune, bool) {
	switch {
	case isDigit(c):
		return rune(c - '0'), true
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10, true
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10, true
	}
	return 0, false
}
