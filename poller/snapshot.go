package poller

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"pollbridge/diff"
)

// A Snapshot is one observed state of a resource. It is immutable but for what
// Memo keeps, and is superseded by the next one.
type Snapshot struct {
	// Version names the document by its content: the same bytes have the same
	// version on every node and after every restart. Empty when the upstream
	// has not given a document yet; then Err is set.
	Version string

	URL   string         // the resource's, as in Request
	Body  []byte         // the document as the upstream gave it, in valid UTF-8
	Doc   *diff.Document // the same as JSON; for Lines the array of its lines
	Lines bool           // the body is text, not JSON
	Merge bool           // patches are merge patches (RFC 7396)

	// Repaired says that Body is not byte for byte what the upstream sent, which
	// was no UTF-8.
	Repaired bool

	// Resumed says that this is what was known when the resource was last
	// watched, and that the upstream has not confirmed it yet. Who holds a
	// version already may hold a newer one.
	Resumed bool

	At  time.Time // when the upstream was first seen to say this
	Err *Error    // why the latest poll failed; nil when it succeeded

	// Over says that there will be no further snapshot, for the reason that Err
	// gives.
	Over bool

	trail   []step // how clients get here from earlier versions, oldest first
	seen    *lastSeen
	push    *push    // the span of telling it; nil: none is recorded
	history *history // of the resource that shows it; nil: of none

	// mu guards memo.
	mu   sync.Mutex
	memo map[Key]*memo
}

// A step is the patch from one version to the next of the trail; the last
// step leads to the snapshot itself.
type step struct {
	from  string
	patch []byte // RFC 6902, an array
}

// maxSteps bounds the steps that are remembered where patches are tiny.
const maxSteps = 512

// versionOf names a document: 128 bits of SHA-256, base64url without padding.
func versionOf(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Confirmed is when the upstream was last seen to say this: the time of the
// last good poll.
func (s *Snapshot) Confirmed() time.Time {
	at, _ := s.seen.last()
	return at
}

// Header returns the end-to-end headers of the last good answer, without
// Set-Cookie, and when it came. The headers may not be modified.
func (s *Snapshot) Header() (http.Header, time.Time) {
	at, header := s.seen.last()
	return header, at
}

// Private reports whether the snapshot was polled for one identity only.
func (s *Snapshot) Private() bool { return s.seen.private }

// Patch returns the patch that leads from the version that a client holds to
// this one; nil where that version is not remembered, or where the patch is
// not smaller than the document.
//
// RFC 6902 patches are joined end to end: applying the operations of one after
// those of the other is applying both. So the remembered patches are all the
// history that is needed, and they are never worth more than the document.
func (s *Snapshot) Patch(from string) []byte {
	last := len(s.trail) - 1
	for i := last; i >= 0; i-- {
		switch {
		case s.trail[i].from != from:
		case i == last:
			return s.trail[i].patch
		default:
			return s.Memo(Key{Kind: "patch", From: from}, (*Snapshot).joined)
		}
	}
	return nil
}

// PatchFor is Patch for one client. Told says that it was told here that it holds
// from, and has not left since. Where not everybody is let in a joined patch may
// tell what stood there while this client was not, so that it is only for those
// who have been let in all along; and where each client's own answer has to be the document, for
// nobody.
func (s *Snapshot) PatchFor(from string, told bool) []byte {
	last := len(s.trail) - 1
	if s.seen.guarded && (s.seen.proved || !told) && (last < 0 || s.trail[last].from != from) {
		return nil
	}
	return s.Patch(from)
}

func (s *Snapshot) joined(k Key) []byte {
	i := len(s.trail) - 1
	for s.trail[i].from != k.From {
		i--
	}
	patch := joinPatches(s.trail[i:])
	if len(patch) >= len(s.Compact()) {
		return nil
	}
	return patch
}

// Ended returns what follows s when what it shows may not be shown any more.
func (s *Snapshot) Ended(err *Error) *Snapshot {
	return &Snapshot{URL: s.URL, Err: err, Over: true, seen: s.seen}
}

// Withheld returns s for one who may not be shown its document yet: the error
// alone.
func (s *Snapshot) Withheld() *Snapshot {
	return &Snapshot{URL: s.URL, Err: s.Err, Over: s.Over, seen: new(lastSeen)}
}

// Compact returns the document's JSON without insignificant white space.
func (s *Snapshot) Compact() []byte {
	return s.Memo(Key{Kind: "compact"}, func(s *Snapshot, _ Key) []byte { return s.Doc.AppendCompact(nil) })
}

func joinPatches(steps []step) []byte {
	if len(steps) == 1 {
		return steps[0].patch
	}
	n := 1
	for _, s := range steps {
		n += len(s.patch) - 1
	}
	joined := make([]byte, 0, n)
	for i, s := range steps {
		joined = append(joined, s.patch[:len(s.patch)-1]...)
		if i > 0 {
			joined[len(joined)-len(s.patch)+1] = ',' // its opening bracket
		}
	}
	return append(joined, ']')
}

// extendTrail returns the trail of the document that patch makes of the one
// that trail leads to. Where there is no patch, or together they are no
// smaller than the document, earlier steps are dropped. The slice may share
// memory with trail: only the newest trail is ever extended.
func extendTrail(trail []step, from string, patch []byte, size int) []step {
	if patch == nil {
		return nil
	}
	trail = append(trail, step{from, patch})
	total, first := 0, len(trail)
	for first > 0 && len(trail)-first < maxSteps && total+len(trail[first-1].patch) < size {
		first--
		total += len(trail[first].patch)
	}
	return trail[first:]
}

// failed returns what follows s when a poll ends with err: the same document.
func (s *Snapshot) failed(err *Error) *Snapshot {
	next := s.bare()
	next.Resumed = s.Resumed
	next.Err = err
	return next
}

// bare returns s without what was made from it and without its error.
func (s *Snapshot) bare() *Snapshot {
	return &Snapshot{
		Version: s.Version, URL: s.URL, Body: s.Body, Doc: s.Doc, Lines: s.Lines, Merge: s.Merge,
		Repaired: s.Repaired, At: s.At, trail: s.trail, seen: s.seen,
	}
}

// size is the number of bytes of memory that the snapshot holds.
func (s *Snapshot) size() int {
	n := 1 << 10
	if s.Doc != nil {
		n += s.Doc.Size()
	}
	if s.Lines {
		n += len(s.Body)
	}
	for _, t := range s.trail {
		n += len(t.patch)
	}
	return n
}

// A Key names something that is made from a snapshot.
type Key struct{ Kind, Form, From string }

type memo struct {
	once  sync.Once
	value []byte
}

// Memo returns what build returns, which is called once per snapshot and key
// however many ask: what is derived from a snapshot is made by the first to
// need it, shared by all, and goes when the snapshot goes. Where build is a
// plain function a later call allocates nothing.
func (s *Snapshot) Memo(k Key, build func(*Snapshot, Key) []byte) []byte {
	s.mu.Lock()
	m := s.memo[k]
	if m == nil {
		if s.memo == nil {
			s.memo = make(map[Key]*memo)
		}
		m = new(memo)
		s.memo[k] = m
	}
	s.mu.Unlock()
	m.once.Do(func() { m.value = build(s, k) })
	return m.value
}

// lastSeen is when a resource's document was last confirmed, and by what. The
// snapshots of a resource share it, so that a poll that changed nothing makes
// nothing new.
type lastSeen struct {
	private bool // polled for one identity
	guarded bool // Rule.Shared
	proved  bool // Rule.Proved

	mu     sync.Mutex // guards the fields below
	at     time.Time
	header http.Header // replaced, never modified
}

// unseen is what a resource's document is as long as there is none.
func (r *resource) unseen() *lastSeen {
	return &lastSeen{private: r.private, guarded: r.req.Rule.Shared, proved: r.req.Rule.Proved}
}

func (l *lastSeen) last() (time.Time, http.Header) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at, l.header
}

func (l *lastSeen) set(at time.Time, header http.Header) {
	l.mu.Lock()
	l.at, l.header = at, header
	l.mu.Unlock()
}

// updated returns the stored headers as a 304 updates them (RFC 9111, section
// 3.2).
func (l *lastSeen) updated(header http.Header) http.Header {
	_, stored := l.last()
	merged := stored.Clone()
	if merged == nil {
		merged = make(http.Header)
	}
	for name, values := range header {
		if !strings.HasPrefix(name, "Content-") {
			merged[name] = values
		}
	}
	return merged
}
