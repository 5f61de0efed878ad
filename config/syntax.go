package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// document returns the root of the one YAML document in data, a mapping; of an empty file it is an empty one.
// The error stands on the line. A file with a syntax error has this one alone, as what follows it cannot be told.
func document(data []byte) (root *yaml.Node, line int, err error) {
	if !utf8.Valid(data) {
		return nil, 1 + bytes.Count(valid(data), []byte("\n")), errors.New("found bytes that are not UTF-8, allowed: text in UTF-8")
	}
	docs, err := parse(data)
	if err != nil {
		line := failing(data, err)
		return nil, line, errors.New(explain(err, bytes.Split(data, []byte("\n"))[line-1]))
	}
	switch {
	case len(docs) == 0:
		return &yaml.Node{Kind: yaml.MappingNode, Line: 1}, 0, nil
	case len(docs) > 1:
		return nil, docs[1].Line, errors.New("found a second YAML document, allowed: one")
	}
	return docs[0].Content[0], 0, nil
}

// valid returns the longest beginning of data that is UTF-8.
func valid(data []byte) []byte {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return data[:i]
		}
		i += n
	}
	return data
}

// parse returns the documents in data. yaml.v3 panics where its scanner yields an event that its parser does not
// expect ("internal error … please report"): here that is an error like any other.
func parse(data []byte) (docs []*yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case err == io.EOF:
			return docs, nil
		case err != nil:
			return nil, err
		}
		docs = append(docs, &doc)
	}
}

// failing returns the line of a syntax error: the last one of the shortest beginning of the file that has the same error.
// The line in yaml.v3's own text is often that of the construct around it, or one too low, or missing.
func failing(data []byte, err error) int {
	var ends []int // of each line
	for i, b := range data {
		if b == '\n' || i == len(data)-1 {
			ends = append(ends, i+1)
		}
	}
	same := func(i int) bool {
		_, prefix := parse(data[:ends[i]])
		return prefix != nil && prefix.Error() == err.Error()
	}
	return min(1+sort.Search(len(ends), same), len(ends))
}

var yamlLine = regexp.MustCompile(`^(yaml: )?(line \d+: )?`)

// explain is the message for a syntax error on a line. It leaves out what yaml.v3 quotes of the file.
func explain(err error, line []byte) string {
	indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
	text := yamlLine.ReplaceAllString(err.Error(), "")
	switch {
	case bytes.ContainsRune(indent, '\t'):
		return "found a tab in the indentation, allowed: spaces"
	case strings.Contains(text, "control character"):
		return "found a control character, allowed: text, with escapes such as \"\\t\" in double quotes"
	case strings.Contains(text, "unknown anchor"):
		return "found a YAML alias (*), allowed: values written out, in quotes if they begin with *"
	}
	return "found invalid YAML (" + text + "), allowed: keys of one mapping equally indented, " +
		"and quotes around texts with any of { } [ ] , : # & * ! | > % @ `"
}
