package poller

import (
	"maps"
	"sync"
	"time"
)

// Counts are what one rule, or one resource, has done and saved. Those of a
// rule only grow; those of a resource begin when it is first watched and go
// with it. They are plain numbers, to be copied, added and shown.
type Counts struct {
	// Polls that have ended, by result. Together they are all polls.
	Changed     uint64 `json:"changed"`      // there is a new document
	Unchanged   uint64 `json:"unchanged"`    // an answer came, and there is none
	NotModified uint64 `json:"not_modified"` // the upstream said so: 304
	Errors      uint64 `json:"errors"`       // no document could be had

	// Flaps are changes that led back to what the one before had replaced, and those
	// that Rule.Confirm has held back and that were taken back.
	Flaps uint64 `json:"flaps"`

	PollTimes   Times  `json:"-"`            // of the exchanges with the upstream
	PolledBytes uint64 `json:"polled_bytes"` // of bodies, as they crossed the network: compressed if they were

	// What was sent to watchers: sockets, streams, and long-polls that were
	// answered with news. Bytes are those of the messages, compressed if they were.
	Snapshots     uint64 `json:"snapshots"`
	SnapshotBytes uint64 `json:"snapshot_bytes"`
	Patches       uint64 `json:"patches"`
	PatchBytes    uint64 `json:"patch_bytes"`

	// Plain GETs answered from the snapshot, and the bytes of the bodies.
	Answers     uint64 `json:"answers"`
	AnswerBytes uint64 `json:"answer_bytes"`

	// Watchers that came and held nothing: each is a page that was loaded.
	Joined uint64 `json:"joined"`

	// What asking for oneself would have cost: every watcher one request as it
	// came and one an interval for as long as it watched, and every plain GET.
	// Each would have got what the polls got at the time, so an answer of 304
	// costs a request and no bytes.
	WatchedSeconds float64 `json:"watched_seconds"` // of all watchers together
	WouldRequests  float64 `json:"would_requests"`
	WouldBytes     float64 `json:"would_bytes"`
}

// Polls is how many polls have ended.
func (c *Counts) Polls() uint64 { return c.Changed + c.Unchanged + c.NotModified + c.Errors }

// SentBytes is how many bytes of documents and patches clients were sent.
func (c *Counts) SentBytes() uint64 { return c.SnapshotBytes + c.PatchBytes + c.AnswerBytes }

// Add adds those of o.
func (c *Counts) Add(o *Counts) {
	c.Changed += o.Changed
	c.Unchanged += o.Unchanged
	c.NotModified += o.NotModified
	c.Errors += o.Errors
	c.Flaps += o.Flaps
	c.PollTimes.add(&o.PollTimes)
	c.PolledBytes += o.PolledBytes
	c.Snapshots += o.Snapshots
	c.SnapshotBytes += o.SnapshotBytes
	c.Patches += o.Patches
	c.PatchBytes += o.PatchBytes
	c.Answers += o.Answers
	c.AnswerBytes += o.AnswerBytes
	c.Joined += o.Joined
	c.WatchedSeconds += o.WatchedSeconds
	c.WouldRequests += o.WouldRequests
	c.WouldBytes += o.WouldBytes
}

// watched is what there was of watching from one poll to the next: seconds of
// all watchers together, and how often these would have asked for themselves.
type watched struct{ seconds, requests float64 }

// watched counts what there was of watching. An answer had bytes.
func (c *Counts) watched(w watched, bytes int64) {
	c.WatchedSeconds += w.seconds
	c.WouldRequests += w.requests
	c.WouldBytes += w.requests * float64(bytes)
}

// poll counts one poll and the watching since the one before.
func (c *Counts) poll(p *Poll, w watched) {
	switch p.Result {
	case Changed:
		c.Changed++
	case Unchanged:
		c.Unchanged++
	case NotModified:
		c.NotModified++
	default:
		c.Errors++
	}
	c.PollTimes.Observe(p.Took, 1)
	c.PolledBytes += uint64(p.Bytes)
	c.watched(w, p.Bytes)
}

// Within are the upper bounds of the classes that Times counts in.
var Within = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Times is a histogram of durations.
type Times struct {
	Classes [len(Within) + 1]uint64 // those no longer than Within[i] and longer than the bound before; last: longer than all
	Sum     time.Duration
}

// Observe counts n durations of d.
func (t *Times) Observe(d time.Duration, n uint64) {
	i := 0
	for i < len(Within) && d > Within[i] {
		i++
	}
	t.Classes[i] += n
	t.Sum += d * time.Duration(n)
}

func (t *Times) add(o *Times) {
	for i, n := range o.Classes {
		t.Classes[i] += n
	}
	t.Sum += o.Sum
}

// Count is how many durations there are.
func (t *Times) Count() (n uint64) {
	for _, c := range t.Classes {
		n += c
	}
	return n
}

// A tally is Counts that many may add to. It is locked once a poll and once a
// batch of messages, not once a watcher.
type tally struct {
	mu     sync.Mutex
	counts Counts // guarded by mu
}

// A ruleTally is what is counted of a rule, and not of each of its resources
// too. Its mu guards all of it.
type ruleTally struct {
	tally
	told    Times             // from when a change was seen to when it was sent
	avoided float64           // the most that Avoided was when it was read
	saved   float64           // and Saved
	failed  map[string]uint64 // polls, by the code of their error
	diffed  Elapsed
	resumed Resumes
}

// Elapsed is how long something took that has happened so often.
type Elapsed struct {
	Count uint64
	Sum   time.Duration
}

// Resumes are the watchers that came with a version that they held, by what they
// were sent for it.
type Resumes struct {
	Unchanged uint64 // it is the newest
	Patch     uint64
	Snapshot  uint64
}

func (t *ruleTally) read() RuleStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.avoided = max(t.avoided, t.counts.WouldRequests-float64(t.counts.Polls()))
	t.saved = max(t.saved, t.counts.WouldBytes-float64(t.counts.SentBytes()))
	return RuleStatus{Counts: t.counts, Told: t.told, Failed: maps.Clone(t.failed), Diffed: t.diffed, Resumed: t.resumed, Avoided: t.avoided, Saved: t.saved}
}

// Told takes note that n watchers who held the document before have been sent s
// just now.
func (s *Snapshot) Told(n int) {
	if s.history == nil {
		return
	}
	d := time.Since(s.At)
	t := s.history.rule
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told.Observe(d, uint64(n))
}

// CameBack takes note that n watchers who came with a version were sent s for it:
// the confirmation of what they held, a patch, or the document.
func (s *Snapshot) CameBack(unchanged, patch bool, n int) {
	if s.history == nil {
		return
	}
	t := s.history.rule
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case unchanged:
		t.resumed.Unchanged += uint64(n)
	case patch:
		t.resumed.Patch += uint64(n)
	default:
		t.resumed.Snapshot += uint64(n)
	}
}

// diff takes note of a comparison that took so long.
func (t *ruleTally) diff(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.diffed.Count++
	t.diffed.Sum += took
}

func (t *ruleTally) fail(err *Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == nil {
		t.failed = make(map[string]uint64)
	}
	t.failed[err.Code]++
}
