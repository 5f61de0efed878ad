package poller

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollbridge/diff"
	"pollbridge/internal/field"
)

// take takes in a good answer and reports whether it made a new document.
func (r *resource) take(a *answer) (changed bool, err *Error) {
	r.this.Result = Unchanged
	if r.req.Rule.Probe {
		r.this.Why = whyAdmitted
		r.admit()
		return false, nil
	}
	for _, header := range append(a.detour.hops, a.header, a.trailer) { // where to depends on the redirects, too
		if err := guard(r.req.Rule, r.private, header); err != nil {
			return false, err
		}
	}
	v := validators{etag: a.header.Get("Etag"), lastModified: a.header.Get("Last-Modified")}
	if a.redirected() {
		v = validators{} // they are of another URL than the one that is asked
	}
	endToEnd(a.header)
	if a.status == http.StatusNotModified {
		r.this.Result, r.this.Why = NotModified, whyNotModified
		r.confirm(r.base.seen.updated(a.header))
		return false, nil
	}
	if r.doubts(a) {
		r.this.Why = whyDoubted
		r.validators = validators{}
		return false, nil
	}
	r.validators = v
	if r.base != nil && string(a.body) == string(r.base.Body) {
		r.this.Why = whySame
		r.confirm(a.header)
		return false, nil
	}
	next, err := r.read(a)
	if err != nil {
		return false, err
	}
	if next == nil {
		r.this.Why = whyMeans
		r.confirm(a.header)
		return false, nil
	}
	if !r.believes(next) {
		r.this.Why = whyUnconfirmed
		r.validators = validators{}
		return false, nil
	}
	r.noteChange(next)
	next.push = r.beginPush()
	r.base = next
	r.publish(next)
	return true, nil
}

// noteChange takes note of the document that follows base.
func (r *resource) noteChange(next *Snapshot) {
	c := Change{At: next.At, DocumentBytes: len(next.Body), version: next.Version}
	if r.base != nil {
		c.before = r.base.Doc
	}
	switch {
	case len(next.trail) > 0:
		c.PatchBytes = len(next.trail[len(next.trail)-1].patch)
		r.this.Why = whyPatch
	case r.base == nil:
		r.this.Why = whyFirst
	case r.base.Lines != next.Lines:
		r.this.Why = whyKind
	case r.req.Rule.Format == SnapshotOnly:
		r.this.Why = whyFormat
	case r.req.Rule.Format == MergePatch:
		r.this.Why = whyMerge
	default:
		r.this.Why = whyWhole
	}
	r.this.Result = Changed
	r.history.change(c)
	r.noteReturn(next)
}

// admit takes note that the upstream lets a client in.
func (r *resource) admit() {
	if r.base == nil {
		r.base = &Snapshot{URL: r.req.URL, Version: "admitted", At: time.Now(), seen: r.unseen()}
	}
	r.confirm(nil)
}

// read makes the next snapshot of an answer whose bytes are new; nil where it
// says the same.
func (r *resource) read(a *answer) (*Snapshot, *Error) {
	seen := time.Now()
	body := bytes.Clone(decodeUTF8(a.body)) // a.body is used again by the next poll
	contentType := a.header.Get("Content-Type")
	lines, err := r.isLines(body, a.header)
	if err != nil {
		return nil, err
	}
	text, differ := body, r.req.Rule.Differ
	if lines {
		text, differ = diff.Lines(body), nil
	}
	doc, patch, err := r.compare(differ, text, lines, contentType)
	if err != nil || doc == nil {
		return nil, err
	}
	next := &Snapshot{
		Version: versionOf(body), URL: r.req.URL, Body: body, Doc: doc, Lines: lines,
		Merge:    r.req.Rule.Format == MergePatch && !lines,
		Repaired: len(body) != len(a.body) || !bytes.Equal(body, a.body),
		At:       seen, seen: r.unseen(),
	}
	next.seen.set(next.At, a.header)
	if r.base != nil && r.base.Lines == lines {
		next.trail = r.trail(patch, doc)
	}
	return next, nil
}

// compare diffs text with the last good document. It returns no document where
// they say the same.
func (r *resource) compare(differ *diff.Differ, text []byte, lines bool, contentType string) (doc *diff.Document, patch []byte, e *Error) {
	span := r.span.Begin("diff")
	defer span.End(nil)
	var err error
	if r.base == nil || r.base.Lines != lines {
		doc, err = differ.Parse(text)
	} else {
		started := time.Now()
		doc, patch, err = differ.Next(r.base.Doc, text)
		r.history.rule.diff(time.Since(started))
		if doc == r.base.Doc {
			doc = nil
		}
	}
	if err != nil {
		return nil, nil, invalid(fmt.Sprintf("the body is not the JSON that its type, %.60q, says", mediaType(contentType)), err)
	}
	return doc, patch, nil
}

// trail returns the steps by which clients can reach doc.
func (r *resource) trail(patch []byte, doc *diff.Document) []step {
	switch r.req.Rule.Format {
	case SnapshotOnly:
		return nil
	case MergePatch: // merge patches cannot be joined: {"a":null} and then {"a":{}} is no merge patch
		if !r.base.Lines {
			patch = r.req.Rule.Differ.MergePatch(r.base.Doc, doc)
		}
		if patch == nil {
			return nil
		}
		return []step{{r.base.Version, patch}}
	}
	steps := r.base.trail
	if r.base.Merge { // under another rule: their patches are no JSON Patches
		steps = nil
	}
	return extendTrail(steps, r.base.Version, patch, len(doc.Bytes()))
}

// isLines decides whether a body is JSON or text. What it was before counts: a
// JSON resource that answers with a login page is broken, not text, and so is one of text.
func (r *resource) isLines(body []byte, h http.Header) (bool, *Error) {
	contentType := h.Get("Content-Type")
	kind := kindOf(contentType)
	wasJSON, wasLines := false, false
	if r.base != nil {
		wasJSON, wasLines = !r.base.Lines, r.base.Lines
	}
	switch {
	case kind == kindBytes, kind != kindJSON && looksBinary(body):
		if wasJSON || wasLines {
			return false, invalid(fmt.Sprintf("the body was text before and is now %.60q", mediaType(contentType)), nil)
		}
		return false, &Error{Code: CodeUnsupportedType, Message: fmt.Sprintf("a body of type %.60q is neither JSON nor text", mediaType(contentType))}
	case kind == kindJSON, wasJSON:
		return false, nil
	case wasLines && isPage(h) && !r.wantsPages():
		return false, invalid("the body was text before and is now a page in HTML", nil)
	case wasLines:
		return true, nil
	}
	if !startsContainer(body) {
		return true, nil
	}
	_, err := (*diff.Differ)(nil).Parse(body)
	return err != nil, nil
}

// startsContainer reports whether text could be the JSON of an object or an
// array, as legacy servers send under any type.
func startsContainer(body []byte) bool {
	for _, c := range body {
		switch c {
		case ' ', '\t', '\r', '\n':
		case '{', '[':
			return true
		default:
			return false
		}
	}
	return false
}

// guard looks at every answer for signs that it is meant for one user, or for
// one kind of request, though it would be shown to others (RFC 9111, sections
// 3 and 4.1). The error ends the sharing before anything of it is shown.
func guard(rule *Rule, private bool, h http.Header) *Error {
	for _, name := range field.List(h["Vary"]) {
		if name != "accept-encoding" && name != "origin" && !varies(rule, name) {
			return notShareable("the answer depends on the request header %.60s (Vary); name it in the rule's vary", http.CanonicalHeaderKey(name))
		}
	}
	if private || rule.Proved {
		return nil
	}
	for _, directive := range h["Cache-Control"] {
		if name := personal.FindString(strings.ToLower(directive)); name != "" {
			return notShareable("the answer is marked Cache-Control: %s and would be shared by all who send no credentials; name in the rule's vary the header that tells users apart", name)
		}
	}
	if len(h["Set-Cookie"]) > 0 {
		return notShareable("the answer sets a cookie and would be shared by all who send no credentials; name in the rule's vary %s", "the header that tells users apart, such as Cookie")
	}
	return nil
}

// personal are the directives of Cache-Control that mark an answer as one user's, however they are
// told from others: not every server knows that this is done by commas.
var personal = regexp.MustCompile(`\b(private|no-store)\b`)

func notShareable(format, arg string) *Error {
	return &Error{Code: CodeNotShareable, Message: fmt.Sprintf(format, arg)}
}

// varies reports whether the rule's vary lists a header. One cookie counts as
// the whole of Cookie: an upstream's Vary cannot say which one it looks at, and
// the operator has.
func varies(rule *Rule, name string) bool {
	return slices.ContainsFunc(rule.Vary, func(v string) bool {
		v, _, _ = strings.Cut(v, ":")
		return strings.EqualFold(v, name)
	})
}

// endToEnd leaves those headers of an answer that describe the document: not
// those of the connection (RFC 9110, section 7.6.1), of the transfer, of the
// exact bytes, or of one user.
func endToEnd(h http.Header) {
	for _, name := range field.List(h["Connection"]) {
		h.Del(name)
	}
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Connection", "Te",
		"Trailer", "Transfer-Encoding", "Upgrade", "Content-Encoding", "Content-Length", "Set-Cookie", "Set-Cookie2",
		"Authentication-Info", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest", "Accept-Ranges", "Content-Range",
	} {
		delete(h, name)
	}
}

// maxRetryAfter bounds how long an upstream can have us stay away.
const maxRetryAfter = time.Hour

// parseRetryAfter reads Retry-After (RFC 9110, section 10.2.3): seconds or a
// date. Zero where there is none.
func parseRetryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if date, err := http.ParseTime(v); err == nil {
		return max(0, min(date.Sub(now), maxRetryAfter))
	}
	return 0
}
