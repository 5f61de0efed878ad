package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

const example = "../config.example.yaml"

// commented is an option whose default is that it is absent, as the example shows it.
var commented = regexp.MustCompile(`(?m)^( *)# ([a-z_]+: )`)

func readExample(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestExampleIsDefault holds that the example as it stands says the defaults and nothing else.
func TestExampleIsDefault(t *testing.T) {
	c, err := Parse(example, []byte(readExample(t)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Upstream.String(); got != "http://127.0.0.1:9000" {
		t.Errorf("upstream %s", got)
	}
	rule := defaultEndpoint()
	rule.Path, rule.Interval, rule.Line = "/api/stations/{region}", 2*time.Second, c.Endpoints[0].Line
	if !reflect.DeepEqual(c.Endpoints, []Endpoint{rule}) {
		t.Errorf("got\n%+v\nwant\n%+v", c.Endpoints, rule)
	}
	c.Upstream, c.Endpoints = nil, nil
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("got\n%+v\nwant\n%+v", c, Default())
	}
}

// TestExampleIsComplete holds that every key stands in the example, in the order of the table, with a comment.
func TestExampleIsComplete(t *testing.T) {
	text := commented.ReplaceAllString(readExample(t), "$1$2")
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text, "\n")
	var got []string
	walkNode(doc.Content[0], "", func(key string, n *yaml.Node) {
		got = append(got, key)
		if n.Kind == yaml.ScalarNode && !strings.Contains(lines[n.Line-1], " # ") {
			t.Errorf("%s has no comment", key)
		}
	})
	if want := allKeys(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestExampleUncommented holds that what is commented out is right.
func TestExampleUncommented(t *testing.T) {
	text := readExample(t)
	found := commented.FindAllStringIndex(text, -1)
	if len(found) == 0 {
		t.Fatal("nothing is commented out")
	}
	for _, at := range found {
		changed := text[:at[0]] + commented.ReplaceAllString(text[at[0]:at[1]], "$1$2") + text[at[1]:]
		_, err := Parse(example, []byte(changed), nil)
		if err != nil {
			t.Error(err)
		}
	}
}

// allKeys are the keys that the parser knows, in the order of the table, without indexes.
func allKeys() []string {
	var keys []string
	var walk func(prefix string, s shape)
	walk = func(prefix string, s shape) {
		switch s := s.(type) {
		case object:
			for _, f := range s {
				key := join(prefix, f.name)
				keys = append(keys, key)
				walk(key, f.value)
			}
		case optional[TLS]:
			walk(prefix, s.fields(new(TLS)))
		case optional[Tracing]:
			walk(prefix, s.fields(new(Tracing)))
		case list[Endpoint]:
			walk(prefix, s.item(new(Endpoint)))
		}
	}
	walk("", new(Config).fields())
	return keys
}

// walkNode visits the keys of mappings, and of those in lists.
func walkNode(n *yaml.Node, prefix string, visit func(key string, value *yaml.Node)) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			walkNode(item, prefix, visit)
		}
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			key := join(prefix, n.Content[i].Value)
			visit(key, n.Content[i+1])
			walkNode(n.Content[i+1], key, visit)
		}
	}
}
