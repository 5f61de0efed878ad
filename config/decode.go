package config

import (
	"cmp"
	"fmt"
	"iter"
	"regexp"
	"slices"

	"gopkg.in/yaml.v3"
)

// A decoder walks the file once and collects what is wrong with it.
type decoder struct {
	getenv   func(string) (string, bool)
	problems []problem
	seen     map[string]place // where each key of the file stands, for checks between keys
}

type problem struct {
	line int
	text string
}

// A place is where a value stands.
type place struct {
	key    string // "endpoints[0].interval"; "" is the whole file
	line   int
	secret bool   // the value is not to be shown
	found  string // the value as a message shows it, once it was read
}

// enough ends the search for more problems: so many are in no file that a person wrote.
const enough = 200

func (d *decoder) full() bool { return len(d.problems) >= enough }

// report returns the problems as errors in the order of lines.
func (d *decoder) report(file string) []error {
	slices.SortStableFunc(d.problems, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	if d.full() {
		d.problems = append(d.problems[:enough], problem{d.problems[enough-1].line, "too many errors, the search for more ended"})
	}
	var errs []error
	for _, p := range d.problems {
		errs = append(errs, fmt.Errorf("%s:%d: %s", file, p.line, p.text))
	}
	return errs
}

// refuse notes what was found at a place and what is allowed there.
func (d *decoder) refuse(at place, found, allowed string) {
	d.add(at, "found "+found+", allowed: "+allowed)
}

func (d *decoder) add(at place, text string) {
	if at.key != "" {
		text = at.key + ": " + text
	}
	d.problems = append(d.problems, problem{at.line, text})
}

// value reads n as the shape after what holds for every value was checked. An empty value is not
// the default: "vary:" with its list commented out would say the opposite of "vary: []".
func (d *decoder) value(s shape, at place, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		at.line = n.Line // not its key's
	}
	d.seen[at.key] = at
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "" || n.Tag == "!!merge":
		d.refuse(at, "a YAML anchor or alias", "values written out")
	case n.Style&yaml.TaggedStyle != 0:
		d.refuse(at, "a YAML tag", "values without one")
	case n.Tag == "!!null":
		d.refuse(at, "nothing", s.allowed())
	default:
		s.read(d, at, n)
	}
}

// wrong refuses a node of another kind than the shape wants.
func (d *decoder) wrong(at place, n *yaml.Node, s shape) {
	found := kindOf(n)
	if n.Kind == yaml.ScalarNode {
		found = shown(n.Value, at.secret)
	}
	d.refuse(at, found, s.allowed())
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a value"
}

// pairs yields the keys and values of a mapping; a key that is no text is an error. yaml.v3 leaves it to its
// callers to find keys that stand twice: see repeated.
func (d *decoder) pairs(at place, n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(k, v *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content) && !d.full(); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode || k.Anchor != "" || k.Tag == "!!merge" || k.Style&yaml.TaggedStyle != 0 {
				d.refuse(place{key: at.key, line: k.Line}, "a key that is no plain text", "plain keys, no merge (<<), alias or tag")
				continue
			}
			if !yield(k, n.Content[i+1]) {
				return
			}
		}
	}
}

// repeated reports, as an error, whether a name stood in the mapping before, else notes its line.
func (d *decoder) repeated(at place, lines map[string]int, name string) bool {
	first, repeated := lines[name]
	if repeated {
		d.refuse(at, "a second time", fmt.Sprintf("once (first on line %d)", first))
		return true
	}
	lines[name] = at.line
	return false
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,60}$`)

// join appends the name of a member to a key.
func join(key, name string) string {
	switch {
	case !plainKey.MatchString(name):
		return key + "[" + shown(name, false) + "]"
	case key == "":
		return name
	}
	return key + "." + name
}
