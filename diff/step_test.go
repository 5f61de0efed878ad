package diff

import "testing"

// equalFrom says what equalScalars says, of all pairs of short numbers and a few
// strings.
func TestEqualFrom(t *testing.T) {
	t.Parallel()
	const alphabet = "012.e-"
	var list []string
	for n, from := 1, 0; n <= 5; n++ {
		if n == 1 {
			list = append(list, "")
		}
		end := len(list)
		for _, s := range list[from:end] {
			for _, c := range alphabet {
				list = append(list, s+string(c))
			}
		}
		from = end
	}
	var valid [][]byte
	for _, s := range append(list, `"a"`, `"b"`, `"\u0061"`, `"\u0062"`, `"a\n"`, `"a\u000a"`, "true", "null") {
		if b := []byte(s); len(b) > 0 && scanScalar(b, 0) == len(b) {
			valid = append(valid, b)
		}
	}
	values := make([]string, len(valid))
	for i, a := range valid {
		values[i] = readTree(a).String()
	}
	for i, a := range valid {
		for j, b := range valid {
			same := commonPrefix(a, b)
			if got, want := equalFrom(a, b, same), values[i] == values[j]; i != j && got != want {
				t.Fatalf("%s and %s, alike for %d bytes: %v", a, b, same, got)
			}
		}
	}
	if len(valid) < 500 {
		t.Fatalf("%d scalars only", len(valid))
	}
}
