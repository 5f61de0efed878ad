// Package diff says what changed between two successive responses of an API.
//
// One law holds for every format it writes: Apply(old, Diff(old, new)) is new.
package diff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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

// A Differ compares documents under one set of options. It is immutable; a
// nil *Differ has no options.
type Differ struct {
	ignore [][]string
}

// New checks the pointers of o.
func New(o Options) (*Differ, error) {
	d := &Differ{}
	for _, p := range o.Ignore {
		t, err := splitPointer(p)
		if err != nil {
			return nil, fmt.Errorf("ignore: %w", err)
		}
		d.ignore = append(d.ignore, t)
	}
	for p, keys := range o.Keys {
		if _, err := splitPointer(p); err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		if len(keys) == 0 {
			return nil, fmt.Errorf("keys: %q names no member", p)
		}
	}
	return d, nil
}

func splitPointer(p string) ([]string, error) {
	if p == "" {
		return nil, nil
	}
	if p[0] != '/' {
		return nil, fmt.Errorf("pointer %q does not begin with a slash", p)
	}
	t := strings.Split(p[1:], "/")
	for i := range t {
		t[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t[i])
	}
	return t, nil
}

// A Document is one JSON text, validated; it is immutable.
type Document struct{ raw []byte }

// Parse validates raw as RFC 8259 has it; it keeps raw.
func (d *Differ) Parse(raw []byte) (*Document, error) {
	if json.Valid(raw) {
		return &Document{raw: raw}, nil
	}
	var v any
	err := json.Unmarshal(raw, &v)
	var se *json.SyntaxError
	if errors.As(err, &se) {
		return nil, fmt.Errorf("invalid JSON at byte %d: %w", se.Offset, err)
	}
	return nil, fmt.Errorf("invalid JSON: %w", err)
}

// Bytes returns the text as it was given.
func (doc *Document) Bytes() []byte { return doc.raw }

// Size is the memory held, in bytes.
func (doc *Document) Size() int { return len(doc.raw) }

// AppendCompact appends the text without insignificant white space.
func (doc *Document) AppendCompact(dst []byte) []byte {
	var b bytes.Buffer
	json.Compact(&b, doc.raw)
	return append(dst, b.Bytes()...)
}

// Next compares the newest document with the raw bytes of the next poll.
func (d *Differ) Next(old *Document, raw []byte) (*Document, []byte, error) {
	if bytes.Equal(old.raw, raw) {
		return old, nil, nil
	}
	doc, err := d.Parse(raw)
	if err != nil {
		return nil, nil, err
	}
	w := &slowDiff{d: d}
	w.value(nil, parseTree(old.raw), parseTree(doc.raw))
	if !w.changed {
		return old, nil, nil
	}
	return doc, w.patch(doc), nil
}

// Diff returns the RFC 6902 patch from old to new, or nil where none is
// smaller than new.
func (d *Differ) Diff(old, new *Document) []byte {
	w := &slowDiff{d: d}
	w.value(nil, parseTree(old.raw), parseTree(new.raw))
	return w.patch(new)
}

// MergePatch returns the RFC 7396 merge patch from old to new, or nil where
// it cannot express the change or is not smaller than new.
func (d *Differ) MergePatch(old, new *Document) []byte { return nil }

// Lines returns the JSON array of the lines of text, split after each \n.
func Lines(text []byte) []byte {
	out := []byte{'['}
	for i, l := range bytes.SplitAfter(text, []byte("\n")) {
		if len(l) == 0 {
			break
		}
		if i > 0 {
			out = append(out, ',')
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.Encode(string(l))
		out = append(out, bytes.TrimSpace(b.Bytes())...)
	}
	return append(out, ']')
}
