package passthrough

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// BenchmarkGet is one request after the other for 1 KB of JSON over loopback: to the upstream itself, by way of a bare
// httputil.ReverseProxy on the same transport, and by way of the handler.
func BenchmarkGet(b *testing.B) {
	body := strings.Repeat("x", 1024)
	upstream := serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	}))
	tr := NewTransport()
	b.Cleanup(tr.CloseIdleConnections)
	bare := &httputil.ReverseProxy{Transport: tr, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		r.SetXForwarded()
	}}
	for _, c := range []struct {
		name string
		url  *url.URL
	}{
		{"direct", upstream},
		{"bare", serve(b, bare)},
		{"passthrough", serve(b, New(Options{Upstream: upstream, Transport: tr}))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			client := client(b)
			for b.Loop() {
				res, err := client.Get(c.url.String())
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}
