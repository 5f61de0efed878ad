package poller

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// Reload puts other rules in force, and other limits: those of o that say how
// many polls there may be; zero means what it means to New.
//
// A rule is the same as before if its Name and Generation are. Then all that is
// watched under it goes on without a gap, with its snapshots, history and
// timers, and as the new rule says from the next poll on. It is up to the
// caller that a rule of the same generation asks for the same and shows it to
// the same people.
//
// Resources of any other rule are polled for those who still watch them, which
// should be for a moment only, and are neither kept nor remembered after that.
func (p *Poller) Reload(rules []*Rule, o Options) {
	o = o.withDefaults()
	p.allow(o.Concurrency, o.Rate)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.o.Resources, p.o.ResourcesPerClient = o.Resources, o.ResourcesPerClient
	p.rules = make(map[ruleID]*Rule, len(rules))
	for _, r := range rules {
		p.rules[r.id()] = r
	}
	for _, r := range p.watched {
		if rule, ok := p.rules[r.rule.Load().id()]; ok {
			r.rule.Store(rule)
			r.mu.Lock()
			r.plan()
			r.mu.Unlock()
			continue
		}
		p.dismissLocked(r)
		p.retireLocked(r)
	}
	for _, k := range p.idle.Keys() {
		if i, _ := p.idle.Peek(k); p.rules[i.rule] == nil {
			p.idle.Remove(k)
		}
	}
}

// inForce has req go by the rule in force that asks for the same. It reports
// false where there is none. p.mu is held.
func (p *Poller) inForce(req *Request) bool {
	if p.rules == nil {
		return true
	}
	rule, ok := p.rules[req.Rule.id()]
	if ok {
		req.Rule = rule
	}
	return ok
}

// dismissLocked has a resource go with its last watcher, and takes nobody's place
// by it until then. p.mu is held.
func (p *Poller) dismissLocked(r *resource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outgoing {
		return
	}
	r.outgoing = true
	p.outgoing++
	if p.causedBy[r.client]--; p.causedBy[r.client] == 0 {
		delete(p.causedBy, r.client)
	}
	r.client = netip.Addr{}
	p.causedBy[r.client]++
}

// adopt goes over to the rule in force, between two polls.
func (r *resource) adopt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.adoptLocked()
}

func (r *resource) adoptLocked() {
	old, rule := r.req.Rule, r.rule.Load()
	if rule == old {
		return
	}
	r.req.Rule = rule
	r.validators = validators{} // an answer that was taken for the same, because of ignore, may be none to the new rule
	longest := max(rule.MaxInterval, rule.Interval)
	before := time.Duration(r.interval.Load())
	interval := min(max(before, rule.Interval), longest)
	if rule.Interval != old.Interval {
		interval = rule.Interval
	}
	if interval == before {
		return
	}
	r.interval.Store(int64(interval))
	if r.next.IsZero() || r.failures > 0 {
		return // the first poll is due at once, and after a failure the wait is not the interval
	}
	r.next = r.started.Add(interval)
	if now := time.Now(); r.next.Before(now) { // for all resources of the rule alike: do not poll in step
		r.next = now.Add(time.Duration(rand.Int64N(int64(interval))))
	}
}
