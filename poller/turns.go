package poller

import "sync"

// turns are the resources whose poll is due, in the order in which it became
// so, and the goroutines that make the polls: as many as polls may be under way,
// which come when they are needed and stay. A resource has none of its own. It
// waits on a timer, which costs less than a stack, and the stack of one that
// polls all the time has grown once and for all.
type turns struct {
	mu          sync.Mutex // guards the fields below, and every resource.after; taken after a resource's
	came        sync.Cond  // there is one more, or there will be no more
	first, last *resource
	workers     int
	idle        int // of workers, those that wait
	closed      bool
}

// addTurn has r polled when its turn comes. It does not wait.
func (p *Poller) addTurn(r *resource) {
	t := &p.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if t.last == nil {
		t.first = r
	} else {
		t.last.after = r
	}
	t.last = r
	switch {
	case t.idle > 0:
		t.idle--
		t.came.Signal()
	case t.workers < p.allowed.Load().concurrency:
		t.workers++
		p.running.Go(p.work)
	}
}

// take waits for the next resource; nil: there will be none.
func (t *turns) take() *resource {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.first == nil && !t.closed {
		t.idle++
		t.came.Wait()
	}
	if t.closed {
		return nil
	}
	r := t.first
	t.first, r.after = r.after, nil
	if t.first == nil {
		t.last = nil
	}
	return r
}

func (t *turns) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.came.Broadcast()
}

// work makes the polls that are due, one after the other, until the Poller is closed.
func (p *Poller) work() {
	for r := p.turns.take(); r != nil; r = p.turns.take() {
		if slot, ok := p.acquire(r.ctx); ok {
			r.adopt()
			r.poll(r.ctx)
			<-slot
		}
		r.mu.Lock()
		r.busy = false
		r.plan()
		r.mu.Unlock()
	}
}
