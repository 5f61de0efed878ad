// Package diff says what changed between two successive responses of an API.
//
// One law holds: Apply(old, Diff(old, new)) is new, exactly. Numbers are
// compared by value at any size, strings by value, members of objects in any
// order and by the last of one name; nothing passes through a float64, and what
// goes into a patch is copied as it was written.
//
// # Why no trees
//
// Two successive polls are nearly the same bytes. A differ that decodes both
// spends almost all of its time to learn that, and loses exactness in doing so.
// This one never decodes. It keeps an index of the old document, 32 bytes for
// each array and object: where it begins and ends, which is around it, the
// how-manieth it is, how much of it is white space. With that, a comparison has
// two steps.
//
// The first (follower) reads the new text along the old one. Stretches that are
// alike are found by comparing bytes, a cache line at a time; they are valid
// because the old document is, and their part of the new index is the old one
// shifted. Only where the texts differ is there anything to scan. At such a
// place the two must get back into step: at a member by its name, at an element
// of an array by trying which of the next old elements is there again. The
// step is only ever a guess, which costs time if it is wrong: what it yields is
// a validated text, its index, and a list of runs that both have in common.
//
// Small arrays and objects, such as records, are read in step with those of old,
// value by value, over members that only one of the two has. What differs in
// them is found in the pass that validates it, and need not be looked for again;
// where it is too much to be worth operations, the rest is not even compared.
// Nor is what stands between the values of a record scanned where the same last stood
// behind that member: what is written like validated text is valid. That makes
// validating a document of records faster by a third, too.
//
// The second (patcher) walks both indexes together, and the runs tell it what
// to skip. So an array of ten thousand elements of which three are new is three
// runs and three elements. What is left of an array is paired by identity: the
// members that Options name, or else a scalar that is different in every
// element, at most one object deep (position in the document is no identity:
// feeds are sorted newest first). The elements that need not move are a heaviest
// increasing subsequence of the pairs; arrays of scalars get a longest common
// subsequence. Elements are removed from the last to the first, moved, added
// from the first to the last, and changed at last, where they belong: so every
// index is what it is in one of the two documents, but those of moves, which a
// Fenwick tree counts.
//
// What one array or object loses and another one gains, as it was written, moves
// across. That is seen at the end, when all operations are known: the removal and
// the addition become a move at the beginning of the patch, where every place is
// what it is in old; later removals in the arrays concerned count it. There are no
// copies: they would tie together what only looks alike, and an applier must have
// room for them.
//
// Patches are written straight into one buffer, arrays and objects only once
// they are known to stay. What was written for one is taken back, and the whole
// replaced, as soon as that is shorter, which the index tells without reading; so
// no patch exceeds its document, and the work is linear: every loop that could
// be quadratic (the subsequence, the look for a shorter form, comparing in
// depth what was compared in breadth) has a budget that depends on the two
// documents alone, so that the same two always give the same patch. What nests
// deeper than 256 is replaced as a whole; what is written otherwise deeper than 512
// counts as changed, without a look at what it says.
package diff

import (
	"bytes"
	"fmt"
	"sync"
)

// Options say which elements of arrays are the same thing and which changes
// are none. The zero value finds identity by itself and ignores nothing.
type Options struct {
	// Keys maps the pointer of an array (RFC 6901; `*` stands for any one
	// member or element, "" is the root) to what identifies its elements:
	// member names ("station_id") or pointers into the element
	// ("/properties/url"). Several identify together.
	Keys map[string][]string

	// Ignore lists pointers (with `*`): changes there alone are no change.
	Ignore []string
}

// A Differ compares documents under one set of options. It is immutable and
// may be used by many goroutines at once. A nil *Differ has no options.
type Differ struct{ rules *rule }

// New checks and compiles the options.
func New(o Options) (*Differ, error) {
	r, err := newRules(o)
	if err != nil {
		return nil, err
	}
	return &Differ{r}, nil
}

func (d *Differ) root() *rule {
	if d == nil {
		return nil
	}
	return d.rules
}

// Parse validates raw as RFC 8259 has it and encoding/json.Valid does, nested
// at most 10,000 deep; the error names the byte offset. The document keeps
// raw, which must not be modified any more.
func (d *Differ) Parse(raw []byte) (*Document, error) {
	s := scratches.Get().(*scratch)
	defer s.release()
	return s.follower.parse(raw)
}

// Next compares the newest document with the raw bytes of the next poll.
//
// Where raw says the same as old, ignored members aside, Next returns old
// itself and a nil patch (but for what is written otherwise deeper than 512).
// Otherwise it returns the new document and the JSON
// Patch (RFC 6902) from old to it. The patch is nil where none is smaller than
// the new document's compact form: send that instead. With a change that
// counts, the changes of ignored members come along, so that Apply(old, patch)
// is the new document exactly. The document keeps raw.
func (d *Differ) Next(old *Document, raw []byte) (doc *Document, patch []byte, err error) {
	if bytes.Equal(old.raw, raw) {
		return old, nil, nil
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	if doc, err = s.follower.parseAlong(old, raw); err != nil {
		return nil, nil, err
	}
	patch, changed := s.patcher.patch(d.root(), old, doc, s.follower.alignment)
	if !changed {
		return old, nil, nil
	}
	return doc, patch, nil
}

// Diff is Parse and Next for two texts of which nothing is kept. Texts that say
// the same have the patch []; where only ignored members differ, it changes these.
func (d *Differ) Diff(old, new []byte) (patch []byte, err error) {
	s := scratches.Get().(*scratch)
	defer s.release()
	a, b := &s.old, &s.new
	err = s.follower.read(a, old, s.nodes[:0])
	s.nodes = s.follower.nodes
	if err != nil {
		return nil, fmt.Errorf("old: %w", err)
	}
	err = s.follower.document(b, s.follower.align(a, new, s.follower.spare[:0]))
	s.follower.spare = s.follower.nodes
	if err != nil {
		return nil, fmt.Errorf("new: %w", err)
	}
	patch, _ = s.patcher.patch(d.root(), a, b, s.follower.alignment)
	return patch, nil
}

// A scratch is the working memory of one comparison.
type scratch struct {
	follower follower
	patcher  patcher
	old, new Document // that are not kept
	nodes    []node   // of old
}

// release gives the scratch back; it must not keep documents alive.
func (s *scratch) release() {
	s.follower.raw, s.follower.old = nil, nil
	s.patcher.old, s.patcher.new = nil, nil
	s.old, s.new = Document{}, Document{}
	scratches.Put(s)
}

// scratches keeps the working memory from one comparison to the next.
var scratches = sync.Pool{New: func() any { return &scratch{follower: follower{indexer: indexer{shapes: new(shapes)}}} }}
