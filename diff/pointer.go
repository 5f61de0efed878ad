package diff

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A rule says what the options have for one place of a document. Rules form a
// tree along the pointers of the options, in which `*` has been folded into
// the members named beside it, so that every place has one rule or none (nil).
type rule struct {
	ignore  bool       // changes here are none
	keys    [][]string // identity of elements: paths into the element
	members map[string]*rule
	any     *rule // for members and elements not in members
	ignores bool  // of the root: some rule ignores
}

// A pattern is a pointer of the options, split, and what it is for.
type pattern struct {
	tokens []string
	keys   [][]string // nil: ignore
}

// newRules compiles the options. It returns nil where there are none.
func newRules(o Options) (*rule, error) {
	var ps []pattern
	for _, p := range o.Ignore {
		t, err := splitPointer(p)
		if err != nil {
			return nil, fmt.Errorf("ignore: %w", err)
		}
		ps = append(ps, pattern{tokens: t})
	}
	for p, names := range o.Keys {
		t, err := splitPointer(p)
		if err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		keys, err := identityPaths(p, names)
		if err != nil {
			return nil, err
		}
		ps = append(ps, pattern{t, keys})
	}
	slices.SortFunc(ps, func(a, b pattern) int { return slices.Compare(a.tokens, b.tokens) })
	r := foldRules(ps)
	if r != nil {
		r.ignores = len(o.Ignore) > 0
	}
	return r, nil
}

// identityPaths splits what identifies the elements of the array at p.
func identityPaths(p string, names []string) ([][]string, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("keys: array %q: no member is named", p)
	}
	keys := make([][]string, len(names))
	for i, name := range names {
		keys[i] = []string{name}
		if strings.HasPrefix(name, "/") {
			t, err := splitPointer(name)
			if err != nil {
				return nil, fmt.Errorf("keys: array %q: %w", p, err)
			}
			keys[i] = t
		} else if name == "" {
			keys[i] = []string{} // the element itself
		}
	}
	return keys, nil
}

// foldRules makes the tree of patterns that begin at one place. Of two that
// set keys for one array, the more literal wins.
func foldRules(ps []pattern) *rule {
	if len(ps) == 0 {
		return nil
	}
	r := &rule{}
	byHead := map[string][]pattern{}
	for _, p := range ps {
		switch {
		case len(p.tokens) > 0:
			byHead[p.tokens[0]] = append(byHead[p.tokens[0]], pattern{p.tokens[1:], p.keys})
		case p.keys == nil:
			return &rule{ignore: true}
		case r.keys == nil:
			r.keys = p.keys
		}
	}
	star := byHead["*"]
	delete(byHead, "*")
	r.any = foldRules(star)
	for head, tails := range byHead {
		if r.members == nil {
			r.members = map[string]*rule{}
		}
		r.members[head] = foldRules(append(tails, star...))
	}
	return r
}

// splitPointer returns the reference tokens of a pointer (RFC 6901).
func splitPointer(p string) ([]string, error) {
	if p == "" {
		return []string{}, nil
	}
	if p[0] != '/' {
		return nil, fmt.Errorf("pointer %q does not begin with /", p)
	}
	tokens := strings.Split(p[1:], "/")
	for i, t := range tokens {
		for j := range len(t) {
			if t[j] == '~' && (j+1 == len(t) || t[j+1] != '0' && t[j+1] != '1') {
				return nil, fmt.Errorf("pointer %q has a ~ that is neither ~0 nor ~1", p)
			}
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens, nil
}

// member returns the rule of a member, whose name is as written in JSON.
func (r *rule) member(name []byte) *rule {
	if r == nil || r.ignore {
		return r
	}
	if len(r.members) > 0 {
		if escaped(name) {
			name = appendUnescaped(nil, name)
		}
		if m, ok := r.members[string(name)]; ok {
			return m
		}
	}
	return r.any
}

// element returns the rule of the i-th element.
func (r *rule) element(i int) *rule {
	if r == nil || r.ignore {
		return r
	}
	if len(r.members) > 0 {
		if m, ok := r.members[strconv.Itoa(i)]; ok {
			return m
		}
	}
	return r.any
}

func (r *rule) ignored() bool { return r != nil && r.ignore }

// appendToken appends a member's name, given as written in JSON, as a
// reference token written in JSON.
func appendToken(dst, name []byte) []byte {
	plain := true
	for _, c := range name {
		if c == '~' || c == '/' || c == '\\' {
			plain = false
			break
		}
	}
	if plain {
		return append(dst, name...)
	}
	for i := 0; i < len(name); i++ {
		c, n := name[i], 1
		if c == '\\' {
			n = 2
			switch name[i+1] {
			case '/':
				c = '/'
			case 'u':
				n = 6
				if u := hex4(name[i+2:]); u == '/' || u == '~' {
					c = byte(u)
				}
			}
		}
		switch c {
		case '~':
			dst = append(dst, "~0"...)
		case '/':
			dst = append(dst, "~1"...)
		default:
			dst = append(dst, name[i:i+n]...)
		}
		i += n - 1
	}
	return dst
}
