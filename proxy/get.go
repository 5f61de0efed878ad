package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollbridge/internal/field"
	"pollbridge/poller"
)

// serveGet answers a GET or HEAD from the snapshot, as the upstream would have:
// while it is fresh at once, else when it has been fetched, once for all who
// ask. What is asked for again is kept fresh for linger. Where that cannot be done
// faithfully it returns false, and the request is to pass through.
//
// Fresh means not older than the interval in force, nor than the upstream's own
// Cache-Control and Expires allow, where it sends any.
func (p *Proxy) serveGet(w *answer, r *http.Request, e *endpoint, url string) bool {
	req := poller.Request{Rule: e.rule, URL: url, Header: r.Header, Client: p.client(r), Once: true}
	ask := parseRequestCacheControl(r.Header)
	if e.declines(ask) != nil || p.poller.Refused(req) || p.passForTouch(e, r.Header) {
		return false
	}
	asked := time.Now()
	watch, err := p.watch(e, req, make(poller.Signal, 1))
	if err != nil {
		return false
	}
	defer watch.Close()
	status, confirmed := "fwd=uri-miss; stored", time.Time{}
	known := watch.Newest()
	if known != nil {
		if known.Err != nil {
			return false // the upstream speaks for itself, and is not asked twice
		}
		confirmed = known.Confirmed()
		if !known.At.After(asked) { // else this request has had it fetched, just now
			status = "fwd=stale; stored"
		}
	}
	s, err := watch.After(r.Context(), time.Now().Add(-mayBe(ask, known, watch.Interval())))
	if err != nil || watch.Behind() || !p.servable(r, s) {
		return err != nil && r.Context().Err() != nil // nobody is left to answer
	}
	if s.Confirmed().Equal(confirmed) && !confirmed.After(asked) {
		status = "hit"
	}
	p.writeSnapshot(w, r, s, watch.Interval(), status)
	s.Answered(int(w.bytes.Load()))
	return true
}

// declines says why a GET is never answered from the snapshot; nil: it may be.
func (e *endpoint) declines(ask cacheControl) error {
	switch {
	case !e.config.Serve:
		return errServe
	case ask.has("no-store"):
		return errNoStore
	}
	return nil
}

var (
	errServe   = errors.New("the rule has serve: false")
	errNoStore = errors.New("the request has Cache-Control: no-store")
)

// servable reports whether s may be the answer to r.
func (p *Proxy) servable(r *http.Request, s *poller.Snapshot) bool {
	return s != nil && s.Err == nil && s.Version != "" && p.faithful(r, s)
}

// faithful reports whether s is what the upstream would have sent to this
// client, and may be kept.
func (p *Proxy) faithful(r *http.Request, s *poller.Snapshot) bool {
	header, _ := s.Header()
	said := parseCacheControl(header)
	return !s.Repaired && !said.has("no-store") && !said.has("private") &&
		accepts(r.Header["Accept"], header.Get("Content-Type")) && p.answersOrigin(r, header)
}

// writeSnapshot answers with s: headers, conditions and ranges as RFC 9110 has
// them.
func (p *Proxy) writeSnapshot(w *answer, r *http.Request, s *poller.Snapshot, interval time.Duration, status string) {
	h := w.Header()
	stored, at := s.Header()
	for name, values := range stored {
		h[name] = slices.Clone(values)
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // the upstream gave none: do not guess one
	}
	p.allowOrigin(h, r)
	age := time.Since(at) + ageOnArrival(stored, at)
	h.Set("Age", strconv.Itoa(int(age/time.Second)))
	h.Set("Etag", `"`+s.Version+`"`)
	h.Set(atHeader, string(appendMillis(nil, s.At)))
	if s.Err != nil {
		h.Set(sinceHeader, string(appendMillis(nil, at)))
	}
	if status == "hit" {
		status = fmt.Sprintf("hit; ttl=%d", int((interval-time.Since(at))/time.Second))
	}
	h.Add("Cache-Status", "pollbridge; "+status) // RFC 9211
	w.cache, _, _ = strings.Cut(strings.TrimPrefix(status, "fwd="), ";")
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTime(len(s.Body))))
	if patch := deltaFor(r, s); patch != nil {
		writeDelta(w, r, s, patch)
		return
	}
	body := s.Body
	if len(body) >= minGzip {
		addVary(h, "Accept-Encoding")
		if field.AcceptsGzip(r.Header["Accept-Encoding"]) && r.Header.Get("Range") == "" {
			body = s.Memo(poller.Key{Kind: "gzip"}, gzipped)
			h.Set("Content-Encoding", "gzip")
			h.Set("Content-Length", strconv.Itoa(len(body)))
			h.Set("Etag", `W/"`+s.Version+`"`) // the same document in other bytes
		}
	}
	modified, _ := http.ParseTime(stored.Get("Last-Modified"))
	http.ServeContent(&wholeWriter{ResponseWriter: w, body: body}, r, "", modified, bytes.NewReader(body))
}

// A wholeWriter writes a body that is asked for whole in one piece.
// ServeContent would have it copied through a buffer made for each request.
type wholeWriter struct {
	http.ResponseWriter
	body  []byte
	whole bool
}

func (w *wholeWriter) WriteHeader(status int) {
	w.whole = status == http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

// ReadFrom implements io.ReaderFrom, which is what ServeContent writes by.
func (w *wholeWriter) ReadFrom(src io.Reader) (int64, error) {
	if !w.whole {
		return io.Copy(w.ResponseWriter, src)
	}
	n, err := w.Write(w.body)
	return int64(n), err
}

// What the messages say in at and since, on answers: when the upstream was
// first seen to say this, and, while it cannot be read, when it was last seen to.
const (
	atHeader    = "Pollbridge-At"
	sinceHeader = "Pollbridge-Since"
)

// sendTime is how long a client may take to receive n bytes: 4 KiB a second are
// slow, less is none that wants them.
func sendTime(n int) time.Duration {
	return writeTimeout + time.Duration(n/(4<<10))*time.Second
}

// minGzip is the body from which compressing is worth it, in bytes.
const minGzip = 1 << 10

func gzipped(s *poller.Snapshot, _ poller.Key) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(s.Body) // to memory: cannot fail
	w.Close()
	return bytes.Clone(b.Bytes())
}

// Delta encoding (RFC 3229): a poller that says which document it holds and
// that it understands patches is sent the patch, where what it holds is JSON.

func deltaFor(r *http.Request, s *poller.Snapshot) []byte {
	if s.Merge || s.Lines || r.Method != http.MethodGet || !slices.Contains(field.List(r.Header["A-Im"]), "json-patch") {
		return nil
	}
	for _, tag := range etags(r.Header["If-None-Match"]) {
		if tag == s.Version {
			return nil
		}
		if patch := s.PatchFor(tag, false); patch != nil {
			return patch
		}
	}
	return nil
}

func writeDelta(w http.ResponseWriter, r *http.Request, s *poller.Snapshot, patch []byte) {
	h := w.Header()
	for _, tag := range etags(r.Header["If-None-Match"]) {
		if s.PatchFor(tag, false) != nil {
			h.Set("Delta-Base", `"`+tag+`"`)
			break
		}
	}
	h.Set("Im", "json-patch")
	h.Set("Content-Type", "application/json-patch+json")
	h.Set("Content-Length", strconv.Itoa(len(patch)))
	h.Add("Cache-Control", "no-store") // caches that do not know RFC 3229 must not keep it
	addVary(h, "A-IM")
	w.WriteHeader(http.StatusIMUsed)
	w.Write(patch)
}

// etags returns the opaque parts of the entity tags in If-None-Match, which is
// compared weakly (RFC 9110, section 13.1.2); "*" stands for itself.
func etags(values []string) []string {
	var tags []string
	for _, v := range values {
		for tag := range strings.SplitSeq(v, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == "*" || len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
				tags = append(tags, strings.Trim(tag, `"`))
			}
		}
	}
	return tags
}

// accepts reports whether a client that sends these Accept fields takes the
// content type (RFC 9110, section 12.5.1): the most specific range decides.
func accepts(values []string, contentType string) bool {
	if len(values) == 0 {
		return true
	}
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return true
	}
	main, _, _ := strings.Cut(t, "/")
	best, quality := -1, 0.0
	for _, item := range field.List(values) {
		name, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		specific := slices.Index([]string{"*/*", main + "/*", t}, name)
		if specific > best {
			best, quality = specific, field.Quality(params["q"])
		}
	}
	return quality > 0
}

func addVary(h http.Header, name string) {
	if have := field.List(h["Vary"]); !slices.Contains(have, strings.ToLower(name)) && !slices.Contains(have, "*") {
		h.Add("Vary", name)
	}
}

// waitFresh is After for transports that hold on: the newest snapshot once it
// is known to be no older than the interval.
func waitFresh(ctx context.Context, w source) (*poller.Snapshot, error) {
	if s := w.Newest(); s != nil && s.Err != nil {
		return s, nil
	}
	return w.After(ctx, time.Now().Add(-w.Interval()))
}
