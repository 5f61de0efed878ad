package poller

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// An allowance bounds the polls of all resources together. When another takes
// its place, those who wait for a turn under this one ask that one.
type allowance struct {
	concurrency int
	each        float64       // polls a second; 0: no limit
	slots       chan struct{} // one token for every poll that is under way
	rate        *rate.Limiter // nil: no limit
	replaced    chan struct{} // closed when another takes its place
}

func newAllowance(concurrency int, each float64) *allowance {
	a := &allowance{
		concurrency: concurrency, each: each,
		slots: make(chan struct{}, concurrency), replaced: make(chan struct{}),
	}
	if each > 0 {
		a.rate = rate.NewLimiter(rate.Limit(each), max(1, int(each)))
	}
	return a
}

// allow puts another allowance in the place of the one in force, unless it is
// the same.
func (p *Poller) allow(concurrency int, each float64) {
	if old := p.allowed.Load(); old.concurrency != concurrency || old.each != each {
		p.allowed.Store(newAllowance(concurrency, each))
		close(old.replaced)
	}
}

// acquire waits for leave to poll. It is given back by receiving from slot. Not
// ok: ctx has ended.
func (p *Poller) acquire(ctx context.Context) (slot <-chan struct{}, ok bool) {
	for ctx.Err() == nil {
		a := p.allowed.Load()
		if !a.wait(ctx) {
			continue
		}
		select {
		case a.slots <- struct{}{}:
			return a.slots, true
		case <-a.replaced:
		case <-ctx.Done():
		}
	}
	return nil, false
}

// wait waits until the rate allows one more. It reports false when it does not
// and will not.
func (a *allowance) wait(ctx context.Context) bool {
	if a.rate == nil {
		return true
	}
	turn := a.rate.Reserve()
	delay := turn.Delay()
	if delay == 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.replaced:
	case <-ctx.Done():
	}
	turn.Cancel()
	return false
}
