package client

import (
	"bytes"
	"math/big"
)

// equal compares by value as RFC 6902 section 4.6 says: numbers numerically
// (exactly, at any size), strings by their characters, objects whatever the
// order of their members.
func equal(a, b *node) bool {
	if a.unchanged() && b.unchanged() && bytes.Equal(a.text, b.text) {
		return true
	}
	if a.kind() != b.kind() {
		return false
	}
	switch a.kind() {
	case '{':
		return equalObjects(a.open(), b.open())
	case '[':
		return equalArrays(a.open(), b.open())
	case '"':
		return unquote(a.text) == unquote(b.text)
	case 't', 'f', 'n':
		return true
	}
	return equalNumbers(a.text, b.text)
}

func equalArrays(a, b *tree) bool {
	if len(a.nodes) != len(b.nodes) {
		return false
	}
	for i := range a.nodes {
		if !equal(&a.nodes[i], &b.nodes[i]) {
			return false
		}
	}
	return true
}

// equalObjects compares the members that JSON.parse would see.
func equalObjects(a, b *tree) bool {
	seen := 0
	for i, n := range a.names {
		key := unquote(n.written)
		if n.gone || a.find(key) != i {
			continue
		}
		j := b.find(key)
		if j < 0 || !equal(&a.nodes[i], &b.nodes[j]) {
			return false
		}
		seen++
	}
	return seen == b.members()
}

// members counts the distinct names.
func (t *tree) members() int {
	count := 0
	for i, n := range t.names {
		if !n.gone && t.find(unquote(n.written)) == i {
			count++
		}
	}
	return count
}

func equalNumbers(a, b []byte) bool {
	x, y := parseDecimal(a), parseDecimal(b)
	if len(x.digits) == 0 || len(y.digits) == 0 { // zero has no sign
		return len(x.digits) == len(y.digits)
	}
	return x.negative == y.negative && bytes.Equal(x.digits, y.digits) && x.point.Cmp(y.point) == 0
}

// A decimal is 0.digits times ten to the power of point, the digits without
// zeros at either end: every number has one.
type decimal struct {
	negative bool
	digits   []byte
	point    *big.Int
}

// parseDecimal takes a valid JSON number apart.
func parseDecimal(text []byte) decimal {
	d := decimal{point: new(big.Int)}
	if text[0] == '-' {
		d.negative, text = true, text[1:]
	}
	if e := bytes.IndexAny(text, "eE"); e >= 0 {
		d.point.SetString(string(text[e+1:]), 10)
		text = text[:e]
	}
	whole, fraction, _ := bytes.Cut(text, []byte("."))
	all := append(append(make([]byte, 0, len(text)), whole...), fraction...)
	d.digits = bytes.TrimLeft(all, "0")
	shift := len(whole) - (len(all) - len(d.digits))
	d.digits = bytes.TrimRight(d.digits, "0")
	d.point.Add(d.point, big.NewInt(int64(shift)))
	return d
}
