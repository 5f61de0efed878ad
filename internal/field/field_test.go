package field

import (
	"slices"
	"testing"
)

func TestList(t *testing.T) {
	for _, test := range []struct{ values, want []string }{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{" , ,"}, nil},
		{[]string{"Private, max-age=5", "NO-STORE"}, []string{"private", "max-age=5", "no-store"}},
	} {
		if got := List(test.values); !slices.Equal(got, test.want) {
			t.Errorf("List(%q): %q, want %q", test.values, got, test.want)
		}
	}
}
