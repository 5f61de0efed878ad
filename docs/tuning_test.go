package docs

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestTuningArithmetic holds that the examples of tuning.md follow from its
// figures.
func TestTuningArithmetic(t *testing.T) {
	text := read(t, "tuning.md")
	each := map[string]float64{}
	for _, what := range []string{"a process that does nothing", "an idle WebSocket", "a resource with a small document", "each byte of a document"} {
		m := regexp.MustCompile(`(?m)^\| ` + what + `[^|]*\| ([0-9,]+) \|`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("there is no figure for %s", what)
		}
		each[what] = number(t, m[1])
	}
	rows := regexp.MustCompile(`(?m)^\| ([0-9,]+) \| (?:([0-9]+) shared documents|(each a document of their own)) \| ([0-9,]+) MB \|$`).FindAllStringSubmatch(text, -1)
	if len(rows) != 4 {
		t.Fatalf("found %d examples", len(rows))
	}
	for _, row := range rows {
		clients := number(t, row[1])
		documents := clients
		if row[2] != "" {
			documents = number(t, row[2])
		}
		want := each["a process that does nothing"] + clients*each["an idle WebSocket"] + documents*50_000*each["each byte of a document"]
		if got := number(t, row[4]); got < want/1e6-1 || got > want/1e6+1 {
			t.Errorf("%s: by the figures it is %.0f MB", row[0], want/1e6)
		}
	}
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
