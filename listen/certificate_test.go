package listen

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

func TestDoubt(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pair := &tls.Certificate{Leaf: &x509.Certificate{NotBefore: from, NotAfter: from.AddDate(0, 0, 90)}}
	const day = 24 * time.Hour
	for _, test := range []struct {
		after time.Duration
		want  string
	}{
		{-time.Second, "it is not valid before 2026-01-01T00:00:00Z"},
		{0, ""},
		{81 * day, ""},
		{81*day + time.Second, "it ends at 2026-04-01T00:00:00Z"},
		{90 * day, "it ends at 2026-04-01T00:00:00Z"},
		{90*day + time.Second, "it has ended at 2026-04-01T00:00:00Z"},
	} {
		if got := Doubt(pair, from.Add(test.after)); got != test.want {
			t.Errorf("after %v: %q, want %q", test.after, got, test.want)
		}
	}
}
