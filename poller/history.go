package poller

import (
	"time"

	"pollbridge/diff"
)

// A Result is what one poll came to.
type Result uint8

// The results of a poll.
const (
	Changed     Result = iota // there is a new document
	Unchanged                 // an answer came, and says nothing new
	NotModified               // the upstream says that nothing is new: 304
	Failed                    // no document could be had
)

var resultNames = [...]string{"changed", "unchanged", "not_modified", "error"}

func (r Result) String() string { return resultNames[r] }

// MarshalText implements encoding.TextMarshaler.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// A Poll is one poll as it is remembered.
type Poll struct {
	At     time.Time     // when it began
	Took   time.Duration // the exchange with the upstream
	Result Result
	Status uint16 // the upstream's; 0 where it did not answer
	Bytes  int64  // of the body, as it crossed the network
	Why    string // what there was to push, or why nothing was; holds nothing of the body
}

// The reasons why a poll pushed nothing, or what it pushed.
const (
	whyFirst       = "the first document: sent whole"
	whyPatch       = "sent as a patch"
	whyWhole       = "sent whole: a patch would not be smaller"
	whyFormat      = "sent whole: the rule's format is snapshot"
	whyMerge       = "sent whole: a merge patch cannot say it, or would not be smaller"
	whyKind        = "sent whole: it was JSON and is text, or the other way round"
	whyNotModified = "the upstream says that nothing has changed"
	whySame        = "the same bytes as before"
	whyMeans       = "says the same: only what ignore names, white space or the order of members is different"
	whyUnconfirmed = "a change that the next polls have to say, too"
	whyDoubted     = "so much is missing that the next poll has to say so too"
	whyAdmitted    = "the upstream lets this client see it"
)

// A Change is one document as it is remembered: its size, and that of the
// patch that led to it.
type Change struct {
	At            time.Time
	DocumentBytes int // as the upstream sent it, decompressed
	PatchBytes    int // 0: there is none, the document is sent whole

	version string
	before  *diff.Document // that it replaced; nil unless somebody looks
}

// How much a resource remembers of itself. Together with the counts that is two
// kilobytes, whatever happens.
const (
	keptPolls   = 20
	keptChanges = 8

	// SparkStep and SparkSteps say what the changes of a resource are counted by,
	// for a picture of its last minutes.
	SparkStep  = 10 * time.Second
	SparkSteps = 60
)

// A history is what a resource remembers of itself, for whoever looks.
type history struct {
	rule  *ruleTally // of its rule
	tally            // its own, whose mu also guards the fields below

	polls   ring[Poll]
	changes ring[Change]
	spark   spark

	lookedAt time.Time // when somebody last looked at the documents
}

// While somebody looks, and so long after, documents that are replaced are kept,
// if they are no larger.
const (
	lookTime  = time.Minute
	maxBefore = 1 << 20 // bytes
)

// poll takes note of a poll.
func (h *history) poll(p *Poll, w watched) {
	h.mu.Lock()
	h.counts.poll(p, w)
	h.polls.add(*p, keptPolls)
	if p.Result == Changed {
		h.spark.count(p.At)
	}
	h.mu.Unlock()

	h.rule.mu.Lock()
	h.rule.counts.poll(p, w)
	h.rule.mu.Unlock()
}

// settle counts the watching since the last poll, when there will be no other.
func (h *history) settle(w watched) {
	last := h.latest()
	h.count(func(c *Counts) { c.watched(w, last.Bytes) })
}

// latest is the poll that has ended last; the zero Poll where none has.
func (h *history) latest() Poll {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.polls.newest()
}

func (h *history) change(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.before != nil && len(c.before.Bytes()) > maxBefore {
		c.before = nil
	}
	if c.At.Sub(h.lookedAt) > lookTime {
		c.before = nil
		for i := range h.changes.items {
			h.changes.items[i].before = nil
		}
	}
	h.changes.add(c, keptChanges)
}

// count has f count what was sent, for the rule and the resource.
func (h *history) count(f func(c *Counts)) {
	for _, t := range []*tally{&h.rule.tally, &h.tally} {
		t.mu.Lock()
		f(&t.counts)
		t.mu.Unlock()
	}
}

// Sent takes note that n watchers were sent s: as a patch or whole, in so many
// bytes together.
func (s *Snapshot) Sent(patch bool, n, bytes int) {
	s.push.sent(n)
	if s.history == nil {
		return
	}
	s.history.count(func(c *Counts) {
		if patch {
			c.Patches += uint64(n)
			c.PatchBytes += uint64(bytes)
		} else {
			c.Snapshots += uint64(n)
			c.SnapshotBytes += uint64(bytes)
		}
	})
}

// Joined takes note that s is the first that n watchers were sent, who held
// nothing: each is a page that has loaded, and would have asked at once.
func (s *Snapshot) Joined(n int) {
	if s.history == nil {
		return
	}
	last := s.history.latest()
	s.history.count(func(c *Counts) {
		c.Joined += uint64(n)
		c.watched(watched{requests: float64(n)}, last.Bytes)
	})
}

// Answered takes note that s was the answer to a plain GET, of so many bytes.
func (s *Snapshot) Answered(bytes int) {
	if s.history == nil {
		return
	}
	last := s.history.latest()
	s.history.count(func(c *Counts) {
		c.Answers++
		c.AnswerBytes += uint64(bytes)
		c.watched(watched{requests: 1}, last.Bytes)
	})
}

// A ring is the last few of what was added to it.
type ring[T any] struct {
	items []T
	next  int // where the oldest is, once there are as many as are kept
}

func (r *ring[T]) add(v T, keep int) {
	if len(r.items) < keep {
		r.items = append(r.items, v)
		return
	}
	r.items[r.next] = v
	r.next = (r.next + 1) % len(r.items)
}

// newest returns what was added last; the zero value where nothing was.
func (r *ring[T]) newest() (v T) {
	if len(r.items) == 0 {
		return v
	}
	return r.items[(r.next+len(r.items)-1)%len(r.items)]
}

// list returns all, the newest first.
func (r *ring[T]) list() []T {
	all := make([]T, 0, len(r.items))
	for i := range r.items {
		all = append(all, r.items[(r.next+len(r.items)-1-i)%len(r.items)])
	}
	return all
}

// A spark counts events by steps of time.
type spark struct {
	counts [SparkSteps]uint16
	start  time.Time
	step   int64 // the latest counted in, from start
}

func (s *spark) stepOf(t time.Time) int64 { return int64(t.Sub(s.start) / SparkStep) }

func (s *spark) count(at time.Time) {
	step := s.stepOf(at)
	s.forward(step)
	if c := &s.counts[step%SparkSteps]; *c < 1<<16-1 {
		*c++
	}
}

// forward empties the steps up to one in which nothing has happened so far.
func (s *spark) forward(step int64) {
	for s.step = max(s.step, step-SparkSteps); s.step < step; {
		s.step++
		s.counts[s.step%SparkSteps] = 0
	}
}

// list returns the counts of the steps up to now, the oldest first.
func (s *spark) list(now time.Time) []uint16 {
	step := s.stepOf(now)
	s.forward(step)
	all := make([]uint16, 0, SparkSteps)
	for i := step + 1; i <= step+SparkSteps; i++ {
		all = append(all, s.counts[i%SparkSteps])
	}
	return all
}
