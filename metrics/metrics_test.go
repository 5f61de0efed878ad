package metrics

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pollbridge/config"
	"pollbridge/poller"
	"pollbridge/proxy"
)

// busy is the status of a proxy with n rules in each of which everything has
// happened.
func busy(n int) proxy.Status {
	times := poller.Times{}
	for _, d := range append([]time.Duration{time.Minute}, poller.Within[:]...) {
		times.Observe(d, 123456)
	}
	s := proxy.Status{}
	for i := range n {
		s.Rules = append(s.Rules, poller.RuleStatus{
			Rule: fmt.Sprintf("/api/some/longer/path/{region}/stations-%d", i), Resources: 12345, Failing: 123, Watchers: 123456,
			Stalest: time.Hour, Told: times, Diffed: poller.Elapsed{Count: 1234567, Sum: 123456 * time.Millisecond}, Resumed: poller.Resumes{Unchanged: 12345, Patch: 12345, Snapshot: 123},
			Failed: map[string]uint64{
				poller.CodeUnauthorized: 1, poller.CodeForbidden: 1, poller.CodeGone: 1, poller.CodeStatus: 12345, poller.CodeUnreachable: 1,
				poller.CodeTimeout: 1, poller.CodeBodyTooLarge: 1, poller.CodeBodyInvalid: 1, poller.CodeUnsupportedType: 1, poller.CodeNotShareable: 1,
			},
			Counts: poller.Counts{
				Changed: 1234567, Unchanged: 12345678, NotModified: 12345678, Errors: 12345, Flaps: 123, PollTimes: times, PolledBytes: 123456789012,
				Snapshots: 123456, SnapshotBytes: 123456789012, Patches: 123456789, PatchBytes: 123456789012, Answers: 123456789, AnswerBytes: 123456789012,
				WatchedSeconds: 1234567.891, WouldRequests: 12345678.912, WouldBytes: 12345678912345.678,
			},
		})
	}
	return s
}

func scrape(t testing.TB, h http.Handler, encoding string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept-Encoding", encoding)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w
}

// TestScrapeIsBounded holds how large a scrape becomes at most.
func TestScrapeIsBounded(t *testing.T) {
	const rules = 1000
	h := New(Options{Status: func() proxy.Status { return busy(rules) }})
	plain := scrape(t, h, "").Body.String()
	lines, of := 0, "stations-7\""
	for line := range strings.Lines(plain) {
		if strings.Contains(line, of) {
			lines++
		}
	}
	compressed := scrape(t, h, "gzip").Body
	small := compressed.Len()
	z, err := gzip.NewReader(compressed)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, z); err != nil || n < int64(len(plain))/2 {
		t.Errorf("%d bytes were compressed: %v", n, err)
	}
	t.Logf("%d rules: %d lines each, %d bytes, %d compressed", rules, lines, len(plain), small)
	if lines > 66 || len(plain) > 8<<20 || small > 512<<10 {
		t.Error("that is too much")
	}
	unused := 0
	h = New(Options{Status: func() proxy.Status { return proxy.Status{Rules: []poller.RuleStatus{{Rule: "/unused"}}} }})
	for line := range strings.Lines(scrape(t, h, "").Body.String()) {
		if strings.Contains(line, "/unused") {
			unused++
		}
	}
	if unused != 25 {
		t.Errorf("a rule that nobody has used has %d lines: say so in docs/metrics.md", unused)
	}
}

// An answering is an upstream that has one answer for everything.
type answering string

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(a)),
		Body: io.NopCloser(strings.NewReader(string(a))), Request: r, ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// BenchmarkScrape is one scrape of a proxy that polls many resources, and of one
// with many rules.
func BenchmarkScrape(b *testing.B) {
	b.Run("resources=10000", func(b *testing.B) {
		cfg, err := config.Parse("bench.yaml", []byte("upstream: http://127.0.0.1:1\nendpoints: [{path: '/api/{n}', interval: 1h, vary: []}]"), nil)
		if err != nil {
			b.Fatal(err)
		}
		p, err := proxy.New(cfg, proxy.Options{Transport: answering(`{"a":[1,2,3],"b":"` + strings.Repeat("x", 1000) + `"}`)})
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		rule := &poller.Rule{Name: "/api/{n}", Interval: time.Hour}
		for i := range 10_000 {
			news := make(poller.Signal, 1)
			w, err := p.Poller().Watch(poller.Request{Rule: rule, URL: fmt.Sprintf("/api/%d", i)}, news)
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			<-news
		}
		h := New(Options{Status: p.Status})
		b.ReportAllocs()
		for b.Loop() {
			scrape(b, h, "")
		}
	})
	b.Run("rules=1000", func(b *testing.B) {
		s := busy(1000)
		h := New(Options{Status: func() proxy.Status { return s }})
		b.ReportAllocs()
		for b.Loop() {
			scrape(b, h, "gzip")
		}
	})
}
