package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"pollbridge/config"
	"pollbridge/proxy"
)

// A live is the proxy that pushes the documents of the dashboard: the page is
// one on pollbridge's own protocol, and its upstream is a handler in this
// process. So it costs nothing while nobody has it open, and one poll a second
// of what is looked at however many do.
type live struct {
	*proxy.Proxy
	documents atomic.Pointer[http.Handler]
}

func newLive() *live {
	cfg := config.Default()
	cfg.Upstream = &url.URL{Scheme: "http", Host: "status.invalid"} // never looked up: see RoundTrip
	cfg.Drain = 0
	cfg.Limits = config.Limits{ // for operators: a few pages, each with a few documents
		Connections: 200, ConnectionsPerClient: 200, SubscriptionsPerConnection: 20,
		Resources: 200, ResourcesPerClient: 200, UpstreamConcurrency: 4,
	}
	for _, path := range []string{"/status", "/status/resources", "/status/resources/{id}"} {
		cfg.Endpoints = append(cfg.Endpoints, config.Endpoint{
			Path: path, Interval: time.Second, Timeout: 10 * time.Second, Linger: 2 * time.Second, Authorize: "false",
			Keys: map[string][]string{"/resources": {"id"}, "/rules": {"rule"}}, Format: "json-patch", MaxBody: 16 << 20, Serve: true,
		})
	}
	l := &live{}
	var err error
	if l.Proxy, err = proxy.New(cfg, proxy.Options{Transport: l}); err != nil {
		panic(fmt.Sprintf("the dashboard's own rules: %v", err)) // they are constants
	}
	return l
}

// push serves documents, in place of those before.
func (l *live) push(documents http.Handler) http.Handler {
	l.documents.Store(&documents)
	return l.Proxy
}

// RoundTrip implements http.RoundTripper: a request of the proxy is a call.
func (l *live) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	u, err := url.Parse(r.URL.RequestURI()) // the request's own may be opaque
	if err != nil {
		return nil, err
	}
	w := &written{header: make(http.Header), status: http.StatusOK}
	(*l.documents.Load()).ServeHTTP(w, &http.Request{Method: r.Method, URL: u, Host: r.Host, Header: r.Header})
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// written is what a handler has written.
type written struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *written) Header() http.Header         { return w.header }
func (w *written) WriteHeader(status int)      { w.status = status }
func (w *written) Write(p []byte) (int, error) { return w.body.Write(p) }
