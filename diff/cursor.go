package diff

// A value is a span of a document. node is its number in the index, -1 for a
// scalar.
type value struct{ start, end, node int }

// A member is a value and, in an object, the span of its name between the
// quotes.
type member struct {
	value
	key0, key1 int
}

// A cursor walks the members or elements of one container of a validated
// document. It stands right after the opening bracket or after a value.
type cursor struct {
	*Document
	k     int // the container
	last  int // the number after that of the last node in it
	pos   int
	child int  // the first child node at or after pos
	ord   int  // how many members or elements are before pos
	named bool // the container is an object
}

func newCursor(doc *Document, k int) cursor {
	n := &doc.nodes[k]
	return cursor{doc, k, k + int(n.span), int(n.start) + 1, k + 1, 0, doc.raw[n.start] == '{'}
}

// left is how many members or elements are to come.
func (c *cursor) left() int { return c.nodes[c.k].len() - c.ord }

// gap moves from pos over space, comma and name to the next value, and returns
// its offset, or -1 at the end of the container.
func (c *cursor) gap(m *member) int {
	raw := c.raw
	p := c.pos
	if raw[p] <= ' ' {
		p = skipSpace(raw, p)
	}
	if raw[p] == ',' {
		if p++; raw[p] <= ' ' {
			p = skipSpace(raw, p)
		}
	}
	if raw[p] == '}' || raw[p] == ']' {
		return -1
	}
	if c.named {
		m.key0 = p + 1
		p = skipString(raw, p+1)
		m.key1 = p - 1
		if raw[p] != ':' {
			p = skipSpace(raw, p)
		}
		if p++; raw[p] <= ' ' {
			p = skipSpace(raw, p)
		}
	}
	return p
}

// next returns the next member or element and moves behind it.
func (c *cursor) next() (m member, ok bool) {
	ok = c.read(&m)
	return m, ok
}

// read is next for a member that is there already.
func (c *cursor) read(m *member) bool {
	p := c.gap(m)
	if p < 0 {
		return false
	}
	c.readValue(p, m)
	return true
}

// readValue reads the value at p, which is the next one, and moves behind it.
func (c *cursor) readValue(p int, m *member) {
	m.start = p
	if b := c.raw[p]; b == '{' || b == '[' {
		n := &c.nodes[c.child]
		m.node, m.end = c.child, int(n.end())
		c.child += int(n.span)
	} else {
		m.node, m.end = -1, skipScalar(c.raw, p)
	}
	c.pos = m.end
	c.ord++
}

// behind moves the cursor behind child node j.
func (c *cursor) behind(j int) {
	n := &c.nodes[j]
	c.pos, c.child, c.ord = int(n.end()), j+int(n.span), int(n.ord)+1
}

// seek moves over everything that ends before offset x.
//
// A scalar that ends at x is not passed: where another document differs from
// this one at x, a number may go on there.
func (c *cursor) seek(x int) {
	c.seekNodes(x)
	var m member
	for c.pos < x {
		p := c.gap(&m)
		if p < 0 || p >= x || c.raw[p] == '{' || c.raw[p] == '[' {
			return
		}
		if p = skipScalar(c.raw, p); p >= x {
			return
		}
		c.pos = p
		c.ord++
	}
}

// seekNodes moves behind the last child node that ends at or before x.
//
// Far away it finds the child by bisection: the last node that begins before x,
// and from there up. Climbing takes turns with stepping from sibling to
// sibling, so that a seek never costs more than the siblings it passes.
func (c *cursor) seekNodes(x int) {
	nodes, last := c.nodes, c.last
	up, around := -1, -1
	for steps := 0; c.child < last && int(nodes[c.child].end()) <= x; steps++ {
		switch {
		case steps < 4:
		case steps == 4:
			up = lastBefore(nodes[:last], c.child, x)
		case up-int(nodes[up].up) != c.k:
			up -= int(nodes[up].up)
		case around < 0 && int(nodes[up].end()) > x:
			around = up
			up-- // inside the sibling before
		default:
			c.behind(up)
			return
		}
		c.behind(c.child)
	}
}

// lastBefore returns the number of the last node from i on that starts before
// offset x; nodes[i] does.
func lastBefore(nodes []node, i, x int) int {
	j := len(nodes)
	for j-i > 1 {
		if m := int(uint(i+j) / 2); int(nodes[m].start) < x {
			i = m
		} else {
			j = m
		}
	}
	return i
}
