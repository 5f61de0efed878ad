package diff

import (
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// A Document is a validated JSON text and the index of its arrays and objects.
// It is immutable and may be used by many goroutines at once.
type Document struct {
	raw   []byte
	nodes []node
	blank int // bytes of insignificant white space in raw
}

// Bytes returns the text as it was given to Parse or Next.
func (doc *Document) Bytes() []byte { return doc.raw }

// Size returns how many bytes of memory the document holds: text and index.
func (doc *Document) Size() int {
	return len(doc.raw) + cap(doc.nodes)*int(unsafe.Sizeof(node{}))
}

// countBlank counts the insignificant white space from offset p to end, where
// tokens begin and end.
func (doc *Document) countBlank(p, end int) (n int) {
	if doc.blank == 0 {
		return 0
	}
	for p < end {
		switch c := doc.raw[p]; {
		case c == '"':
			p = skipString(doc.raw, p+1)
		case c <= ' ':
			q := min(skipSpace(doc.raw, p), end)
			n += q - p
			p = q
		default:
			p++
		}
	}
	return n
}

// cursor walks a container of the document.
func (doc *Document) cursor(v value) cursor { return newCursor(doc, v.node) }

// bytes returns the text of a value.
func (doc *Document) bytes(v value) []byte { return doc.raw[v.start:v.end] }

// root returns the outermost value.
func (doc *Document) root() value {
	if len(doc.nodes) > 0 {
		return doc.value(0)
	}
	p := skipSpace(doc.raw, 0)
	return value{p, skipScalar(doc.raw, p), -1}
}

// value returns the value of node k.
func (doc *Document) value(k int) value {
	return value{int(doc.nodes[k].start), int(doc.nodes[k].end()), k}
}

// parse reads a document from scratch.
func (f *follower) parse(raw []byte) (*Document, error) {
	doc := new(Document)
	err := f.read(doc, raw, f.spare[:0])
	f.spare = f.nodes
	if err != nil {
		return nil, err
	}
	doc.nodes = slices.Clone(doc.nodes)
	return doc, nil
}

// read is parse with the index where nodes are.
func (f *follower) read(doc *Document, raw []byte, nodes []node) error {
	f.indexer = indexer{raw: raw, nodes: nodes, shapes: f.shapes}
	return f.document(doc, f.fits() && f.indexer.root())
}

// parseAlong reads a document along old. Its index, which will mostly be as long
// as that of old, is written where it stays.
func (f *follower) parseAlong(old *Document, raw []byte) (*Document, error) {
	doc, n := new(Document), len(old.nodes)
	err := f.document(doc, f.align(old, raw, roomForNodes(n+n/16+1)))
	f.nodes = nil
	if err != nil {
		return nil, err
	}
	if cap(doc.nodes) > len(doc.nodes)+len(doc.nodes)/8+8 {
		doc.nodes = slices.Clone(doc.nodes)
	}
	return doc, nil
}

// align reads new along old, and appends its nodes. It reports whether new is
// valid.
func (f *follower) align(old *Document, new []byte, nodes []node) bool {
	f.indexer = indexer{raw: new, nodes: nodes, shapes: f.shapes}
	f.alignment = alignment{f.runs[:0], f.steps[:0], f.deltas[:0]}
	f.guess, f.astray = false, 0
	f.old, f.pending = old, f.pending[:0]
	return f.fits() && f.root()
}

// alignOnly aligns new, which is indexed already, with old.
func (f *follower) alignOnly(old *Document, new []byte) {
	f.align(old, new, f.spare[:0])
	f.spare = f.nodes
}

// fits reports whether offsets can be written as nodes have them.
func (f *follower) fits() bool { return len(f.raw) <= math.MaxInt32 }

// document makes doc what has been read.
func (f *follower) document(doc *Document, valid bool) error {
	switch {
	case !f.fits():
		return fmt.Errorf("document of %d bytes: at most %d are compared", len(f.raw), math.MaxInt32)
	case !valid:
		return syntaxError(f.raw)
	}
	*doc = Document{raw: f.raw, nodes: f.nodes, blank: f.blank}
	return nil
}
