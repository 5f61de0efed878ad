package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A collector takes spans as OTLP over HTTP.
type collector struct {
	*httptest.Server

	mu      sync.Mutex // guards the fields below
	spans   []*otlp.Span
	service []string    // attributes of the resource, as name=value
	header  http.Header // of the latest request
	refuses bool
}

func newCollector(t *testing.T) *collector {
	c := new(collector)
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var data otlp.TracesData
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" ||
		r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &data) != nil {
		http.Error(w, "no OTLP", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header = r.Header
	if c.refuses {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	for _, resource := range data.ResourceSpans {
		c.service = nil
		for _, a := range resource.Resource.Attributes {
			c.service = append(c.service, a.Key+"="+a.Value.GetStringValue())
		}
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

func (c *collector) refuse(refuses bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuses = refuses
}

// wait waits for a span that want says and returns it.
func (c *collector) wait(t *testing.T, what string, want func(*otlp.Span) bool) *otlp.Span {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		i := slices.IndexFunc(c.spans, want)
		spans := c.spans
		c.mu.Unlock()
		if i >= 0 {
			return spans[i]
		}
		if time.Now().After(deadline) {
			t.Fatalf("no span %s came; there are %v", what, spans)
		}
	}
}

func named(name string) func(*otlp.Span) bool {
	return func(s *otlp.Span) bool { return s.Name == name }
}

// said are the attributes of a span, as name=value.
func said(s *otlp.Span) (all []string) {
	for _, a := range s.Attributes {
		v := a.Value.GetStringValue()
		if v == "" {
			v = fmt.Sprint(a.Value.GetIntValue())
		}
		all = append(all, a.Key+"="+v)
	}
	return all
}

const (
	clientTrace  = "0af7651916cd43dd8448eb211c80319c"
	clientSpan   = "b7ad6b7169203331"
	clientParent = "00-" + clientTrace + "-" + clientSpan
)

// traced sends a request as a part of a trace and returns what the upstream saw.
func (r *running) traced(flags string, upstream *api) http.Header {
	r.t.Helper()
	req, _ := http.NewRequest(http.MethodGet, "http://"+r.address+"/elsewhere?key=hunter2", nil)
	req.Header.Set("Traceparent", clientParent+"-"+flags)
	req.Header.Set("Tracestate", "vendor=1")
	req.Header.Set("Baggage", "user=7")
	mark := rand.Text() // polls come in between
	req.Header.Set("X-Mark", mark)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	res.Body.Close()
	upstream.mu.Lock()
	defer upstream.mu.Unlock()
	for _, h := range upstream.headers {
		if h.Get("X-Mark") == mark {
			return h
		}
	}
	r.t.Fatal("the upstream was not asked")
	return nil
}

// TestTraceContext holds that where nothing is traced what a client says of its
// trace is passed on as it came, and that polls have none.
func TestTraceContext(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", `[]`)
	r := serveBinary(t, legacy.URL, "")
	h := r.traced("01", legacy)
	if h.Get("Traceparent") != clientParent+"-01" || h.Get("Tracestate") != "vendor=1" || h.Get("Baggage") != "user=7" {
		t.Errorf("the upstream saw %v", h)
	}
	next(ctx, t, r.dial(ctx, "/api/orders"))
	legacy.mu.Lock()
	defer legacy.mu.Unlock()
	if h := legacy.headers[len(legacy.headers)-1]; h.Get("Traceparent") != "" {
		t.Errorf("a poll was sent with %v", h)
	}
}

// TestTraces holds what spans a collector is sent for polls and requests, and
// what the upstream is told of them.
func TestTraces(t *testing.T) {
	t.Parallel()
	ctx, legacy, c := within(t), newAPI(t), newCollector(t)
	legacy.set("/api/orders", orders("open"))
	r := serveBinary(t, legacy.URL, "tracing: {endpoint: \""+c.URL+"\", sample: 1, headers: {X-Token: hunter2}}\n")

	seen := r.traced("01", legacy)
	span := c.wait(t, "of the request", named("GET"))
	if hex.EncodeToString(span.TraceId) != clientTrace || hex.EncodeToString(span.ParentSpanId) != clientSpan || span.Kind != otlp.Span_SPAN_KIND_SERVER {
		t.Errorf("the request's span is %v", span)
	}
	if want := "00-" + clientTrace + "-" + hex.EncodeToString(span.SpanId) + "-01"; seen.Get("Traceparent") != want || seen.Get("Tracestate") != "vendor=1" || seen.Get("Baggage") != "user=7" {
		t.Errorf("the upstream saw %v, want the traceparent %s", seen, want)
	}
	for _, want := range []string{"http.request.method=GET", "url.path=/elsewhere", "http.response.status_code=404", "pollbridge.transport=pass"} {
		if !slices.Contains(said(span), want) {
			t.Errorf("the request's span says %q, not %s", said(span), want)
		}
	}

	watcher := r.dial(ctx, "/api/orders")
	next(ctx, t, watcher)
	legacy.set("/api/orders", orders("sent"))
	next(ctx, t, watcher)
	push := c.wait(t, "of the push", func(s *otlp.Span) bool { return s.Name == "push" && slices.Contains(said(s), "pollbridge.sent=1") })
	poll := c.wait(t, "of the poll", func(s *otlp.Span) bool { return string(s.SpanId) == string(push.ParentSpanId) })
	diff := c.wait(t, "of the diff", func(s *otlp.Span) bool {
		return s.Name == "diff" && string(s.ParentSpanId) == string(poll.SpanId)
	})
	if poll.Name != "poll /api/orders" || len(poll.ParentSpanId) != 0 || poll.Kind != otlp.Span_SPAN_KIND_CLIENT {
		t.Errorf("the poll's span is %v", poll)
	}
	if diff.StartTimeUnixNano < poll.StartTimeUnixNano || diff.EndTimeUnixNano > poll.EndTimeUnixNano || push.StartTimeUnixNano < diff.EndTimeUnixNano {
		t.Errorf("poll, diff and push are not in order: %v, %v, %v", poll, diff, push)
	}
	for _, want := range []string{"pollbridge.rule=/api/orders", "url.path=/api/orders", "pollbridge.result=changed", "http.response.status_code=200"} {
		if !slices.Contains(said(poll), want) {
			t.Errorf("the poll's span says %q, not %s", said(poll), want)
		}
	}
	parent := "00-" + hex.EncodeToString(poll.TraceId) + "-" + hex.EncodeToString(poll.SpanId) + "-01"
	if !legacy.wasSent("Traceparent", parent) {
		t.Errorf("the upstream was not told that %s polls", parent)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.service, "service.name=pollbridge") || c.header.Get("X-Token") != "hunter2" {
		t.Errorf("the collector is told of %q, with %v", c.service, c.header)
	}
	for _, s := range c.spans {
		if strings.Contains(s.String(), "hunter2") {
			t.Errorf("a span has a secret: %v", s)
		}
	}
}

// TestTracesAreSampled holds that of what begins here only the part that is asked
// for is sent, that a client's own decision counts, and that the upstream is told
// of it.
func TestTracesAreSampled(t *testing.T) {
	t.Parallel()
	ctx, legacy, c := within(t), newAPI(t), newCollector(t)
	legacy.set("/api/orders", `[]`)
	r := serveBinary(t, legacy.URL, "drain: 0s\ntracing: {endpoint: \""+c.URL+"/\", sample: 0}\n")
	next(ctx, t, r.dial(ctx, "/api/orders"))
	if h := r.traced("00", legacy); !strings.HasPrefix(h.Get("Traceparent"), "00-"+clientTrace) || !strings.HasSuffix(h.Get("Traceparent"), "-00") {
		t.Errorf("the upstream saw %v", h)
	}
	r.traced("01", legacy)
	r.signal(syscall.SIGTERM) // has what waits sent
	if code := r.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spans) != 1 || hex.EncodeToString(c.spans[0].TraceId) != clientTrace {
		t.Errorf("got %v, want the one span that a client has asked for", c.spans)
	}
}

// TestCollectorFails holds that the log tells once that traces are lost and once
// that they are not any more.
func TestCollectorFails(t *testing.T) {
	t.Parallel()
	legacy, c := newAPI(t), newCollector(t)
	c.refuse(true)
	p := start(t, writeConfig(t, "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nupstream: "+legacy.URL+"\ntracing: {endpoint: \""+c.URL+"\", sample: 1}\n"), "serve")
	found := p.errors.wait(t, `msg=serving listen=(\S+) .* admin=(\S+)\n`)
	r := &running{process: p, address: found[1], admin: found[2]}
	for range 2 {
		r.traced("01", legacy)
		p.errors.wait(t, `level=WARN msg="traces are lost.*" err=".*503 Service Unavailable`)
	}
	c.refuse(false)
	r.traced("01", legacy)
	p.errors.wait(t, `level=INFO msg="the collector takes traces again"`)
	if n := strings.Count(p.errors.String(), "traces are lost"); n != 1 {
		t.Errorf("it was told %d times that traces are lost", n)
	}
}
