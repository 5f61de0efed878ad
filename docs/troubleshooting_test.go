package docs

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pollbridge/config"
)

// TestMessages holds that the messages of troubleshooting.md are messages of
// the program: that each line is made of the texts in its sources.
func TestMessages(t *testing.T) {
	var patterns []*regexp.Regexp
	inspect(t, func(n ast.Node) {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return
		}
		text, err := strconv.Unquote(literal.Value)
		if err == nil && len(verb.ReplaceAllLiteralString(text, "")) >= 15 { // "%s: %d" would match anything
			patterns = append(patterns, regexp.MustCompile(asPattern(text)))
		}
	})
	_, err := config.Parse("config.yaml", []byte("upstreem: http://127.0.0.1:9000\nendpoints: [{path: /a, interval: 1s}]\n"), nil)
	for line := range strings.Lines(err.Error()) {
		patterns = append(patterns, regexp.MustCompile("^"+regexp.QuoteMeta(strings.TrimSpace(line))+"$"))
	}
	lines := 0
	for _, m := range regexp.MustCompile("(?ms)^```text\n(.*?)^```$").FindAllStringSubmatch(read(t, "troubleshooting.md"), -1) {
		for line := range strings.Lines(m[1]) {
			lines++
			if line = strings.TrimSpace(line); !matchesOne(patterns, line) {
				t.Errorf("the program has no message like this: %s", line)
			}
		}
	}
	if lines == 0 {
		t.Error("troubleshooting.md has no messages")
	}
}

var (
	verb   = regexp.MustCompile(`%[-+#.0-9]*[a-zA-Z]`)
	status = regexp.MustCompile(`^\d{3} [A-Z][A-Za-z ]+: (.*)\.$`) // what the pass-through writes around a reason
)

// asPattern matches what a format makes.
func asPattern(format string) string {
	text := verb.ReplaceAllLiteralString(format, "\x00")
	return "^" + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(text)), "\x00", ".+") + "$"
}

// matchesOne reports whether a line is made by one of the patterns.
func matchesOne(patterns []*regexp.Regexp, line string) bool {
	if m := status.FindStringSubmatch(line); m != nil {
		line = m[1]
	}
	for _, p := range patterns {
		if p.MatchString(line) {
			return true
		}
	}
	return false
}
