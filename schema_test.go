package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// TestSchemaCommand holds that what `schema` prints is a JSON Schema of
// draft-07, by which the example is right and a typing error is none.
func TestSchemaCommand(t *testing.T) {
	t.Parallel()
	printed, err := command(t, t.TempDir(), "schema").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(printed))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("pollbridge.json", text); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("pollbridge.json") // validates it by the schema of schemas
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, right := range []bool{true, false} {
		if !right {
			example = bytes.Replace(example, []byte("\n    linger:"), []byte("\n    lingers:"), 1)
		}
		var v any
		if err := yaml.Unmarshal(example, &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); (err == nil) != right {
			t.Errorf("right: %t, and the schema says: %v", right, err)
		} else if !right && !strings.Contains(err.Error(), "lingers") {
			t.Errorf("the error does not name the key: %v", err)
		}
	}
	if line := "# yaml-language-server: $schema=pollbridge.schema.json\n"; !strings.Contains(strings.Join(blocks(t, "docs/configuration.md", "yaml"), ""), line) {
		t.Error("docs/configuration.md does not say how editors find the schema")
	}
}
