package config

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// Lines returns where the keys of a file that Parse takes stand: line numbers by key, such as "endpoints[0].vary".
// Of a file that is no YAML there are none.
func Lines(data []byte) map[string]int {
	root, _, err := document(data)
	if err != nil {
		return nil
	}
	lines := map[string]int{}
	var walk func(key string, n *yaml.Node)
	walk = func(key string, n *yaml.Node) {
		switch n.Kind {
		case yaml.SequenceNode:
			for i, item := range n.Content {
				child := fmt.Sprintf("%s[%d]", key, i)
				lines[child] = item.Line
				walk(child, item)
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				child := join(key, n.Content[i].Value)
				lines[child] = n.Content[i].Line
				walk(child, n.Content[i+1])
			}
		}
	}
	walk("", root)
	return lines
}
