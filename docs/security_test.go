package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityIsTested holds that every test that security.md names is one, and
// that every promise in its tables names one.
func TestSecurityIsTested(t *testing.T) {
	tests := make(map[string]bool)
	for _, pattern := range []string{"../*_test.go", "../*/*_test.go", "../internal/*/*_test.go"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
					tests[f.Name.Name] = true
				}
			}
		}
	}
	text := read(t, "security.md")
	name := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`")
	named := name.FindAllStringSubmatch(text, -1)
	for _, m := range named {
		if !tests[m[1]] {
			t.Errorf("there is no test %s", m[1])
		}
	}
	if len(named) < 50 {
		t.Errorf("only %d tests are named", len(named))
	}
	promises := false
	for line := range strings.Lines(text) {
		row := strings.HasPrefix(line, "|")
		switch {
		case !row:
			promises = false
		case strings.Contains(line, "held by"):
			promises = true
		case promises && !strings.HasPrefix(line, "| ---") && !name.MatchString(line):
			t.Errorf("no test holds %s", line)
		}
	}
}
