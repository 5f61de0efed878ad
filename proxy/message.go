package proxy

import (
	"encoding/json"
	"time"

	"pollbridge/poller"
)

// A kind is the type of a message about a subscription, as protocol.md has it.
type kind string

const (
	kindSnapshot kind = "snapshot"
	kindPatch    kind = "patch"
	kindCurrent  kind = "current"
	kindStale    kind = "stale"
	kindEnd      kind = "end"
)

// A message is one message about a resource. It is a value that names what is
// to be said; encode says it.
type message struct {
	kind     kind
	from     string // of a patch: the version that it applies to
	snapshot *poller.Snapshot
}

// encoded returns m in one of the forms that transports have, made by build
// once for all who are sent it. Only what confirms is made anew: it says up to
// when.
func (m message) encoded(form string, build func(*poller.Snapshot, poller.Key) []byte) []byte {
	k := poller.Key{Kind: string(m.kind), Form: form, From: m.from}
	if m.kind == kindCurrent {
		return build(m.snapshot, k)
	}
	return m.snapshot.Memo(k, build)
}

// sent takes note that n clients were sent m, in so many bytes together.
func (m message) sent(n, bytes int) {
	if n > 0 && m.changes() {
		m.snapshot.Sent(m.kind == kindPatch, n, bytes)
	}
}

// resumed takes note that n clients who came with a version were sent m for it.
func (m message) resumed(n int) {
	if n > 0 && m.kind != kindStale && m.kind != kindEnd {
		m.snapshot.CameBack(m.kind == kindCurrent, m.kind == kindPatch, n)
	}
}

// changes reports whether m makes another document of what a client holds.
func (m message) changes() bool { return m.kind == kindSnapshot || m.kind == kindPatch }

// messageOf is the message that encoded has built under k.
func messageOf(s *poller.Snapshot, k poller.Key) message {
	return message{kind: kind(k.Kind), from: k.From, snapshot: s}
}

// A view is what one client has been told about one resource. The zero value
// is that of a client that holds nothing.
type view struct {
	version string        // of the document that the client holds
	told    *poller.Error // the client knows of this failure
	begun   bool          // a first message was sent
	sent    bool          // version is what it was told, not what it says itself
}

// resumes reports whether the client holds a document that it was not told here.
func (v *view) resumes() bool { return v.version != "" && !v.sent }

// next returns what has to be said to a client for it to know s, and takes it
// as said. It is the whole logic of pushing: whatever a client missed, what it
// gets is one step from what it holds to what is newest.
func (v *view) next(s *poller.Snapshot) (messages [2]message, n int) {
	add := func(m message) {
		m.snapshot = s
		messages[n] = m
		n++
		v.begun = true
	}
	if s.Over {
		add(message{kind: kindEnd})
		return messages, n
	}
	switch {
	case s.Version == "":
	case s.Resumed && v.version != "" && !v.sent: // what the client holds may be newer
	case s.Version != v.version:
		m := message{kind: kindSnapshot}
		if v.version != "" && s.PatchFor(v.version, v.sent) != nil {
			m = message{kind: kindPatch, from: v.version}
		}
		v.version, v.sent, v.told = s.Version, true, nil
		add(m)
	case s.Err == nil && (!v.begun || v.told != nil):
		v.sent, v.told = true, nil
		add(message{kind: kindCurrent})
	}
	if s.Err != nil && !v.told.Same(s.Err) {
		v.told = s.Err
		add(message{kind: kindStale})
	}
	return messages, n
}

// append appends the JSON object of m to dst. A url that is not empty is a
// member of it.
func (m message) append(dst []byte, url string) []byte {
	s := m.snapshot
	dst = append(dst, `{"type":"`...)
	dst = append(dst, m.kind...)
	dst = append(dst, '"')
	if url != "" {
		dst = append(dst, `,"url":`...)
		dst = appendString(dst, url)
	}
	switch m.kind {
	case kindSnapshot:
		dst = appendVersion(dst, s.Version, s.At)
		if s.Lines {
			dst = append(dst, `,"format":"lines"`...)
		}
		dst = append(dst, `,"data":`...)
		dst = append(dst, s.Compact()...)
	case kindPatch:
		dst = append(dst, `,"from":"`...)
		dst = append(dst, m.from...)
		dst = append(dst, '"')
		dst = appendVersion(dst, s.Version, s.At)
		if s.Merge {
			dst = append(dst, `,"format":"merge-patch"`...)
		}
		dst = append(dst, `,"patch":`...)
		dst = append(dst, s.Patch(m.from)...)
	case kindCurrent:
		dst = appendVersion(dst, s.Version, s.Confirmed())
	case kindStale:
		if since := s.Confirmed(); !since.IsZero() {
			dst = append(dst, `,"since":`...)
			dst = appendTime(dst, since)
		}
		dst = appendError(dst, s.Err)
	case kindEnd:
		if s.Err != nil {
			dst = appendError(dst, s.Err)
		}
	}
	return append(dst, '}')
}

// The messages that are not about a snapshot.

func appendAlias(dst []byte, url, asked string) []byte {
	dst = append(dst, `{"type":"alias","url":`...)
	dst = appendString(dst, url)
	dst = append(dst, `,"for":`...)
	return append(appendString(dst, asked), '}')
}

func appendEnd(dst []byte, url string, err *poller.Error) []byte {
	dst = append(dst, `{"type":"end","url":`...)
	dst = appendString(dst, url)
	if err != nil {
		dst = appendError(dst, err)
	}
	return append(dst, '}')
}

func appendBadMessage(dst []byte, text string) []byte {
	dst = append(dst, `{"type":"error"`...)
	dst = appendError(dst, &poller.Error{Code: codeBadMessage, Message: text})
	return append(dst, '}')
}

// The codes of protocol.md that are not a poll's.
const (
	codeBadMessage   = "bad_message"
	codeNotFound     = "not_found"
	codeLimit        = "limit"
	codeShuttingDown = "shutting_down"
)

func appendVersion(dst []byte, version string, at time.Time) []byte {
	dst = append(dst, `,"version":"`...)
	dst = append(dst, version...)
	dst = append(dst, `","at":`...)
	return appendTime(dst, at)
}

// appendTime writes RFC 3339 in UTC, to the millisecond.
func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	return append(appendMillis(dst, t), '"')
}

func appendMillis(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

func appendError(dst []byte, err *poller.Error) []byte {
	text, _ := json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Status  int    `json:"status,omitempty"`
	}{err.Code, err.Message, err.Status}) // strings and a number: cannot fail
	dst = append(dst, `,"error":`...)
	return append(dst, text...)
}

func appendString(dst []byte, s string) []byte {
	text, _ := json.Marshal(s)
	return append(dst, text...)
}
