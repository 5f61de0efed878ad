// Package docs holds the documentation to what the program does.
package docs

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"pollbridge/config"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A setting is one row of the tables of configuration.md.
type setting struct {
	key, preset, example string // preset is YAML, or "required" or "absent"
}

var row = regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| [^|]+ \\| ([^|]+) \\| `([^|]+)` \\| [^|]+ \\|$")

func settings(t *testing.T) (all []setting) {
	t.Helper()
	for _, m := range row.FindAllStringSubmatch(read(t, "configuration.md"), -1) {
		all = append(all, setting{m[1], strings.Trim(m[2], "`"), m[3]})
	}
	return all
}

// exampleKeys are the keys of config.example.yaml that have a value of their
// own, in order, with that value. One that is commented out is tagged !absent.
func exampleKeys(t *testing.T) (keys []string, values map[string]*yaml.Node) {
	t.Helper()
	commented := regexp.MustCompile(`(?m)^( *)# ([a-z_]+): `)
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(commented.ReplaceAllString(read(t, "../config.example.yaml"), "$1$2: !absent ")), &document); err != nil {
		t.Fatal(err)
	}
	values = map[string]*yaml.Node{}
	var walk func(prefix string, n *yaml.Node)
	walk = func(prefix string, n *yaml.Node) {
		if n.Kind == yaml.SequenceNode {
			n = n.Content[0]
		}
		for i := 0; i < len(n.Content); i += 2 {
			key, value := prefix+n.Content[i].Value, n.Content[i+1]
			if slices.Contains([]string{"log", "endpoints", "limits"}, key) {
				walk(key+".", value)
				continue
			}
			keys = append(keys, key)
			values[key] = value
		}
	}
	walk("", document.Content[0])
	return keys, values
}

// TestSettings holds that configuration.md has every key of
// config.example.yaml, in its order, with its default.
func TestSettings(t *testing.T) {
	keys, values := exampleKeys(t)
	var documented []string
	for _, s := range settings(t) {
		documented = append(documented, s.key)
		value, ok := values[s.key]
		switch {
		case !ok || s.preset == "required":
		case value.Tag == "!absent" || s.preset == "absent":
			if value.Tag != "!absent" || s.preset != "absent" {
				t.Errorf("%s: the default is %s, but the example has %q", s.key, s.preset, value.Value)
			}
		default:
			var want, got any
			if err := yaml.Unmarshal([]byte(s.preset), &got); err != nil {
				t.Errorf("%s: the default %s: %v", s.key, s.preset, err)
			}
			if err := value.Decode(&want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: the default is %v, but the example has %v", s.key, got, want)
			}
		}
	}
	if !slices.Equal(documented, keys) {
		t.Errorf("documented are\n%v\nthe example has\n%v", documented, keys)
	}
}

// TestSettingExamples holds that the example of each setting is understood and
// is not the default.
func TestSettingExamples(t *testing.T) {
	plain, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings(t) {
		got, err := parse(map[string]string{s.key: s.example})
		switch {
		case err != nil:
			t.Errorf("%s: %s is not understood: %v", s.key, s.example, err)
		case reflect.DeepEqual(got, plain):
			t.Errorf("%s: %s is no other than what it is without", s.key, s.example)
		}
	}
}

// parse reads the least configuration there is with other values of some keys.
func parse(set map[string]string) (*config.Config, error) {
	values := map[string]string{"upstream": `"http://127.0.0.1:9000"`, "endpoints.path": "/api/x", "endpoints.interval": "2s"}
	for key, value := range set {
		values[key] = value
	}
	groups := map[string][]string{}
	var lines []string
	for key, value := range values {
		if group, name, nested := strings.Cut(key, "."); nested {
			groups[group] = append(groups[group], name+": "+value)
		} else {
			lines = append(lines, key+": "+value)
		}
	}
	for group, members := range groups {
		value := "{" + strings.Join(members, ", ") + "}"
		if group == "endpoints" {
			value = "[" + value + "]"
		}
		lines = append(lines, group+": "+value)
	}
	c, err := config.Parse("example.yaml", []byte(strings.Join(lines, "\n")+"\n"), nil)
	if err == nil {
		c.Endpoints[0].Line = 0
	}
	return c, err
}

// TestBlocks holds that every YAML block of the documentation is a
// configuration, or the endpoints of one.
func TestBlocks(t *testing.T) {
	for _, file := range []string{"../README.md", "configuration.md", "getting-started.md", "observability.md", "troubleshooting.md", "behind.md"} {
		for i, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(read(t, file), -1) {
			text := m[1]
			if !strings.Contains(text, "upstream:") {
				text += "upstream: \"http://127.0.0.1:9000\"\n"
			}
			getenv := func(name string) (string, bool) { return "value-of-" + name, true }
			if _, err := config.Parse(fmt.Sprintf("%s, block %d", file, i+1), []byte(text), getenv); err != nil {
				t.Error(err)
			}
		}
	}
}
