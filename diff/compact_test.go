package diff

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestAppendCompact: what is left out is white space outside of strings, wherever
// tokens lie, and nothing behind what is appended is written to.
func TestAppendCompact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tokens := []string{`\\`, `\"`, ` `, "   ", `{`, `:`, `\u0022`, `é`, `x`, "\u007f", "long enough for a word and more"}
	blanks := []string{"", "", " ", "\n\t  ", "\r\n             ", strings.Repeat(" ", 17)}
	for range 2000 {
		var text bytes.Buffer
		blank := func() { text.WriteString(blanks[r.IntN(len(blanks))]) }
		quoted := func() string {
			s := ""
			for range r.IntN(6) {
				s += tokens[r.IntN(len(tokens))]
			}
			return `"` + s + `"`
		}
		blank()
		text.WriteByte('[')
		for i := range r.IntN(5) {
			if i > 0 {
				text.WriteByte(',')
			}
			blank()
			switch r.IntN(3) {
			case 0:
				text.WriteString(quoted())
			case 1:
				text.WriteString(`-1.5e3`)
			default:
				text.WriteByte('{')
				blank()
				text.WriteString(quoted())
				blank()
				text.WriteByte(':')
				blank()
				text.WriteString(quoted())
				blank()
				text.WriteByte('}')
			}
			blank()
		}
		text.WriteByte(']')
		blank()
		var want bytes.Buffer
		if err := json.Compact(&want, text.Bytes()); err != nil {
			t.Fatalf("%q: %v", text.Bytes(), err)
		}
		doc, err := (*Differ)(nil).Parse(text.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		buf := bytes.Repeat([]byte("#"), want.Len()+16)
		if got := doc.AppendCompact(buf[:1]); string(got) != "#"+want.String() || string(buf[len(got):]) != strings.Repeat("#", len(buf)-len(got)) {
			t.Fatalf("%q\ngot  %q\nwant %q\nbuffer %q", text.Bytes(), got, want.Bytes(), buf)
		}
	}
}
