package poller

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// What is shown to the operator: the dashboard, its JSON and the metrics are
// made of these. They hold no header, no query and no document: a private
// resource is told by its path and two fingerprints that nobody can turn back.

// A RuleStatus is one rule and what it is at.
type RuleStatus struct {
	Rule      string        // its pattern
	Interval  time.Duration // as it is configured; set by who has the configuration
	Resources int           // that are polled
	Failing   int           // of these, the ones whose latest poll failed
	Watchers  int           // sockets, streams and requests that wait
	Counts

	Stalest time.Duration // how long ago the upstream was last read for the one that fails longest
	// What was saved, in requests to the upstream and in bytes to clients. That is a
	// difference, which falls while something is polled that nobody watches any
	// more; these are the most that it has been seen to be, so that they never fall.
	Avoided, Saved float64

	Told   Times             // from when a change was seen to when it was sent to one who held the document before
	Failed map[string]uint64 // polls that failed, by the code of their error

	Diffed  Elapsed // comparisons of an answer with the document before it
	Resumed Resumes
}

// A State is what can be told of a resource in a word.
type State string

// The states of a resource.
const (
	StateWaiting State = "waiting" // nothing is known yet, or not confirmed since it was last watched
	StateLive    State = "live"    // the latest poll was good
	StateStale   State = "stale"   // the latest poll failed; the last good document is shown
	StateFailing State = "failing" // there was no good poll yet
	StateOver    State = "over"    // refused for good: nobody can watch it
)

// A ResourceStatus is one resource and what it is at.
type ResourceStatus struct {
	ID       string // names it for as long as the process runs
	Rule     string
	Purpose  string // as Rule.Purpose
	Path     string // of its URL
	Query    bool   // the URL has a query, which is not told
	User     string // a fingerprint of whose credentials it is polled with; empty: everybody's
	State    State
	Reason   string        // why it is not live; else empty
	Watchers int           //
	Interval time.Duration // in force
	Next     time.Time     // when the next poll is due; zero: none is known to be
	Left     time.Time     // when the last watcher left; zero: somebody watches

	Polled        time.Time // start of the latest poll that ended; zero: none has
	Confirmed     time.Time // when the upstream was last seen to say this
	Changed       time.Time // and when it was first; zero: it has not said anything
	Lines         bool      // the document is text, patched by lines
	DocumentBytes int       // decompressed; 0 where there is none
	PatchBytes    int       // of the latest change, if it could be told by a patch
	Spark         []uint16  // changes in each of the last SparkSteps steps of SparkStep, oldest first
	Counts
}

// A Resource is a ResourceStatus with what is remembered.
type Resource struct {
	ResourceStatus
	Polls   []Poll          // the newest first
	Changes []PatchedChange // the newest first
}

// A PatchedChange is a Change with the patch that says it.
type PatchedChange struct {
	Change
	Patch  []byte // RFC 6902 or, if Merge, RFC 7396; nil where it is not kept
	Merge  bool
	Before []byte // the document that the patch applies to, as JSON; nil where it was not kept
}

// tallyLocked returns what a rule's counts are kept in. p.mu is held.
func (p *Poller) tallyLocked(rule *Rule) *ruleTally {
	t := p.tallies[rule.Name]
	if t == nil {
		t = new(ruleTally)
		p.tallies[rule.Name] = t
	}
	return t
}

// Rules returns the status of every rule that anything was polled for, by name.
func (p *Poller) Rules() map[string]RuleStatus {
	rules := make(map[string]RuleStatus)
	p.mu.Lock()
	for name, t := range p.tallies {
		s := t.read()
		s.Rule = name
		rules[name] = s
	}
	p.mu.Unlock()
	now := time.Now()
	for _, r := range p.resources() {
		s := rules[r.rule.Load().Name]
		s.Resources++
		if newest := r.newest.Load(); newest != nil && newest.Err != nil {
			s.Failing++
			if at := newest.Confirmed(); !at.IsZero() {
				s.Stalest = max(s.Stalest, now.Sub(at))
			}
		}
		if r.rule.Load().Purpose == "" {
			s.Watchers += r.watchers()
		}
		rules[r.rule.Load().Name] = s
	}
	return rules
}

// Usage is what a Poller holds and does at a moment.
type Usage struct {
	Resources     int // that are polled
	DocumentBytes int // of memory that these hold: documents, and the patches that lead to them
	Polling       int // polls under way

	Idle      int    // resources that nobody watches and that are remembered
	IdleBytes int    // of memory that these hold
	Evicted   uint64 // idle resources that had to make room so far
}

// Usage returns what the Poller holds and does now.
func (p *Poller) Usage() Usage {
	all := p.resources()
	u := Usage{Resources: len(all), Polling: len(p.allowed.Load().slots)}
	for _, r := range all {
		if s := r.newest.Load(); s != nil {
			u.DocumentBytes += s.size()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u.Idle, u.IdleBytes, u.Evicted = p.idle.Len(), p.idleBytes, p.evicted
	return u
}

// resources are those that are polled at present.
func (p *Poller) resources() []*resource {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*resource, 0, len(p.watched))
	for _, r := range p.watched {
		all = append(all, r)
	}
	return all
}

// An Order is by what resources are listed.
type Order string

// The orders. What is most, or newest, comes first.
const (
	ByWatchers Order = "watchers" // also the zero value's meaning
	ByChanged  Order = "changed"
	ByBytes    Order = "bytes"
	ByPath     Order = "path" // the first in the alphabet
)

// A Selection says which resources to list.
type Selection struct {
	Rule   string // of this rule only; empty: of all
	State  State  // in this state only; empty: in any
	Text   string // with this in the path, or this fingerprint of the user
	Order  Order
	Offset int
	Limit  int
}

// Resources returns a part of the list of resources, and how long the list is.
func (p *Poller) Resources(s Selection) (part []ResourceStatus, total int) {
	type row struct {
		r       *resource
		rank    float64
		path, n string
	}
	var rows []row
	for _, r := range p.resources() {
		path, _, _ := strings.Cut(r.req.URL, "?")
		switch {
		case s.Rule != "" && r.rule.Load().Name != s.Rule:
		case s.State != "" && stateOf(r.newest.Load()) != s.State:
		case s.Text != "" && !strings.Contains(path, s.Text) && r.user() != s.Text:
		default:
			rows = append(rows, row{r, r.rank(s.Order), path, r.id()})
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.path, b.path), cmp.Compare(a.n, b.n))
	})
	total = len(rows)
	rows = rows[min(max(s.Offset, 0), total):]
	rows = rows[:min(max(s.Limit, 0), len(rows))]
	now := time.Now()
	for _, row := range rows {
		part = append(part, row.r.status(now))
	}
	return part, total
}

// Resource returns the resource of an ID; not ok where it is not polled, or
// not any more. With documents it keeps, for a minute from now on, those that
// are replaced, unless they are large, so that a change can be shown with what
// was there before.
func (p *Poller) Resource(id string, documents bool) (res Resource, ok bool) {
	for _, r := range p.resources() {
		if r.id() == id {
			return r.detail(time.Now(), documents), true
		}
	}
	return Resource{}, false
}

// rank is what resources are ordered by, the largest first.
func (r *resource) rank(o Order) float64 {
	newest := r.newest.Load()
	switch o {
	case ByPath:
		return 0
	case ByChanged:
		if newest == nil {
			return -1e18
		}
		return -time.Since(newest.At).Seconds()
	case ByBytes:
		if newest == nil {
			return 0
		}
		return float64(len(newest.Body))
	}
	return float64(r.watchers())
}

func (r *resource) watchers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.watches)
}

func (r *resource) id() string { return hex.EncodeToString(r.key[:8]) }

// user tells those apart whose credentials are sent, for as long as the process
// runs: the same for all that one of them watches.
func (r *resource) user() string {
	if !r.private {
		return ""
	}
	return r.p.fetch.fingerprint(r.identity)
}

func (f *fetcher) fingerprint(identity http.Header) string {
	h := hmac.New(sha256.New, f.secret[:])
	writeField(h, "fingerprint")
	names := make([]string, 0, len(identity))
	for name := range identity {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if common[name] {
			continue
		}
		writeField(h, name)
		for _, v := range identity[name] {
			writeField(h, v)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}

func stateOf(s *Snapshot) State {
	switch {
	case s == nil, s.Resumed && s.Err == nil:
		return StateWaiting
	case s.Over:
		return StateOver
	case s.Err == nil:
		return StateLive
	case s.Version == "":
		return StateFailing
	}
	return StateStale
}

func (r *resource) status(now time.Time) ResourceStatus {
	path, _, query := strings.Cut(r.req.URL, "?")
	newest := r.newest.Load()
	s := ResourceStatus{
		ID: r.id(), Rule: r.rule.Load().Name, Purpose: r.rule.Load().Purpose, Path: path, Query: query, User: r.user(),
		State: stateOf(newest), Interval: time.Duration(r.interval.Load()),
	}
	if newest != nil {
		s.Confirmed, s.Changed, s.DocumentBytes, s.Lines = newest.Confirmed(), newest.At, len(newest.Body), newest.Lines
		if newest.Err != nil {
			s.Reason = newest.Err.brief()
		}
	}
	r.mu.Lock()
	s.Watchers, s.Polled, s.Next = len(r.watches), r.started, r.next
	if len(r.watches) == 0 {
		s.Left = r.left
	}
	r.mu.Unlock()
	h := &r.history
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Counts, s.Spark, s.PatchBytes = h.counts, h.spark.list(now), h.changes.newest().PatchBytes
	return s
}

func (r *resource) detail(now time.Time, documents bool) Resource {
	d := Resource{ResourceStatus: r.status(now)}
	r.history.mu.Lock()
	if documents {
		r.history.lookedAt = now
	}
	d.Polls = r.history.polls.list()
	changes := r.history.changes.list()
	r.history.mu.Unlock()
	newest := r.newest.Load()
	at := -1 // in the trail, the step of the change at hand
	for _, c := range changes {
		p := PatchedChange{Change: c}
		if documents && c.before != nil {
			p.Before = c.before.Bytes()
		}
		if newest != nil && at < 0 && c.version == newest.Version {
			at = len(newest.trail)
		}
		if at--; at >= 0 {
			p.Patch, p.Merge = newest.trail[at].patch, newest.Merge
		}
		d.Changes = append(d.Changes, p)
	}
	return d
}
