package tracing

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A client sends spans to a collector (OTLP/HTTP in binary, OpenTelemetry
// protocol 1.x). It implements otlptrace.Client.
type client struct {
	url     string
	headers map[string]string
	http    http.Client
}

// exportTime is what one exchange with the collector may take.
const exportTime = 10 * time.Second

func newClient(o Options) *client {
	return &client{
		url: strings.TrimSuffix(o.Endpoint, "/") + "/v1/traces", headers: o.Headers,
		http: http.Client{
			Timeout:       exportTime,
			Transport:     http.DefaultTransport.(*http.Transport).Clone(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the headers are for this host
		},
	}
}

// Start implements otlptrace.Client.
func (c *client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. TracesData is written as
// ExportTraceServiceRequest is, whose package would bring gRPC along.
func (c *client) UploadTraces(ctx context.Context, spans []*otlp.ResourceSpans) error {
	body, err := proto.Marshal(&otlp.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", c.url, res.Status)
	}
	return nil
}

// An exporter tells the log when sending begins to fail and when it works again.
// What could not be sent is lost.
type exporter struct {
	sdk.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans implements sdk.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch failed := err != nil; {
	case failed == e.failing.Swap(failed):
	case failed:
		e.log.Warn("traces are lost: the collector does not take them", "err", err)
	default:
		e.log.Info("the collector takes traces again")
	}
	return nil
}
