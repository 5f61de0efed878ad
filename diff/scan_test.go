package diff

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestScanScalars scans short scalars wherever they may stand in a word and
// however near to the end of the text, and has encoding/json judge.
func TestScanScalars(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		letters := "0123456789" + strings.Repeat("05.-eE+", r.IntN(3))
		if r.IntN(3) == 0 {
			letters = "a\"\\u00#]!\x00\x1f\x20\x7f\x80\x82\xa2\xdc\xff"
		}
		b := make([]byte, r.IntN(20))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		text := string(b)
		if letters[0] == 'a' {
			text = `"` + text + `"`
		}
		for _, rest := range []string{"", ",", "  ", "}       ", ",\"0123456789012345"} {
			raw := []byte("[" + text + rest)
			end := scanScalar(raw, 1)
			if got, want := end == 1+len(text), json.Valid([]byte(text)); got != want {
				t.Fatalf("%q is scanned up to %d in %q", text, end, raw)
			}
		}
	}
}
