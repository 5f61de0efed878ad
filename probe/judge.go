package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollbridge/config"
	"pollbridge/diff"
	"pollbridge/internal/field"
	"pollbridge/poller"
)

// judge says what the answers mean.
func (t *trial) judge(ctx context.Context) {
	first, second := t.plain.first, t.plain.second
	if first.Err != nil {
		t.failed(first)
		return
	}
	if second.Err != nil {
		t.find(Error, "", "", "the second poll failed, where the first did not: %s", reason(second))
	}
	t.kind(first)
	t.pace(first, second)
	t.validators(first, second)
	survey := t.survey(t.plain)
	t.effects(ctx, survey)
	t.changes(survey)
	t.users()
}

// reason is why a poll failed, with its cause.
func reason(a poller.Attempt) string {
	if a.Err.Cause != nil {
		return fmt.Sprintf("%s (%v)", a.Err.Message, a.Err.Cause)
	}
	return a.Err.Message
}

// whereToLook is what to do where the upstream cannot be reached.
func whereToLook(err error) string {
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &authority):
		return "have SSL_CERT_FILE, in the environment, name a file with the certificate of its authority"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "does the API speak plain http there?"
	}
	return "is upstream right, and is the API running?"
}

// failed says why there is no document, and what to do about it.
func (t *trial) failed(a poller.Attempt) {
	e := t.Rule
	switch a.Err.Code {
	case poller.CodeUnreachable:
		t.find(Error, "", "", "%s: %s", reason(a), whereToLook(a.Err.Cause))
	case poller.CodeTimeout:
		t.find(Error, "timeout", "timeout: "+(2*e.Timeout).String(), "there was no whole answer within %s", e.Timeout)
	case poller.CodeUnauthorized, poller.CodeForbidden:
		t.refused(a)
	case poller.CodeBodyTooLarge:
		t.find(Error, "max_body", "max_body: "+config.FormatSize(roomFor(a.Header, e.MaxBody)), "the answer is larger than %s", config.FormatSize(e.MaxBody))
	case poller.CodeBodyInvalid:
		t.find(Error, "", "", "%s: is this an error page or a login page?", reason(a))
	case poller.CodeUnsupportedType:
		t.find(Error, "path", "", "%s: it cannot be pushed; without the rule it passes through", reason(a))
	case poller.CodeNotShareable:
		t.find(Error, "vary", t.varyFor(a.Header), "%s", reason(a))
	default:
		t.status(a)
	}
}

// status says what an answer other than 200 is likely to mean.
func (t *trial) status(a poller.Attempt) {
	hint := ""
	location, _, _ := strings.Cut(a.Header.Get("Location"), "?")
	switch {
	case a.Status/100 == 3 && location != "":
		hint = fmt.Sprintf(": it leads to %s, which is not the origin of upstream and is not followed", location)
	case a.Status == http.StatusNotFound:
		hint = ": is the path right? That of upstream goes before it"
	case a.RetryAfter() > 0:
		hint = fmt.Sprintf(", and asks to be left alone for %s: poll less often, or limit all polls together (limits.upstream_rate)", a.RetryAfter())
	}
	t.find(Error, "", "", "%s%s", reason(a), hint)
}

// refused says whose credentials are missing.
func (t *trial) refused(a poller.Attempt) {
	given := len(t.o.Header) > 0
	answers := fmt.Sprintf("the API answers %d", a.Status)
	if a.Redirected {
		answers = "the API redirects to another page, as it does with those who have to log in, in answer"
	}
	switch {
	case t.with != nil && t.with.first.Err == nil && t.decision.AskRule == nil:
		t.find(Error, "vary", "vary: "+list(slices.Sorted(maps.Keys(t.o.Header))),
			"%s to what the rule sends, and 200 with the given credentials: it tells users apart, or wants credentials of the rule's own (headers)", answers)
	case len(t.Rule.Headers) > 0 && !t.decision.Private:
		t.find(Error, "headers", "", "%s to the rule's own headers", answers)
	case given:
		t.find(Error, "", "", "%s to the given credentials", answers)
	case len(t.Rule.Vary) == 0:
		t.find(Error, "vary", "vary: [Authorization]", "%s to who has no credentials, and the rule sends none: it needs headers of its own, or tells users apart", answers)
	default:
		t.find(Warning, "", "", "%s to who has no credentials; give those of one user to see more: -H 'Authorization: Bearer ${TOKEN}' or -b 'sid=${SID}'", answers)
	}
}

// varyFor is the vary that an answer asks for which may not be shared.
func (t *trial) varyFor(h http.Header) string {
	vary := slices.Clone(t.Rule.Vary)
	for _, name := range field.List(h["Vary"]) {
		name = http.CanonicalHeaderKey(name)
		if name == "*" || name == "Accept-Encoding" || name == "Origin" || slices.ContainsFunc(vary, func(v string) bool { return strings.HasPrefix(v+":", name+":") }) {
			continue
		}
		vary = append(vary, name)
	}
	if len(vary) == len(t.Rule.Vary) {
		vary = append(vary, "Authorization", "Cookie")
	}
	slices.Sort(vary)
	return "vary: " + list(slices.Compact(vary))
}

// roomFor is a max_body for an answer, by what it says of its length.
func roomFor(h http.Header, limit int64) int64 {
	length, _ := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	room := 2 * limit
	for room < length && room < 1<<30 {
		room *= 2
	}
	return min(room, 1<<30)
}

// kind says what kind of a document it is.
func (t *trial) kind(a poller.Attempt) {
	s := a.Snapshot
	mediaType, _, _ := strings.Cut(strings.ToLower(a.Header.Get("Content-Type")), ";")
	switch {
	case s.Lines && strings.TrimSpace(mediaType) == "text/html":
		t.find(Warning, "", "", "the answer is a page (text/html), not JSON: is this a login page? It would be pushed line by line")
	case s.Lines:
		t.find(Note, "", "", "the answer is text (%s), not JSON: it is pushed line by line", orNothing(mediaType))
	}
	if s.Repaired {
		t.find(Note, "", "", "the answer is not UTF-8 all through: it is pushed as browsers read it, and plain GETs pass through")
	}
	if int64(a.Bytes) > t.Rule.MaxBody/2 {
		t.find(Warning, "max_body", "max_body: "+config.FormatSize(2*t.Rule.MaxBody), "the answer fills more than half of %s; when it has grown beyond that it is an error", config.FormatSize(t.Rule.MaxBody))
	}
	if a.Redirected {
		t.find(Tip, "path", "", "another URL answers, by a redirect: every poll is two requests, and unchanged answers are sent whole. Name that URL in the rule")
	}
	for _, h := range []string{"X-Ratelimit-Limit", "Ratelimit-Limit", "Ratelimit-Policy", "Ratelimit"} {
		if v := a.Header.Get(h); v != "" {
			t.find(Note, "interval", "", "the API counts requests (%s: %.60s); one resource of this rule makes %.4g a minute", h, v, time.Minute.Seconds()/t.Rule.Interval.Seconds())
			break
		}
	}
}

// pace says whether the API keeps up.
func (t *trial) pace(polls ...poller.Attempt) {
	slowest := time.Duration(0)
	for _, a := range polls {
		slowest = max(slowest, a.Took)
	}
	took := slowest.Round(time.Millisecond)
	switch e := t.Rule; {
	case slowest > e.Interval:
		t.find(Warning, "interval", "interval: "+roundUp(2*slowest).String(), "an answer took %s, longer than the interval, %s: polls follow each other without a rest", took, e.Interval)
	case slowest > e.Timeout/2:
		t.find(Warning, "timeout", "timeout: "+(2*e.Timeout).String(), "an answer took %s, more than half of the timeout", took)
	}
	for _, directive := range field.List(polls[0].Header["Cache-Control"]) {
		if name, value, _ := strings.Cut(directive, "="); name == "max-age" || name == "s-maxage" {
			n, err := strconv.Atoi(value)
			if fresh := time.Duration(n) * time.Second; err == nil && fresh > t.Rule.Interval {
				t.find(Note, "interval", "", "the API says that its answer is good for %s, and is asked every %s all the same; where a cache answers, changes are that far apart", fresh, t.Rule.Interval)
			}
		}
	}
}

// roundUp makes a duration of a measured one that a person would write.
func roundUp(d time.Duration) time.Duration {
	unit := 10 * time.Millisecond
	for 100*unit < d {
		unit *= 10
	}
	return (d + unit - 1).Truncate(unit)
}

// validators says what an unchanged answer costs.
func (t *trial) validators(first, second poller.Attempt) {
	has := first.Header.Get("Etag") != "" || first.Header.Get("Last-Modified") != ""
	same := second.Err == nil && second.Snapshot == first.Snapshot
	switch {
	case !has:
		t.find(Note, "", "", "the answer has neither ETag nor Last-Modified: every poll is sent whole, %d bytes", first.Bytes)
	case second.Conditional && second.Status == http.StatusOK && same:
		t.find(Note, "", "", "the API sends validators (ETag, Last-Modified) and does not heed them: unchanged answers are sent whole, %d bytes", first.Bytes)
	}
}

// survey compares the two answers to one asker.
func (t *trial) survey(a asker) diff.Survey {
	if a.first.Err != nil || a.second.Err != nil || a.first.Snapshot.Doc == nil || a.second.Snapshot.Doc == nil {
		return diff.Survey{}
	}
	return t.differ().Survey(a.first.Snapshot.Doc, a.second.Snapshot.Doc)
}

func (t *trial) differ() *diff.Differ { return t.decision.PollRule.Differ }

func list(names []string) string { return "[" + strings.Join(names, ", ") + "]" }

func orNothing(text string) string {
	if text == "" {
		return "of no type"
	}
	return text
}
