package config

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// unseen are the files of testdata/config whose errors no schema can see, each with the reason.
var unseen = map[string]string{
	"addresses-default.yaml":  "between keys",
	"addresses-same.yaml":     "between keys",
	"headers-vary.yaml":       "between keys",
	"upstream-admin.yaml":     "between keys",
	"upstream-self.yaml":      "between keys",
	"upstream-self-unix.yaml": "between keys",
	"paths-reserved.yaml":     "what a path may not begin with",
	"paths-socket.yaml":       "between keys",
	"paths-conflict.yaml":     "between rules",
	"twice.yaml":              "a validator is given one of two equal keys",
	"second-document.yaml":    "a validator is given the first of two documents",
	"upstream-path.yaml":      "which paths are clean",
	"upstream-port.yaml":      "which ports there are",
	"unquoted-variable.yaml":  "no YAML",
	"alias-bomb.yaml":         "aliases",
	"alias-cycle.yaml":        "aliases",
	"aliases.yaml":            "aliases",
	"alias-unknown.yaml":      "no YAML",
	"bracket-later.yaml":      "no YAML",
	"bracket.yaml":            "no YAML",
	"colon.yaml":              "no YAML",
	"comments-only.yaml":      "no YAML value",
	"control-character.yaml":  "no YAML",
	"empty.yaml":              "no YAML value",
	"indentation.yaml":        "no YAML",
	"not-utf8.yaml":           "no YAML",
	"quote.yaml":              "no YAML",
	"reserved-character.yaml": "no YAML",
	"tab.yaml":                "no YAML",
}

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	text, err := Schema(data)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("pollbridge.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("pollbridge.json")
	if err != nil {
		t.Fatal(err)
	}
	if s.DraftVersion != 7 {
		t.Errorf("draft %d", s.DraftVersion)
	}
	return s
}

// asJSON is the one document of a file as editors' validators see it; not ok where it is no YAML, or has aliases,
// which Parse refuses and which can stand for more than fits in memory.
func asJSON(data []byte) (v any, ok bool) {
	docs, err := parse(data)
	if err != nil || len(docs) == 0 {
		return nil, false
	}
	return nodeJSON(docs[0].Content[0])
}

func nodeJSON(n *yaml.Node) (any, bool) {
	switch n.Kind {
	case yaml.AliasNode:
		return nil, false
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			v, ok := nodeJSON(item)
			if !ok {
				return nil, false
			}
			list = append(list, v)
		}
		return list, true
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			v, ok := nodeJSON(n.Content[i+1])
			if !ok {
				return nil, false
			}
			m[n.Content[i].Value] = v
		}
		return m, true
	}
	switch n.ShortTag() {
	case "!!int", "!!float", "!!bool", "!!null":
		var v any
		err := n.Decode(&v)
		return v, err == nil
	}
	return n.Value, true
}

// TestSchema holds the schema against every file of testdata/config and the example: what is right validates, and
// what is wrong does not, but for what no schema can see.
func TestSchema(t *testing.T) {
	s := compileSchema(t)
	files, _ := filepath.Glob(testdata + "/*.yaml")
	seen, good := 0, 0
	for _, file := range append(files, example) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		_, err = Parse(name, data, environment)
		v, isYAML := asJSON(data)
		var invalid error
		if isYAML {
			invalid = s.Validate(v)
		}
		_, excused := unseen[name]
		switch {
		case err == nil && !isYAML, err == nil && invalid != nil:
			t.Errorf("%s is right, and the schema says: %v", name, invalid)
		case err == nil:
			good++
		case invalid == nil && !excused:
			t.Errorf("%s is wrong, and the schema does not see it:\n%v", name, err)
		case invalid != nil && excused:
			t.Errorf("%s: the schema sees that it is wrong: take it off the list", name)
		case invalid != nil:
			seen++
		}
	}
	t.Logf("%d right, %d seen to be wrong", good, seen)
	if good < 5 || seen < 15 {
		t.Errorf("only %d right and %d wrong files were tried", good, seen)
	}
	for name, why := range unseen {
		if !slices.Contains(files, filepath.Join(testdata, name)) || why == "" {
			t.Errorf("%s: no such file, or no reason", name)
		}
	}
}

// TestSchemaDescribes holds that every key is described, with its default where it has one.
func TestSchemaDescribes(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	known, err := readNotes(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range allKeys() {
		n, ok := known[key]
		switch {
		case slices.Contains([]string{"log", "endpoints", "limits", "tls", "tls.cert", "tls.key", "tracing", "tracing.endpoint", "tracing.sample", "tracing.headers"}, key): // mappings, and what has no line
		case !ok, n.comment == "" || n.preset == nil:
			t.Errorf("%s: comment %q, default %v", key, n.comment, n.preset)
		}
	}
}

// FuzzSchema holds that the schema refuses nothing that Parse takes: an editor never complains of what is right.
func FuzzSchema(f *testing.F) {
	files, _ := filepath.Glob(testdata + "/*.yaml")
	for _, file := range append(files, example) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, value := range []string{"0", "-0s", "+1h", `"0"`, ".5s", "1.h", "010", "1e3", "+5", "0x1p-2", "1.10", "true", "2001-01-01", "${INTERVAL}", "'2.5'"} {
		for _, key := range []string{"drain", "interval", "timeout", "upstream_rate", "resources", "max_body", "confirm_shrink", "drop_query", "keys", "serve", "header"} {
			f.Add([]byte(least(key, value)))
		}
	}
	s := compileSchema(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Parse("fuzz.yaml", data, environment); err != nil {
			return
		}
		v, ok := asJSON(data)
		if !ok {
			return
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s\nis right, and the schema says: %v", data, err)
		}
	})
}

// least is the least file there is, with a value for one key.
func least(key, value string) string {
	rule := map[string]string{"path": "/a", "interval": "2s"}
	outside := ""
	switch key {
	case "drain":
		outside = key + ": " + value
	case "upstream_rate", "resources":
		outside = "limits: {" + key + ": " + value + "}"
	case "drop_query":
		rule[key] = "[" + value + "]"
	case "keys":
		rule[key] = `{"": ` + value + "}"
	case "header":
		rule["headers"] = "{X-A: " + value + "}"
	default:
		rule[key] = value
	}
	var members []string
	for k, v := range rule {
		members = append(members, k+": "+v)
	}
	return "upstream: http://127.0.0.1:9000\n" + outside + "\nendpoints: [{" + strings.Join(members, ", ") + "}]\n"
}
