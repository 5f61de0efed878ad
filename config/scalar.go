package config

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A scalar is a value that is read from its text.
type scalar[T any] struct {
	to *T
	kind[T]
}

// A kind is what a text may be: how messages call it, what an editor is told of it, and how it is read. The error of
// read adds the reason where allowed does not say it all, and never holds the text, which may be a secret.
type kind[T any] struct {
	what string
	form form
	read func(text string) (T, error)
}

// errKind is the error of a text that is simply not of its kind.
var errKind = errors.New("")

func (s scalar[T]) allowed() string { return s.what }

func (s scalar[T]) schema(string, notes) form { return s.form }

func (s scalar[T]) read(d *decoder, at place, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		d.wrong(at, n, s)
		return
	}
	at.found = shown(n.Value, at.secret)
	text, err := Expand(n.Value, d.getenv)
	if err != nil {
		d.refuse(at, because(at.found, err), "${NAME} of a variable that is set, or $${ for the text itself")
		return
	}
	if text != strings.ReplaceAll(n.Value, "$${", "${") {
		at.found, at.secret = at.found+" as the environment has it", true
	}
	d.seen[at.key] = at
	v, err := s.kind.read(text)
	if err != nil {
		d.refuse(at, because(at.found, err), s.what)
		return
	}
	*s.to = v
}

var (
	variable = regexp.MustCompile(`\$?\$\{[^}]*\}?`)
	named    = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
)

// Expand replaces each ${NAME} in a value by what the environment has, once: what comes from there is
// not looked at again. $${ stands for ${. The error names variables, never a value.
func Expand(text string, getenv func(string) (string, bool)) (string, error) {
	var unset []string
	malformed := false
	expanded := variable.ReplaceAllStringFunc(text, func(s string) string {
		if s[1] == '$' {
			return s[1:]
		}
		m := named.FindStringSubmatch(s)
		if m == nil {
			malformed = true
			return ""
		}
		value, set := getenv(m[1])
		if !set {
			unset = append(unset, m[1])
		}
		return value
	})
	switch {
	case malformed:
		return "", errors.New("${ without a name of letters, digits and _, and a }")
	case unset != nil:
		return "", errors.New("not set in the environment: " + strings.Join(unset, ", "))
	}
	return expanded, nil
}

var userinfo = regexp.MustCompile(`//[^/]*@`)

// shown is a text as messages quote it: on one line, not too long, and not at all where it may be a secret.
func shown(text string, secret bool) string {
	const most = 80
	switch {
	case secret || userinfo.MatchString(text):
		return "***"
	case len(text) > most:
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}

// because appends the reason, if there is one.
func because(found string, reason error) string {
	if reason.Error() == "" {
		return found
	}
	return found + " (" + reason.Error() + ")"
}
