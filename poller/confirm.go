package poller

import "pollbridge/diff"

// Not every answer is believed at once: one that has lost much may have been cut
// off, and where replicas behind a balancer disagree the answers of one and of
// another come in turn.

// doubts reports whether an answer lost so much that the next one has to say
// so too before it is believed.
func (r *resource) doubts(a *answer) bool {
	if r.req.Rule.ConfirmShrink < 0 {
		return false
	}
	limit := 1 - r.req.Rule.ConfirmShrink
	if r.req.Rule.ConfirmShrink == 0 {
		limit = 0
	}
	if !a.delimited {
		limit = 1
	}
	doubtful := !r.doubted && r.base != nil && float64(len(a.body)) < limit*float64(len(r.base.Body))
	r.doubted = doubtful
	return doubtful
}

// A claim is a change that was seen and is not believed yet. The zero value is
// none.
type claim struct {
	doc   *diff.Document
	lines bool
	polls int // in a row that have said so
}

// says reports whether a claim means the same as s.
func (c *claim) says(s *Snapshot, differ *diff.Differ) bool {
	if c.polls == 0 || c.lines != s.Lines {
		return false
	}
	if s.Lines {
		differ = nil // every byte of text counts
	}
	doc, _, err := differ.Next(c.doc, s.Doc.Bytes())
	return err == nil && doc == c.doc
}

// believes reports whether as many polls in a row as the rule wants have said
// what next says, where that is a change.
func (r *resource) believes(next *Snapshot) bool {
	if r.base == nil || r.req.Rule.Confirm <= 1 {
		return true
	}
	if !r.claim.says(next, r.req.Rule.Differ) {
		r.claim = claim{doc: next.Doc, lines: next.Lines}
	}
	r.claim.polls++
	if r.claim.polls < r.req.Rule.Confirm {
		return false
	}
	r.claim = claim{}
	return true
}

// noteTakenBack takes note that the document is confirmed: a change that was not
// believed yet is none.
func (r *resource) noteTakenBack() {
	if r.claim.polls > 0 {
		r.claim = claim{}
		r.history.count(func(c *Counts) { c.Flaps++ })
	}
}

// noteReturn takes note of a change that leads back to what the one before it
// has replaced.
func (r *resource) noteReturn(next *Snapshot) {
	if r.base == nil {
		return
	}
	if next.Version == r.replaced {
		r.history.count(func(c *Counts) { c.Flaps++ })
	}
	r.replaced = r.base.Version
}

// behind reports whether a poll that was wanted after what is newest was seen,
// after a write above all, has brought something that is not believed yet.
func (r *resource) behind() bool {
	s := r.newest.Load()
	if s == nil || s.Err != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.Confirmed().Before(r.want)
}

// Behind reports whether what is newest may be older than what was last asked
// for, because the answer to that was not believed yet.
func (w *Watch) Behind() bool { return w.resource.behind() }
