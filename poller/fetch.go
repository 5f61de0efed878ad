package poller

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pollbridge/internal/reuse"
)

// NewTransport returns the transport that polls are made with where none is
// given: HTTP/1.1, connections kept alive for conns polls at once.
func NewTransport(conns int) *reuse.Transport {
	return reuse.New(&http.Transport{
		Proxy:                  nil, // a poll goes to the upstream, whatever the environment says
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           2 * conns,
		MaxIdleConnsPerHost:    conns,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true, // readBody asks for gzip and bounds what comes out of it
		MaxResponseHeaderBytes: 64 << 10,
	})
}

const defaultAccept = "application/json, */*;q=0.8"

// A fetcher makes the exchange of a poll. Its secret keys what is kept of
// credentials.
type fetcher struct {
	client *http.Client
	prober *http.Client // follows no redirect: many a login page is one
	secret [32]byte
}

func newFetcher(transport http.RoundTripper) fetcher {
	f := fetcher{
		client: &http.Client{Transport: transport, CheckRedirect: sameOrigin},
		prober: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	rand.Read(f.secret[:])
	return f
}

// sameOrigin follows redirects within the upstream only: http.Client would
// carry a rule's own headers, an API key among them, to any host. Where a
// redirect leads today is not asked with validators that may be of where it led
// yesterday.
func sameOrigin(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if !isSameOrigin(req.URL, first) || len(via) >= 10 {
		return http.ErrUseLastResponse
	}
	req.Header.Del("If-None-Match")
	req.Header.Del("If-Modified-Since")
	req.Header["Referer"] = via[0].Header["Referer"] // http.Client would tell
	return nil
}

// validators are what an upstream gave to ask with next time (RFC 9110,
// section 8.8).
type validators struct{ etag, lastModified string }

// An answer is a complete exchange: the body is whole.
type answer struct {
	status int // 200, or 304 where the validators held
	header http.Header
	body   []byte

	trailer http.Header // what came after the body

	arrived metered // the body as it came: compressed, or not all of it

	detour detour // by which redirects led here

	// delimited says that the body's end is known from the message, not from the
	// end of the connection: then it is whole (RFC 9112, section 8).
	delimited bool
}

// redirected reports whether another URL than the one asked for has answered.
func (a *answer) redirected() bool { return len(a.detour.hops) > 0 }

// ask makes one exchange, as fetch does, for a resource. An answer that asks to
// log in is an error like any other refusal.
func (r *resource) ask(ctx context.Context, v validators, buf *bytes.Buffer) (*answer, *Error) {
	a, err := r.p.fetch.fetch(ctx, r.req, r.identity, v, buf, r.span)
	if a != nil && r.asksToLogIn(a) {
		return a, loggedOut(a)
	}
	return a, err
}

// fetch makes one exchange within the rule's time limit. The body it returns
// is read into buf and valid until buf is next used.
func (f *fetcher) fetch(ctx context.Context, req Request, identity http.Header, v validators, buf *bytes.Buffer, span Span) (*answer, *Error) {
	ctx, cancel := context.WithTimeout(ctx, req.Rule.timeout())
	defer cancel()
	out, err := f.request(ctx, req, identity, v)
	if err != nil {
		return nil, &Error{Code: CodeUnreachable, Message: "the request cannot be made", Cause: err}
	}
	span.Inject(out.Header)
	a := &answer{}
	client := f.client
	if req.Rule.Probe {
		client = f.prober
	}
	res, err := client.Do(out)
	if err != nil {
		return nil, exchangeError(err, req.Rule)
	}
	defer res.Body.Close()
	a.status, a.header = res.StatusCode, res.Header
	a.detour = detourOf(res)
	a.delimited = res.ContentLength >= 0 || len(res.TransferEncoding) > 0 || res.ProtoMajor > 1
	switch {
	case req.Rule.Probe && (res.StatusCode < 300 || res.StatusCode == http.StatusNotModified):
		io.Copy(io.Discard, io.LimitReader(res.Body, req.Rule.maxBody())) // so that the connection can be used again
		return a, nil
	case res.StatusCode == http.StatusOK:
	case res.StatusCode == http.StatusNotModified && v != (validators{}) && !a.redirected():
		return a, nil
	default:
		e := statusError(res.StatusCode)
		return a, e
	}
	a.arrived.Reader = res.Body
	if err := readBody(res, &a.arrived, req.Rule.maxBody(), buf); err != nil {
		return a, err
	}
	a.body, a.trailer = buf.Bytes(), res.Trailer
	return a, nil
}

// request builds what is sent. Scheme, host and base path are the upstream's;
// the client's URL is appended to the path and can change nothing else.
func (f *fetcher) request(ctx context.Context, req Request, identity http.Header, v validators) (*http.Request, error) {
	if !strings.HasPrefix(req.URL, "/") {
		return nil, fmt.Errorf("url %q: want a path that starts with /", req.URL)
	}
	path, query, hasQuery := strings.Cut(req.URL, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return nil, fmt.Errorf("url %q: %w", req.URL, err)
	}
	base := req.Rule.Upstream
	u := *base
	u.RawPath = strings.TrimSuffix(base.EscapedPath(), "/") + path
	u.Path = strings.TrimSuffix(base.Path, "/") + decoded
	u.RawQuery, u.ForceQuery = query, hasQuery && query == ""
	out := (&http.Request{
		Method: http.MethodGet, URL: &u, Host: base.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header),
	}).WithContext(ctx)
	out.Header.Set("Accept", defaultAccept)
	out.Header.Set("Accept-Encoding", "gzip")
	out.Header.Set("User-Agent", "pollbridge")
	for name, values := range identity {
		out.Header[name] = values
	}
	for name, values := range req.Rule.Header {
		out.Header[name] = values
	}
	if host := req.Rule.Header.Get("Host"); host != "" {
		out.Host = host
		out.Header.Del("Host")
	}
	if v.etag != "" {
		out.Header.Set("If-None-Match", v.etag)
	}
	if v.lastModified != "" {
		out.Header.Set("If-Modified-Since", v.lastModified)
	}
	return out, nil
}

func (r *Rule) timeout() time.Duration {
	if r.Timeout <= 0 {
		return 10 * time.Second
	}
	return r.Timeout
}

func (r *Rule) maxBody() int64 {
	if r.MaxBody <= 0 {
		return 8 << 20
	}
	return r.MaxBody
}
