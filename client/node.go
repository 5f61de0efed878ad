package client

// A node is one JSON value: the text it was written with, and, once somebody
// looked inside, its children. Nothing is decoded before it is asked for, so
// a patch costs one scan of the document and what it touches.
type node struct {
	text  []byte // as written; no longer true when tree has changed
	spans []span // of the arrays and objects in text, the node's own first
	tree  *tree  // nil until opened, and for scalars always
}

// A tree holds the children of an opened array or object, in order. What
// was removed from an object stays in place, marked, so that index holds.
type tree struct {
	names   []name // an object's, parallel to nodes; nil for an array
	nodes   []node
	index   map[string]int // where the last member of each name is; nil unless there are many
	doubled bool           // some name occurs twice; known when index is there
	changed bool           // it, or something below it
}

type name struct {
	written []byte // with its quotes and escapes
	gone    bool
}

// kind is the first byte of the value, { [ " t f or n, and 0 for any number.
func (n *node) kind() byte {
	if c := n.text[0]; c != '-' && !isDigit(c) {
		return c
	}
	return 0
}

// describe names the kind for an error message.
func (n *node) describe() string {
	switch n.kind() {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// open returns the node's children, nil if it is a scalar.
func (n *node) open() *tree {
	if n.tree == nil && len(n.spans) > 0 {
		n.tree = split(n.text, n.spans)
	}
	return n.tree
}

// split cuts the text of an array or object, known to be valid, into its
// children. What they contain is stepped over, not read.
func split(text []byte, spans []span) *tree {
	t := &tree{nodes: make([]node, 0, 8)}
	if text[0] == '{' {
		t.names = make([]name, 0, 8)
	}
	s := scanner{text: text, pos: 1}
	next := 1 // the span of the next child that has one
	for {
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
			continue
		case ']', '}':
			return t
		}
		if text[0] == '{' {
			t.names = append(t.names, name{written: s.memberName()})
		}
		child := s.child(spans[next:])
		next += len(child.spans)
		t.nodes = append(t.nodes, child)
	}
}

// memberName reads a name and the colon after it.
func (s *scanner) memberName() []byte {
	start := s.pos
	_ = s.string() // scanned before: it has no error
	written := s.text[start:s.pos:s.pos]
	s.space()
	s.pos++
	s.space()
	return written
}

// child reads the value at s, given the spans of it and all behind it.
func (s *scanner) child(spans []span) node {
	start := s.pos
	var n node
	if c := s.peek(); c == '{' || c == '[' {
		s.pos += spans[0].size
		n.spans = spans[:spans[0].count:spans[0].count]
	} else {
		_ = s.value(1) // a scalar, scanned before: it has no error
	}
	n.text = s.text[start:s.pos:s.pos]
	return n
}

// unchanged tells whether text is still the node's text.
func (n *node) unchanged() bool { return n.tree == nil || !n.tree.changed }

// write appends the node's text: byte for byte as it was where nothing
// changed, without white space around what is inside where something did.
func (n *node) write(b []byte) []byte {
	if n.unchanged() {
		return append(b, n.text...)
	}
	open := n.text[0]
	b = append(b, open)
	first := true
	for i := range n.tree.nodes {
		if open == '{' && n.tree.names[i].gone {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		if open == '{' {
			b = append(append(b, n.tree.names[i].written...), ':')
		}
		b = n.tree.nodes[i].write(b)
	}
	return append(b, open+2) // ] and } are two behind [ and {
}

// manyMembers is where a map begins to be faster than looking at each name.
const manyMembers = 32

// find returns where the member that JSON.parse would see under key is:
// the last of that name, -1 if there is none.
func (t *tree) find(key string) int {
	if len(t.names) > manyMembers {
		return t.lookUp(key)
	}
	for i := len(t.names) - 1; i >= 0; i-- {
		if !t.names[i].gone && t.names[i].is(key) {
			return i
		}
	}
	return -1
}

func (t *tree) lookUp(key string) int {
	if t.index == nil {
		t.index = make(map[string]int, len(t.names))
		for i, n := range t.names {
			if n.gone {
				continue
			}
			key := unquote(n.written)
			_, again := t.index[key]
			t.doubled = t.doubled || again
			t.index[key] = i
		}
	}
	if i, ok := t.index[key]; ok {
		return i
	}
	return -1
}

// set gives the member a value, in its place if it is there, else at the end.
func (t *tree) set(key string, v node) {
	if i := t.find(key); i >= 0 {
		t.nodes[i] = v
		return
	}
	t.names = append(t.names, name{written: quote(key)})
	t.nodes = append(t.nodes, v)
	if t.index != nil {
		t.index[key] = len(t.nodes) - 1
	}
}

// drop removes the member, and those of the same name that it hid.
func (t *tree) drop(key string) {
	if i := t.find(key); i < 0 {
		return
	} else if t.names[i].gone = true; t.index != nil && !t.doubled {
		delete(t.index, key)
		return
	}
	for i := range t.names {
		if !t.names[i].gone && t.names[i].is(key) {
			t.names[i].gone = true
		}
	}
	delete(t.index, key)
}
