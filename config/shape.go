package config

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// A shape is what a value looks like: how it is read, through a pointer that the shape was made with,
// and how messages call it.
type shape interface {
	read(d *decoder, at place, n *yaml.Node)
	allowed() string
	schema(key string, known notes) form // of what stands under a key, as "limits.resources"
}

// An object is a mapping whose keys are known. A key that is absent leaves its value as it
// was, which is how defaults work.
type object []field

func (o object) allowed() string { return "a mapping of " + o.names() }

func (o object) schema(key string, known notes) form {
	properties, required := form{}, []string{}
	for _, f := range o {
		child := join(key, f.name)
		properties[f.name] = known[child].describe(f, f.value.schema(child, known))
		if f.required {
			required = append(required, f.name)
		}
	}
	s := form{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func (o object) read(d *decoder, at place, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		d.wrong(at, n, o)
		return
	}
	lines := map[string]int{}
	for k, v := range d.pairs(at, n) {
		child := place{key: join(at.key, k.Value), line: k.Line}
		i := slices.IndexFunc(o, func(f field) bool { return f.name == k.Value })
		switch {
		case i < 0:
			d.add(child, "unknown key, "+o.suggest(k.Value))
		case !d.repeated(child, lines, k.Value):
			d.value(o[i].value, child, v)
		}
	}
	for _, f := range o {
		if _, given := lines[f.name]; f.required && !given {
			d.refuse(place{key: join(at.key, f.name), line: at.line}, "nothing", f.value.allowed())
		}
	}
}

// An optional is an object that may be absent altogether.
type optional[T any] struct {
	to     **T
	fields func(*T) object
}

func (o optional[T]) allowed() string { return o.fields(new(T)).allowed() }

func (o optional[T]) schema(key string, known notes) form { return o.fields(new(T)).schema(key, known) }

func (o optional[T]) read(d *decoder, at place, n *yaml.Node) {
	*o.to = new(T)
	o.fields(*o.to).read(d, at, n)
}

// A list is a sequence of values of one shape. When it is present it replaces the default, also by nothing.
type list[T any] struct {
	to    *[]T
	what  string
	zero  func() T // what an element is before it is read
	item  func(*T) shape
	once  bool // no two elements are equal
	some  bool // there is at least one element
	alone bool // a scalar stands for the list of it
}

func (l list[T]) allowed() string { return l.what }

func (l list[T]) schema(key string, known notes) form {
	item := l.item(new(T)).schema(key, known)
	s := form{"type": "array", "items": item}
	if l.some {
		s["minItems"] = 1
	}
	if l.once && item["type"] == "string" { // of other types some are equal in JSON that differ as text
		s["uniqueItems"] = true
	}
	if l.alone {
		return form{"anyOf": []form{item, s}}
	}
	return s
}

func (l list[T]) read(d *decoder, at place, n *yaml.Node) {
	*l.to = nil
	switch {
	case l.alone && n.Kind == yaml.ScalarNode:
		v := l.zero()
		l.item(&v).read(d, at, n)
		*l.to = []T{v}
	case n.Kind != yaml.SequenceNode:
		d.wrong(at, n, l)
	case l.some && len(n.Content) == 0:
		d.refuse(at, "an empty list", l.allowed())
	default:
		l.readAll(d, at, n.Content)
	}
}

func (l list[T]) readAll(d *decoder, at place, items []*yaml.Node) {
	lines := map[string]int{}
	for i, n := range items {
		if d.full() {
			return
		}
		v, before := l.zero(), len(d.problems)
		child := place{key: fmt.Sprintf("%s[%d]", at.key, i), line: n.Line}
		d.value(l.item(&v), child, n)
		if l.once && len(d.problems) == before {
			d.repeated(child, lines, fmt.Sprint(v))
		}
		*l.to = append(*l.to, v)
	}
}

// texts is a list of scalars, no two of them equal.
func texts[T any](to *[]T, k kind[T]) list[T] {
	return list[T]{
		to:   to,
		what: "a list, each of it " + k.what,
		zero: func() (zero T) { return zero },
		item: func(v *T) shape { return scalar[T]{v, k} },
		once: true,
	}
}

func endpoints(to *[]Endpoint) shape {
	return list[Endpoint]{
		to:   to,
		what: "a list of rules, each with at least path and interval",
		zero: defaultEndpoint,
		item: func(e *Endpoint) shape { return e.fields() },
		some: true,
	}
}

// A dict is a mapping whose keys the operator chooses.
type dict[V any] struct {
	to     *map[string]V
	what   string
	name   kind[string]
	item   func(*V) shape
	secret bool // neither the values nor what stands in the place of a name are shown
}

func (m dict[V]) allowed() string { return m.what }

func (m dict[V]) schema(key string, known notes) form {
	return form{"type": "object", "propertyNames": m.name.form, "additionalProperties": m.item(new(V)).schema(key, known)}
}

func (m dict[V]) read(d *decoder, at place, n *yaml.Node) {
	at.secret = m.secret
	if n.Kind != yaml.MappingNode {
		d.wrong(at, n, m)
		return
	}
	*m.to = map[string]V{}
	lines := map[string]int{}
	for k, v := range d.pairs(at, n) {
		name, err := m.name.read(k.Value)
		if err != nil {
			found := "the key " + shown(k.Value, m.secret && !plainKey.MatchString(k.Value))
			d.refuse(place{key: at.key, line: k.Line}, because(found, err), m.name.what)
			continue
		}
		child := place{key: join(at.key, name), line: k.Line, secret: m.secret}
		if d.repeated(child, lines, name) {
			continue
		}
		var item V
		d.value(m.item(&item), child, v)
		(*m.to)[name] = item
	}
	if len(*m.to) == 0 {
		*m.to = nil
	}
}

func headers(to *map[string]string) shape {
	return dict[string]{
		to:     to,
		what:   "a mapping of header names to values",
		name:   headerName,
		item:   func(v *string) shape { return scalar[string]{v, headerValue} },
		secret: true,
	}
}

func keys(to *map[string][]string) shape {
	return dict[[]string]{
		to:   to,
		what: "a mapping of the pointers of arrays to what identifies their elements",
		name: pointer,
		item: identities,
	}
}

func identities(to *[]string) shape {
	l := texts(to, identity)
	l.what, l.some, l.alone = identity.what+", or a list of these", true, true
	return l
}
