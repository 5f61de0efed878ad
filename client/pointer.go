package client

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parsePointer splits a JSON Pointer (RFC 6901) into its unescaped tokens.
// The whole document is no token at all.
func parsePointer(p string) ([]string, error) {
	if p == "" {
		return nil, nil
	}
	if p[0] != '/' {
		return nil, errors.New(`a pointer begins with "/"`)
	}
	tokens := strings.Split(p[1:], "/")
	for i, t := range tokens {
		if strings.IndexByte(t, '~') < 0 {
			continue
		}
		var err error
		if tokens[i], err = unescape(t); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

func unescape(token string) (string, error) {
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '~' {
			i++
			switch {
			case i < len(token) && token[i] == '0':
			case i < len(token) && token[i] == '1':
				c = '/'
			default:
				return "", fmt.Errorf(`%q has a "~" that neither 0 nor 1 follows`, token)
			}
		}
		b = append(b, c)
	}
	return string(b), nil
}

// child returns the member or element that token names.
func (n *node) child(token string) (*node, error) {
	t := n.open()
	switch n.kind() {
	case '{':
		if i := t.find(token); i >= 0 {
			return &t.nodes[i], nil
		}
		return nil, fmt.Errorf("there is no member %q", token)
	case '[':
		i, err := arrayIndex(token, len(t.nodes))
		if err != nil {
			return nil, err
		}
		return &t.nodes[i], nil
	}
	return nil, fmt.Errorf("%q is looked for in %s", token, n.describe())
}

// arrayIndex reads a token as RFC 6901 section 4 allows: digits without
// leading zeros, and below the given limit.
func arrayIndex(token string, below int) (int, error) {
	if token == "" || (token[0] == '0' && token != "0") || strings.Trim(token, "0123456789") != "" {
		return 0, fmt.Errorf("%q is no array index", token)
	}
	i, err := strconv.Atoi(token)
	if err != nil || i >= below {
		return 0, fmt.Errorf("index %s is too high, want one below %d", token, below)
	}
	return i, nil
}
