package client

import (
	"errors"
	"fmt"
	"slices"
)

// maxCopied bounds what the copy operations of one patch may add up to, in
// bytes: a patch that copies a document into itself doubles it each time.
const maxCopied = 16 << 20

// Apply returns doc with patch, a JSON Patch (RFC 6902), applied to it.
//
// Both are JSON text and so is the result: whatever the patch does not touch
// stays as it was written, every number with its own digits, every string with
// its own escapes, every object with its members in order and the doubles
// among them. Only white space inside an array or object that changes is lost.
// Where a name occurs twice the last counts, as in JSON.parse.
//
// A patch applies whole or not at all. An error names the operation (counted
// from 0), its op and its path. The test operation compares by value: 1, 1.0
// and 1e0 are equal, 2^53 and 2^53+1 are not.
//
// Apply takes time linear in the document and the patch, except that an
// insertion into or a removal from an array moves the elements behind it. It keeps neither
// slice and changes neither.
func Apply(doc, patch []byte) ([]byte, error) {
	root, err := scan(doc)
	if err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	operations, err := scan(patch)
	if err != nil {
		return nil, fmt.Errorf("the patch: %w", err)
	}
	if operations.kind() != '[' {
		return nil, fmt.Errorf("the patch is %s, want an array of operations", operations.describe())
	}
	d := document{root: root}
	for i := range operations.open().nodes {
		o, err := parseOperation(&operations.tree.nodes[i])
		if err == nil {
			err = d.apply(o)
		}
		if err != nil {
			return nil, fmt.Errorf("operation %d%s: %w", i, o.label(), err)
		}
	}
	return d.root.write(make([]byte, 0, len(doc)+len(patch))), nil
}

// An operation is one element of a patch. from and path are its pointers
// as written; which of from and value are there depends on op.
type operation struct {
	op, path, from string
	value          *node
}

// label tells an operation from others in an error.
func (o operation) label() string {
	if o.op == "" {
		return ""
	}
	return fmt.Sprintf(" (%s %q)", o.op, o.path)
}

// parseOperation returns what it could read along with an error.
func parseOperation(n *node) (o operation, err error) {
	if n.kind() != '{' {
		return o, fmt.Errorf("it is %s, want an object", n.describe())
	}
	members := n.open()
	if o.op, err = members.text("op"); err != nil {
		return o, err
	}
	if o.path, err = members.text("path"); err != nil {
		return o, err
	}
	switch o.op {
	case "add", "replace", "test":
		i := members.find("value")
		if i < 0 {
			return o, errors.New(`it has no "value"`)
		}
		o.value = &members.nodes[i]
	case "move", "copy":
		o.from, err = members.text("from")
	case "remove":
	default:
		err = errors.New("there is no such op")
	}
	return o, err
}

// text returns the value of a member that has to be a string.
func (t *tree) text(key string) (string, error) {
	i := t.find(key)
	if i < 0 {
		return "", fmt.Errorf("it has no %q", key)
	}
	if t.nodes[i].kind() != '"' {
		return "", fmt.Errorf("its %q is %s, want a string", key, t.nodes[i].describe())
	}
	return unquote(t.nodes[i].text), nil
}

// A document is what a patch works on.
type document struct {
	root   node
	copied int // bytes, by copy operations
}

func (d *document) apply(o operation) error {
	path, err := parsePointer(o.path)
	if err != nil {
		return err
	}
	switch o.op {
	case "add":
		return d.add(path, *o.value)
	case "remove":
		_, err := d.take(path)
		return err
	case "replace":
		return d.replace(path, *o.value)
	case "test":
		return d.test(path, o.value)
	}
	from, err := parsePointer(o.from)
	if err != nil {
		return fmt.Errorf("from %q: %w", o.from, err)
	}
	transfer := d.move
	if o.op == "copy" {
		transfer = d.copy
	}
	if err := transfer(from, path); err != nil {
		return fmt.Errorf("from %q: %w", o.from, err)
	}
	return nil
}

// get returns the node at path. The pointer holds until the next change.
func (d *document) get(path []string) (*node, error) {
	n := &d.root
	for _, token := range path {
		child, err := n.child(token)
		if err != nil {
			return nil, err
		}
		n = child
	}
	return n, nil
}

// change returns the node at path for its children to be changed. An error
// later on leaves the marks behind, which does no harm: the patch has failed.
func (d *document) change(path []string) (*node, error) {
	n := &d.root
	for _, token := range path {
		child, err := n.child(token)
		if err != nil {
			return nil, err
		}
		n.tree.changed = true
		n = child
	}
	if t := n.open(); t != nil {
		t.changed = true
	}
	return n, nil
}

// add is RFC 6902 section 4.1: it inserts into arrays and sets members.
func (d *document) add(path []string, v node) error {
	if len(path) == 0 {
		d.root = v
		return nil
	}
	last := path[len(path)-1]
	parent, err := d.change(path[:len(path)-1])
	if err != nil {
		return err
	}
	switch t := parent.tree; parent.kind() {
	case '{':
		t.set(last, v)
	case '[':
		i := len(t.nodes)
		if last != "-" {
			if i, err = arrayIndex(last, i+1); err != nil {
				return err
			}
		}
		t.nodes = slices.Insert(t.nodes, i, v)
	default:
		return fmt.Errorf("%q would be put into %s", last, parent.describe())
	}
	return nil
}

// take removes the node at path, which has to be there, and returns it
// (RFC 6902 section 4.2).
func (d *document) take(path []string) (node, error) {
	if len(path) == 0 {
		return node{}, errors.New("the whole document can not be removed")
	}
	last := path[len(path)-1]
	parent, err := d.change(path[:len(path)-1])
	if err != nil {
		return node{}, err
	}
	child, err := parent.child(last)
	if err != nil {
		return node{}, err
	}
	taken := *child
	if t := parent.tree; parent.kind() == '{' {
		t.drop(last)
	} else {
		i, _ := arrayIndex(last, len(t.nodes)) // found above
		t.nodes = slices.Delete(t.nodes, i, i+1)
	}
	return taken, nil
}

// replace is RFC 6902 section 4.3: what it replaces has to be there.
func (d *document) replace(path []string, v node) error {
	if len(path) == 0 {
		d.root = v
		return nil
	}
	parent, err := d.change(path[:len(path)-1])
	if err != nil {
		return err
	}
	child, err := parent.child(path[len(path)-1])
	if err == nil {
		*child = v
	}
	return err
}

// move is RFC 6902 section 4.4: remove, then add. A value can not move into
// itself.
func (d *document) move(from, path []string) error {
	if slices.Equal(from, path) {
		_, err := d.get(from)
		return err
	}
	if len(from) < len(path) && slices.Equal(from, path[:len(from)]) {
		return errors.New("a value can not be moved into itself")
	}
	v, err := d.take(from)
	if err != nil {
		return err
	}
	return d.add(path, v)
}

// copy is RFC 6902 section 4.5. The copy shares the bytes of what it is made
// of, but no tree, so that neither sees the other change.
func (d *document) copy(from, path []string) error {
	n, err := d.get(from)
	if err != nil {
		return err
	}
	v := node{text: n.text, spans: n.spans}
	if !n.unchanged() {
		v.text = n.write(nil)
	}
	if d.copied += len(v.text); d.copied > maxCopied {
		return fmt.Errorf("the patch copies more than %d bytes", maxCopied)
	}
	if !n.unchanged() {
		if v, err = scan(v.text); err != nil {
			return err
		}
	}
	return d.add(path, v)
}

// test is RFC 6902 section 4.6.
func (d *document) test(path []string, want *node) error {
	n, err := d.get(path)
	if err != nil {
		return err
	}
	if !equal(n, want) {
		return fmt.Errorf("it is %s, want %s", excerpt(n), excerpt(want))
	}
	return nil
}

// excerpt shows as much of a value as an error message can bear.
func excerpt(n *node) string {
	const most = 60
	text := n.write(nil)
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}
