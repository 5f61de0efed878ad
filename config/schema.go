package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// The JSON Schema of the configuration is made from the table that files are read by, and refuses nothing that Parse
// takes. It sees less: not what ${NAME} stands for, nor what is wrong between keys.

// A form is what JSON Schema (draft-07) says of a value.
type form map[string]any

// Forms hold for values as YAML has them, so every one takes a text with ${NAME} in it, whatever that will be.
const (
	variableText = `\$\{`
	durationText = `[-+]?([0-9]*\.?[0-9]*(ns|us|µs|μs|ms|s|m|h))+`
	numberText   = `[-+]?[0-9.][0-9A-Za-z_.+-]*`
)

// textLike is a text that a pattern matches, all of it. What matches is never taken for another type by YAML.
func textLike(pattern string) form { return form{"type": "string", "pattern": whole(pattern)} }

func whole(pattern string) string { return "^(" + pattern + ")$|" + variableText }

// anyText is text that YAML may take for something else, such as 1.10, which is then read as it is written.
var anyText = form{"type": []string{"string", "number", "boolean"}}

var (
	durationOrZero = form{"type": []string{"string", "number"}, "pattern": whole(durationText + "|0"), "minimum": 0, "maximum": 0}
	sizeOrNumber   = form{"type": []string{"string", "integer"}, "pattern": whole("[0-9]{1,12}(KiB|MiB|GiB)?"), "minimum": 1, "maximum": 1 << 30}
)

// number is a number, or the text of one, with keywords and their values.
func number(name string, keywords ...any) form {
	f := form{"type": []string{name, "string"}, "pattern": whole(numberText)}
	for i := 0; i < len(keywords); i += 2 {
		f[keywords[i].(string)] = keywords[i+1]
	}
	return f
}

// choice is one of some texts; true and false are also what YAML calls so.
func choice(texts ...string) form {
	values := []any{}
	for _, text := range texts {
		if text == "true" || text == "false" {
			values = append(values, text == "true")
		}
	}
	for _, text := range texts {
		values = append(values, text)
	}
	return form{"anyOf": []form{{"enum": values}, {"type": "string", "pattern": variableText}}}
}

// notes are what the example file says of each key.
type notes map[string]note

type note struct {
	comment string
	preset  any // nil: none
}

// describe adds to a value's form what a person is to know of it.
func (n note) describe(f field, of form) form {
	described := form{}
	for keyword, value := range of {
		described[keyword] = value
	}
	text := "Allowed: " + f.value.allowed() + "."
	if n.comment != "" {
		text = strings.ToUpper(n.comment[:1]) + n.comment[1:] + ".\n" + text
	}
	described["description"] = text
	if n.preset != nil && !f.required {
		described["default"] = n.preset
	}
	return described
}

// Schema returns the JSON Schema (draft-07) of the configuration. Descriptions and defaults are taken from the
// example file, in which every key stands with its default and a comment.
func Schema(example []byte) ([]byte, error) {
	known, err := readNotes(example)
	if err != nil {
		return nil, fmt.Errorf("schema: the example: %w", err)
	}
	s := new(Config).fields().schema("", known)
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["title"] = "pollbridge configuration"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

var (
	commentedKey = regexp.MustCompile(`(?m)^( *)# ([a-z_]+: )`)
	comment      = regexp.MustCompile(` +# (.*)$`)
)

// readNotes reads the comments and values of an example file. A key that is commented out has no default.
func readNotes(example []byte) (notes, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(commentedKey.ReplaceAll(example, []byte("$1$2")), &doc); err != nil {
		return nil, err
	}
	known, lines := notes{}, strings.Split(string(example), "\n")
	var walk func(prefix string, n *yaml.Node) error
	walk = func(prefix string, n *yaml.Node) error {
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			key, line := join(prefix, k.Value), lines[k.Line-1]
			found := note{}
			if m := comment.FindStringSubmatch(line); m != nil {
				found.comment = strings.TrimSuffix(m[1], ".")
			}
			block := v.Style&yaml.FlowStyle == 0 && v.Kind != yaml.ScalarNode
			if !block && !commentedKey.MatchString(line) {
				if err := v.Decode(&found.preset); err != nil {
					return err
				}
			}
			known[key] = found
			switch {
			case block && v.Kind == yaml.SequenceNode && slices.ContainsFunc(v.Content, isMapping):
				v = v.Content[0]
			case !block:
				continue
			}
			if err := walk(key, v); err != nil {
				return err
			}
		}
		return nil
	}
	if len(doc.Content) == 0 {
		return known, nil
	}
	return known, walk("", doc.Content[0])
}

func isMapping(n *yaml.Node) bool { return n.Kind == yaml.MappingNode }
