package tracing

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TestWhatClientsChooseIsBounded holds that neither the names nor the values of
// spans are of any length, or of any number, because a client wants it.
func TestWhatClientsChooseIsBounded(t *testing.T) {
	spans := make(chan *otlp.Span, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var data otlp.TracesData
		if err := proto.Unmarshal(body, &data); err != nil {
			t.Error(err)
		}
		for _, resource := range data.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, s := range scope.Spans {
					spans <- s
				}
			}
		}
	}))
	defer collector.Close()
	tracer, err := New(t.Context(), Options{Endpoint: collector.URL, Sample: 1, Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(strings.Repeat("X", 10_000), "/", nil)
	r.Header.Set("Tracestate", strings.Repeat("a=b,", 10_000))
	span := tracer.Request(r)
	span.Set(slog.String("url.path", strings.Repeat("x", 100_000)))
	span.Set(slog.String("http.route", "/api/{x}"))
	span.End(nil)
	tracer.Close()
	got := <-spans
	if got.Name != "HTTP /api/{x}" {
		t.Errorf("the span is called %q", got.Name)
	}
	if n := proto.Size(got); n > 1000 {
		t.Errorf("it has %d bytes", n)
	}
}

// TestRedirectIsNotFollowed holds that the headers, which may hold a token, are
// sent to the collector that was named and to nobody else.
func TestRedirectIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was sent %v", r.Header)
	}))
	defer other.Close()
	collector := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer collector.Close()
	var log strings.Builder
	tracer, err := New(t.Context(), Options{
		Endpoint: collector.URL, Sample: 1, Headers: map[string]string{"X-Token": "hunter2"}, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	tracer.Poll("/api/x").End(nil)
	tracer.Close()
	if !strings.Contains(log.String(), "307 Temporary Redirect") || strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log says %s", log.String())
	}
}
