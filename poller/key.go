package poller

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"pollbridge/diff"
)

// A Rule says how the resources of one endpoint are polled. It is not modified
// after first use.
type Rule struct {
	Name    string // the pattern: what log and counts call it
	Purpose string // what is polled for beside the document: "probe", say; empty: the document

	// Generation tells apart rules of one name that stood in a configuration one
	// after the other and ask for different things, or for different people: what
	// was seen by one is not shown by the other. See Poller.Reload.
	Generation int

	// Upstream is the origin of every poll: scheme, host and an optional base
	// path. Nothing a client says can choose another.
	Upstream *url.URL

	Interval    time.Duration // between the starts of two polls
	MaxInterval time.Duration // stretch up to this while nothing changes; zero: do not
	Timeout     time.Duration // over a whole exchange; zero: 10 s
	Linger      time.Duration // how long polling goes on when nobody watches

	// Vary names the request headers that tell users apart, in canonical form.
	// They are part of the key, and they alone of a client's headers are sent
	// upstream. "Cookie:sid" is the cookie sid and no other.
	Vary []string

	// Header is sent with every poll, and wins over a client's. Host is
	// understood.
	Header http.Header

	Differ  *diff.Differ // nil: no identity keys given, nothing ignored
	Format  Format
	MaxBody int64 // bytes after decompression; zero: 8 MiB

	// ConfirmShrink is the part of a body that may be lost from one poll to the
	// next, from 0 to 1, before the loss is believed only when the next poll says
	// so too. Zero: any, unless the end of the body is that of the connection;
	// below zero: any.
	ConfirmShrink float64

	// Confirm is how many polls in a row have to say a change before it is
	// believed. Up to one: the first.
	Confirm int

	// Shared says that one poll serves all, whatever their Vary headers say, and
	// that somebody else decides who is shown it. Nothing of a client's is sent.
	Shared bool

	// Proved says that who is shown it has been given the same by the upstream:
	// then answers that are marked private may be shared.
	Proved bool

	// Tells says that watchers are woken by a poll that confirms what they know, too.
	Tells bool

	// Probe says that only the status counts, as the answer to whether the
	// client may see this. Bodies are not kept, and any refusal is final.
	Probe bool
}

// ruleID is what rules have in common that ask for the same.
type ruleID struct {
	name, purpose string
	generation    int
}

func (r *Rule) id() ruleID { return ruleID{r.Name, r.Purpose, r.Generation} }

// Format is the form in which a rule's changes are told.
type Format string

// The formats that config.md names.
const (
	JSONPatch    Format = "json-patch"  // RFC 6902; also the zero value's meaning
	MergePatch   Format = "merge-patch" // RFC 7396
	SnapshotOnly Format = "snapshot"
)

// A Request names a resource as a client asks for it.
type Request struct {
	Rule *Rule

	// URL is the path and query, in the one spelling that all who mean this
	// resource use. It starts with a slash and is appended to the upstream's
	// base path.
	URL string

	// Header is the client's. Only what Rule.Vary names is looked at, and the
	// Poller keeps nothing else of it.
	Header http.Header

	// Client is who asks, for Options.ResourcesPerClient. It is no part of the
	// key. The zero value is nobody, and has no limit.
	Client netip.Addr

	// Once says that the client may well not ask again, as one that sends a
	// plain GET: what nobody else has asked for is then not polled when the
	// Watch has ended. It is no part of the key.
	Once bool
}

// With returns the same request by another rule.
func (r Request) With(rule *Rule) Request {
	r.Rule = rule
	return r
}

// key identifies a resource: who has the same key is shown the same document.
// It is a keyed hash, so that credentials cannot be read from it or guessed.
type key [sha256.Size]byte

// key is the only function that makes keys. Every field is prefixed by its
// length, so that no two different requests are written alike.
func (f *fetcher) key(req Request) key {
	h := hmac.New(sha256.New, f.secret[:])
	writeField(h, req.Rule.Name)
	writeField(h, req.Rule.Purpose)
	writeLen(h, req.Rule.Generation)
	writeField(h, req.URL)
	for _, name := range req.Rule.telling() {
		values := varyValues(req.Header, name)
		writeField(h, name)
		writeLen(h, len(values))
		for _, v := range values {
			writeField(h, v)
		}
	}
	var k key
	h.Sum(k[:0])
	return k
}

func writeField(h hash.Hash, s string) {
	writeLen(h, len(s))
	h.Write([]byte(s))
}

func writeLen(h hash.Hash, n int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

// telling returns the entries of Vary that tell users apart here.
func (r *Rule) telling() []string {
	if r.Shared {
		return nil
	}
	return r.Vary
}

// varyValues returns the values in h of one entry of Rule.Vary: those of a
// header, or of the one cookie that "Cookie:name" names, as they were sent.
func varyValues(h http.Header, entry string) []string {
	name, cookie, ok := strings.Cut(entry, ":")
	if !ok {
		return h[entry]
	}
	var values []string
	for _, line := range h[name] {
		for pair := range strings.SplitSeq(line, ";") {
			n, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=") // other space is a part of the name
			if ok && n == cookie {
				values = append(values, v)
			}
		}
	}
	return values
}

// identity returns the headers of a client that are sent upstream, and whether
// they tell who it is: without that many clients have the same key, and what is
// polled for one of them is shared by all.
func identity(req Request) (h http.Header, private bool) {
	h = make(http.Header)
	for _, entry := range req.Rule.telling() {
		values := varyValues(req.Header, entry)
		name, cookie, ok := strings.Cut(entry, ":")
		for _, v := range values {
			private = private || v != "" && !common[name]
			if ok {
				v = cookie + "=" + v
			}
			h[name] = append(h[name], v)
		}
	}
	if cookies := h["Cookie"]; len(cookies) > 1 {
		h["Cookie"] = []string{strings.Join(cookies, "; ")} // RFC 6265, section 5.4: one field
	}
	return h, private
}

// tellsUsers reports whether the rule varies by what may say who a client is.
func (r *Rule) tellsUsers() bool {
	return slices.ContainsFunc(r.telling(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, ":")
		return !common[name]
	})
}

// common are the headers that tell kinds of clients apart and not persons: that
// a rule varies by one of these makes no answer private.
var common = map[string]bool{
	"Accept": true, "Accept-Charset": true, "Accept-Encoding": true, "Accept-Language": true,
	"Dnt": true, "Origin": true, "Referer": true, "Save-Data": true, "Sec-Fetch-Dest": true, "Sec-Fetch-Mode": true,
	"Sec-Fetch-Site": true, "Sec-Gpc": true, "User-Agent": true, "X-Requested-With": true,
}
