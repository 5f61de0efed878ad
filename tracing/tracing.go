// Package tracing makes the spans of polls and requests with the OpenTelemetry
// SDK and sends them to a collector by OTLP over HTTP. Nothing else knows of
// OpenTelemetry: the proxy and the poller call interfaces of their own.
//
// The SDK's own exporter (otlptracehttp) would bring gRPC along and make the
// binary four fifths larger, though it is only spoken HTTP with; so the exchange,
// which is one POST, is made here, and the SDK's library (otlptrace) does the
// rest.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"pollbridge/poller"
)

// Options say where spans go. Endpoint must be given.
type Options struct {
	Endpoint string            // base URL of the collector; /v1/traces is appended
	Headers  map[string]string // sent with every request to it
	Sample   float64           // the part of traces begun here that is recorded, from 0 to 1
	Version  string            // of this program
	Log      *slog.Logger      // is told when the collector cannot be reached, and can be again; nil: nobody is
}

// A Tracer makes spans and sends them in batches, in its own time. Spans for
// which there is no room in the queue are lost. Close it at the end.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// maxValue bounds a value of a span, in bytes: clients choose paths, and spans
// wait in memory.
const maxValue = 256

// New returns a Tracer. The environment may name the service and describe it
// (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES), and say how spans are batched
// (OTEL_BSP_*).
func New(ctx context.Context, o Options) (*Tracer, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "pollbridge"), attribute.String("service.version", o.Version)),
		resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	limits := sdk.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxValue
	provider := sdk.NewTracerProvider(
		sdk.WithResource(res),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Sample))),
		sdk.WithRawSpanLimits(limits),
		sdk.WithBatcher(&exporter{SpanExporter: otlptrace.NewUnstarted(newClient(o)), log: o.Log}),
	)
	return &Tracer{provider, provider.Tracer("pollbridge")}, nil
}

// closeTime is what the last spans are given to be sent.
const closeTime = 2 * time.Second

// Close sends what waits and ends the Tracer.
func (t *Tracer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	t.provider.Shutdown(ctx) // the log has why not
}

// Poll implements poller.Tracer.
func (t *Tracer) Poll(rule string) poller.Span {
	return t.start(context.Background(), "poll "+rule, trace.SpanKindClient)
}

// Request implements proxy.Tracer.
func (t *Tracer) Request(r *http.Request) poller.Span {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
	s := t.start(ctx, method(r.Method), trace.SpanKindServer)
	s.method = method(r.Method)
	return s
}

func (t *Tracer) start(ctx context.Context, name string, kind trace.SpanKind) *span {
	s := &span{t: t}
	s.ctx, s.Span = t.tracer.Start(ctx, name, trace.WithSpanKind(kind))
	return s
}

// method names spans of requests. Methods that nobody knows have one name, for
// clients make them up.
func method(m string) string {
	known := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace,
	}
	if slices.Contains(known, m) {
		return m
	}
	return "HTTP"
}

// A span is one of OpenTelemetry's, as the poller and the proxy use it.
type span struct {
	trace.Span
	t      *Tracer
	ctx    context.Context
	method string // of a request; its span is called so, and after its route
}

// Begin implements poller.Span.
func (s *span) Begin(name string) poller.Span {
	return s.t.start(s.ctx, name, trace.SpanKindInternal)
}

// Recording implements poller.Span.
func (s *span) Recording() bool { return s.IsRecording() }

// Set implements poller.Span.
func (s *span) Set(attrs ...slog.Attr) {
	for _, a := range attrs {
		if a.Key == "http.route" {
			s.SetName(s.method + " " + a.Value.String())
		}
		switch v := a.Value; v.Kind() {
		case slog.KindInt64:
			s.SetAttributes(attribute.Int64(a.Key, v.Int64()))
		case slog.KindBool:
			s.SetAttributes(attribute.Bool(a.Key, v.Bool()))
		default:
			s.SetAttributes(attribute.String(a.Key, v.String()))
		}
	}
}

// Inject implements poller.Span.
func (s *span) Inject(h http.Header) {
	h.Del("Traceparent")
	h.Del("Tracestate") // it belongs to what was there before
	propagation.TraceContext{}.Inject(s.ctx, propagation.HeaderCarrier(h))
}

// TraceID implements poller.Span.
func (s *span) TraceID() string { return s.SpanContext().TraceID().String() }

// End implements poller.Span.
func (s *span) End(err error) {
	if err != nil {
		s.SetStatus(codes.Error, err.Error())
	}
	s.Span.End()
}
