package admin

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"pollbridge/poller"
)

// A change is one document that followed another, and how.
type change struct {
	At            time.Time   `json:"at"`
	DocumentBytes int         `json:"document_bytes"`
	PatchBytes    int         `json:"patch_bytes"`          // 0: it was sent whole
	Operations    []operation `json:"operations,omitempty"` // the first of the patch, where it is kept and not too long to be shown
	More          int         `json:"more,omitempty"`       // further ones
}

// An operation is a line of a patch, for a person to read. Values are JSON, cut
// short, and there only where bodies may be shown.
type operation struct {
	Op    string  `json:"op"`
	Path  string  `json:"path"`
	From  string  `json:"from,omitempty"`
	Bytes int     `json:"bytes,omitempty"` // of the new value
	Old   *string `json:"old,omitempty"`   // what was there before, where that is known
	New   *string `json:"new,omitempty"`

	value json.RawMessage
}

// What is shown of a change is bounded, as what upstreams send is not.
const (
	maxPatch      = 256 << 10 // bytes of patches that are looked into
	maxOperations = 40
	maxPath       = 400 // bytes
	maxValue      = 200
)

// changes makes changes readable, each once.
type changes struct {
	mu   sync.Mutex // guards done
	done map[changeKey]change
}

type changeKey struct {
	resource     string
	at           time.Time
	kept, before bool
}

// maxChanges bounds what is remembered, several pages' worth.
const maxChanges = 1000

func (cs *changes) of(resource string, c *poller.PatchedChange, bodies bool) change {
	key := changeKey{resource, c.At, c.Patch != nil, c.Before != nil}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	known, ok := cs.done[key]
	if ok {
		return known
	}
	if cs.done == nil || len(cs.done) >= maxChanges {
		cs.done = make(map[changeKey]change)
	}
	cs.done[key] = newChange(c, bodies)
	return cs.done[key]
}

func newChange(c *poller.PatchedChange, bodies bool) change {
	shown := change{At: millis(c.At), DocumentBytes: c.DocumentBytes, PatchBytes: c.PatchBytes}
	if len(c.Patch) == 0 || len(c.Patch) > maxPatch {
		return shown
	}
	operations := operationsOf(c)
	if bodies {
		tellValues(operations, c)
	}
	shown.More = max(0, len(operations)-maxOperations)
	for _, o := range operations[:len(operations)-shown.More] {
		o.Path, o.From, o.Bytes = cut(o.Path, maxPath), cut(o.From, maxPath), len(o.value)
		shown.Operations = append(shown.Operations, o)
	}
	return shown
}

// operationsOf reads a patch. A merge patch (RFC 7396) is told as what it does:
// its members, and those that it takes away.
func operationsOf(c *poller.PatchedChange) (operations []operation) {
	if c.Merge {
		return mergeOperations(nil, "", c.Patch)
	}
	var patch []struct {
		Op, Path, From string
		Value          json.RawMessage
	}
	json.Unmarshal(c.Patch, &patch) // our own: it is one
	for _, o := range patch {
		operations = append(operations, operation{Op: o.Op, Path: o.Path, From: o.From, value: o.Value})
	}
	return operations
}

func mergeOperations(operations []operation, path string, patch json.RawMessage) []operation {
	var members map[string]json.RawMessage
	if json.Unmarshal(patch, &members) != nil || members == nil {
		if string(patch) == "null" {
			return append(operations, operation{Op: "remove", Path: path})
		}
		return append(operations, operation{Op: "replace", Path: path, value: patch})
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		operations = mergeOperations(operations, path+"/"+escapeToken.Replace(name), members[name])
	}
	return operations
}

// Reference tokens (RFC 6901).
var (
	escapeToken   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapeToken = strings.NewReplacer("~1", "/", "~0", "~")
)

// tellValues says what each operation puts in the place of what. What was there
// is told as far as the operations before can be followed.
func tellValues(operations []operation, c *poller.PatchedChange) {
	var root any
	known := len(c.Before) > 0 && decode(c.Before, &root) == nil
	for i := range operations[:min(len(operations), maxOperations)] {
		o := &operations[i]
		if o.value != nil {
			o.New = text(o.value)
		}
		if !known {
			continue
		}
		var value any
		switch o.Op {
		case "move":
			var removed bool
			if value, removed = edit(&root, "remove", o.From, nil); !removed {
				known = false
				continue
			}
		case "copy":
			value, _ = edit(&root, "read", o.From, nil)
		default:
			if len(o.value) > 0 && decode(o.value, &value) != nil {
				known = false
				continue
			}
		}
		op := o.Op
		if op == "move" || op == "copy" {
			op = "add"
		}
		var old any
		if old, known = edit(&root, op, o.Path, value); known && (op == "remove" || op == "replace") && old != nothing {
			written, _ := json.Marshal(old)
			o.Old = text(written)
		}
	}
}

// nothing is the old value where there was none.
var nothing any = new(int)

// edit does one operation of a JSON Patch to a value and returns what was at
// the path before. It is not ok where the path leads nowhere.
func edit(at *any, op, path string, value any) (old any, ok bool) {
	if path == "" {
		if old = *at; op != "read" {
			*at = value
		}
		return old, true
	}
	token, rest, more := strings.Cut(path[1:], "/")
	if more {
		rest = "/" + rest
	}
	switch container := (*at).(type) {
	case map[string]any:
		return editMember(container, unescapeToken.Replace(token), op, rest, value)
	case []any:
		return editElement(at, container, token, op, rest, value)
	}
	return nil, false
}

func editMember(object map[string]any, name, op, rest string, value any) (old any, ok bool) {
	child, there := object[name]
	if rest != "" {
		old, ok = edit(&child, op, rest, value)
		object[name] = child
		return old, ok && there
	}
	if !there {
		child = nothing
	}
	switch op {
	case "remove":
		delete(object, name)
	case "add", "replace":
		object[name] = value
	}
	return child, true
}

func editElement(at *any, array []any, token, op, rest string, value any) (old any, ok bool) {
	i, err := strconv.Atoi(token)
	if token == "-" {
		i, err = len(array), nil
	}
	switch {
	case err != nil || i < 0 || i > len(array):
		return nil, false
	case rest == "" && op == "add":
		*at = slices.Insert(array, i, value)
		return nothing, true
	case i == len(array):
		return nil, false
	case rest != "":
		return edit(&array[i], op, rest, value)
	}
	old = array[i]
	switch op {
	case "remove":
		*at = slices.Delete(array, i, i+1)
	case "replace":
		array[i] = value
	}
	return old, true
}

// decode reads JSON with numbers as they are written.
func decode(text []byte, v *any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}

func text(b []byte) *string {
	s := cut(string(b), maxValue)
	return &s
}

// cut shortens a text that is too long to be shown.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
