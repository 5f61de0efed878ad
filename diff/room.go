package diff

import (
	"strings"
	"unsafe"
)

// room returns an empty slice with room for n bytes that are not cleared, as those
// of make are: what is appended overwrites them. Where much is copied, clearing is
// a third of the work.
func room(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), n)[:0] // nobody else has the string
}

// roomForNodes is room for n nodes.
func roomForNodes(n int) []node {
	b := room(n * int(unsafe.Sizeof(node{})))
	return unsafe.Slice((*node)(unsafe.Pointer(unsafe.SliceData(b))), n)[:0]
}
