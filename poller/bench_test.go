package poller

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// roundTrip is an upstream in this process, so that what is measured is ours.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// BenchmarkPoll is one poll that changes nothing: of 50 KB that are the same,
// and of a 304.
func BenchmarkPoll(b *testing.B) {
	body := []byte(`{"text":"` + strings.Repeat("0123456789", 5000) + `"}`)
	for _, c := range []struct {
		name string
		etag string
	}{{"same", ""}, {"304", `"1"`}} {
		b.Run(c.name, func(b *testing.B) {
			p := New(Options{
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					res := &http.Response{StatusCode: 200, ProtoMajor: 1, Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)), Request: r}
					if c.etag != "" {
						res.Header.Set("Etag", c.etag)
					}
					if res.Body = io.NopCloser(bytes.NewReader(body)); r.Header.Get("If-None-Match") != "" {
						res.StatusCode, res.ContentLength, res.Body = 304, 0, http.NoBody
					}
					return res, nil
				}),
			})
			defer p.Close()
			req := Request{Rule: rule(), URL: "/x"}
			r := newResource(p, p.fetch.key(req), req)
			r.poll(b.Context())
			b.ReportAllocs()
			for b.Loop() {
				r.poll(b.Context())
			}
		})
	}
}

// BenchmarkJoin is one watcher that comes and goes.
func BenchmarkJoin(b *testing.B) {
	p := New(Options{})
	defer p.Close()
	req := Request{Rule: rule(), URL: "/x"}
	r := newResource(p, p.fetch.key(req), req)
	w := new(counter)
	defer r.join(w, true).Close()
	b.ReportAllocs()
	for b.Loop() {
		r.join(w, true).Close()
	}
}
