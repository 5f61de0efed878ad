package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pollbridge/config"
)

// BenchmarkGet is one poll of an old poller: 50 KB from the snapshot over
// loopback, what the client does included.
func BenchmarkGet(b *testing.B) {
	body := `{"text":"` + strings.Repeat("0123456789", 5000) + `"}`
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	}))
	defer upstream.Close()
	cfg, err := config.Parse("bench.yaml", []byte("upstream: "+upstream.URL+"\nendpoints: [{path: /api/x, interval: 1h, vary: []}]"), nil)
	if err != nil {
		b.Fatal(err)
	}
	p, err := New(cfg, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	front := httptest.NewServer(p)
	defer front.Close()
	poller := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		res, err := poller.Get(front.URL + "/api/x")
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, res.Body); n != int64(len(body)) {
			b.Fatal(n, err)
		}
		res.Body.Close()
	}
}
