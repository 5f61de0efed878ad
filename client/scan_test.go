package client

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// checkScan holds scan to encoding/json: the same texts are valid, and taken
// apart to the last value and put together again they are what json.Compact says.
func checkScan(t *testing.T, text []byte) {
	t.Helper()
	n, err := scan(text)
	if (err == nil) != json.Valid(text) {
		t.Fatalf("scan says %v of %.200q, json.Valid says %t", err, text, json.Valid(text))
	}
	if err != nil {
		return
	}
	openAll(&n)
	var want bytes.Buffer
	if err := json.Compact(&want, text); err != nil {
		t.Fatal(err)
	}
	if got := n.write(nil); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%.200q became %.200q, want %.200q", text, got, want.Bytes())
	}
}

// openAll marks everything as changed, so that it is written anew.
func openAll(n *node) {
	t := n.open()
	if t == nil {
		return
	}
	t.changed = true
	for i := range t.nodes {
		openAll(&t.nodes[i])
	}
}

// TestScanSuite runs github.com/nst/JSONTestSuite.
func TestScanSuite(t *testing.T) {
	files, _ := filepath.Glob("../../shared/suites/JSONTestSuite/*.json")
	if len(files) == 0 {
		t.Skip("../../shared/suites/JSONTestSuite is not there")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(file), func(t *testing.T) { checkScan(t, text) })
	}
	t.Logf("%d files", len(files))
}

var scanSeeds = []string{
	`{"a":[1,-2.5e+10,true,false,null,"x\u00e9\n"],"b":{},"c":[]}`, ` [ ] `, `"\ud800"`, `-0`, `01`, `1.`, `.5`, `1e`, `-`,
	`[1,]`, `{"a"}`, `{"a":}`, `{,}`, `{1:2}`, `tru`, `truex`, `"\x"`, `"\u12"`, "\"\x00\"", "\"\xff\"", `[}`, `{]`, `[[]`, `""""`, "\ufeff{}",
}

func FuzzScan(f *testing.F) {
	for _, s := range scanSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) { checkScan(t, text) })
}

// FuzzString holds unquote to encoding/json, except for lone surrogates, and
// quote to unquote.
func FuzzString(f *testing.F) {
	for _, s := range []string{`a`, `\u00e9\/\b\f\n\r\t\"\\`, `\ud83d\ude00`, `\ud83d\ud83d\ude00`, `\ud800`, `\udc00x`, `\u0000`, `\ud83d\u0041`, `é\ue000`} {
		f.Add([]byte(`"` + s + `"`))
	}
	f.Fuzz(func(t *testing.T, written []byte) {
		n, err := scan(written)
		if err != nil || n.kind() != '"' {
			return
		}
		s := unquote(n.text)
		again, err := scan(quote(s))
		if err != nil {
			t.Fatalf("%q was quoted as %q: %v", s, quote(s), err)
		}
		if unquote(again.text) != s {
			t.Errorf("%q became %q became %q", s, quote(s), unquote(again.text))
		}
		var want string
		if err := json.Unmarshal(written, &want); err != nil {
			t.Fatal(err)
		}
		// encoding/json makes U+FFFD of what has no Unicode character.
		if s != want && !bytes.Contains([]byte(want), []byte("\uFFFD")) {
			t.Errorf("%q is %q, want %q", written, s, want)
		}
	})
}

func TestEqualNumbers(t *testing.T) {
	same := [][]string{
		{"0", "-0", "0.0", "0e5", "-0.000e-99999999999999999999"},
		{"1", "1.0", "1e0", "10e-1", "0.1e1", "0.0001E+4", "100000000000000000000e-20"},
		{"-1", "-1.00"},
		{"1.5", "15e-1", "0.15e1"},
		{"9007199254740992", "9007199254740992.0"},
		{"9007199254740993"},
		{"1e400", "10e399", "0.1e401"},
		{"1e401"},
		{"1e-400"},
		{"1e99999999999999999999", "0.001e100000000000000000002"},
		{"123456789.123456789", "123456789123456789e-9"},
	}
	for i, class := range same {
		for _, a := range class {
			for j, other := range same {
				for _, b := range other {
					if got := equalNumbers([]byte(a), []byte(b)); got != (i == j) {
						t.Errorf("equalNumbers(%s, %s) is %t", a, b, got)
					}
				}
			}
		}
	}
}
