package client

import "fmt"

// ApplyMerge returns doc with patch, a JSON Merge Patch (RFC 7396), applied
// to it: the members of the patch replace those of the document, null removes
// them, objects are merged, and everything else replaces as a whole. As with
// Apply, what the patch does not touch stays as it was written.
func ApplyMerge(doc, patch []byte) ([]byte, error) {
	root, err := scan(doc)
	if err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	change, err := scan(patch)
	if err != nil {
		return nil, fmt.Errorf("the patch: %w", err)
	}
	merge(&root, &change)
	return root.write(make([]byte, 0, len(doc)+len(patch))), nil
}

// merge is the function MergePatch of RFC 7396 section 2.
func merge(target, patch *node) {
	if patch.kind() != '{' {
		*target = *patch
		return
	}
	if target.kind() != '{' {
		*target = emptyObject()
	}
	into, from := target.open(), patch.open()
	for i := range from.names {
		key := unquote(from.names[i].written)
		if from.find(key) != i {
			continue // a later member has the same name
		}
		into.changed = true
		if v := &from.nodes[i]; v.kind() == 'n' {
			into.drop(key)
		} else {
			into.merge(key, v)
		}
	}
}

func (t *tree) merge(key string, patch *node) {
	if at := t.find(key); at >= 0 {
		merge(&t.nodes[at], patch)
		return
	}
	v := emptyObject()
	merge(&v, patch)
	t.set(key, v)
}

func emptyObject() node { return node{text: []byte("{}"), spans: []span{{2, 1}}} }
