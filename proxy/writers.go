package proxy

import (
	"net"
	"runtime"
	"slices"
	"sync"

	"pollbridge/poller"
)

// writers are the goroutines that send. There are as many as can run at once,
// and they are there only while there is something to send: a change to ten
// thousand sockets costs ten thousand system calls and hardly more.
//
// A socket that has something due is in the queue once, however much is due to
// it: what has come up until its turn goes out in one send. A writer waits for
// nobody. What a peer does not take at once is left to a goroutine of that
// socket, which comes back to the queue when it is done.
type writers struct {
	mu      sync.Mutex // guards the fields below
	queue   []*socket  // from first on; what was before has been taken
	first   int
	running int
}

var maxWriters = runtime.GOMAXPROCS(0)

// add puts a socket into the queue. It does not wait.
func (w *writers) add(s *socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == cap(w.queue) && w.first > len(w.queue)/2 { // there is room at the front
		n := copy(w.queue, w.queue[w.first:])
		clear(w.queue[n:])
		w.queue, w.first = w.queue[:n], 0
	}
	w.queue = append(w.queue, s)
	if w.running < maxWriters {
		w.running++
		go w.run()
	}
}

// A batch is the sockets that a writer takes at a time.
type batch [8]*socket

// take takes the next sockets off the queue; none when the writer is not needed
// any more.
func (w *writers) take(b *batch) []*socket {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := b[:copy(b[:], w.queue[w.first:])]
	clear(w.queue[w.first : w.first+len(taken)])
	if w.first += len(taken); w.first == len(w.queue) {
		w.queue, w.first = w.queue[:0], 0
	}
	if len(taken) == 0 {
		w.running--
	}
	return taken
}

// turn is how many batches are served before others may run, and before the time
// is looked at.
const turn = 4

func (w *writers) run() {
	var o outbox
	var b batch
	for n := 1; ; n++ {
		sockets := w.take(&b)
		if len(sockets) == 0 {
			o.count()
			return
		}
		o.fetch(sockets)
		for _, s := range sockets {
			s.write(&o)
		}
		if n%turn == 0 {
			o.count()
			runtime.Gosched()
		}
	}
}

// An outbox is what a writer works with, so that a delivery allocates nothing.
type outbox struct {
	tasks  []task
	frames net.Buffers
	sender sender
	far    fetched

	// The latest message that was built: most often the next socket gets it too.
	message message
	deflate bool
	frame   []byte
	uses    int // of it, that were not counted yet
	joined  int // of these, the first that somebody is sent who holds nothing
	resumed int // of these, the first that somebody is sent who came with a version
	prompt  int // of these, the ones that tell a change as it happens, and not what there is to one who comes
}

// fetched is what never changes in the first and the last of what a delivery
// needs of a socket.
type fetched struct {
	p    *Proxy
	conn net.Conn
}

// fetch has the processor ask memory for all of these sockets at once. One after
// the other, each would be waited for.
func (o *outbox) fetch(sockets []*socket) {
	for _, s := range sockets {
		o.far = fetched{s.p, s.wire.Conn}
	}
}

// build returns the frame of m.
func (o *outbox) build(m message, deflate bool) []byte {
	if m != o.message || deflate != o.deflate || m.kind == kindCurrent { // which says when
		o.count()
		o.message, o.deflate, o.frame = m, deflate, m.frame(deflate)
	}
	o.uses++
	return o.frame
}

// count has what was built taken note of.
func (o *outbox) count() {
	o.message.sent(o.uses, o.uses*len(o.frame))
	if o.joined > 0 {
		o.message.snapshot.Joined(o.joined)
	}
	if o.prompt > 0 {
		o.message.snapshot.Told(o.prompt)
	}
	o.message.resumed(o.resumed)
	o.uses, o.joined, o.resumed, o.prompt = 0, 0, 0, 0
}

// A task is a subscription whose client does not know the newest.
type task struct {
	sub    *subscription
	watch  source
	ending bool // nor that it ends
	reason *poller.Error
}

// write sends what is due to the socket.
func (s *socket) write(o *outbox) {
	defer s.survive()
	if !s.takeDue(o) {
		return
	}
	o.frames = o.frames[:0]
	for _, t := range o.tasks {
		s.news(o, t)
	}
	rest, done, err := s.wire.try(&o.sender, o.frames)
	switch {
	case err != nil:
		s.wire.Close() // read ends, and with it the socket
	case !done:
		go s.writeSlowly(slices.Clone(rest))
	default:
		s.written()
	}
}

// writeSlowly waits for a peer that does not take everything at once.
func (s *socket) writeSlowly(frames net.Buffers) {
	defer s.survive()
	if s.wire.writeFrames(frames) == nil {
		s.written()
	}
}

// takeDue takes over what is due. It reports false when nothing is.
func (s *socket) takeDue(o *outbox) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.tasks = o.tasks[:0]
	if s.firstDue == nil || s.closed {
		s.writing = false
		return false
	}
	for sub := s.firstDue; sub != nil; {
		sub.isDue = false
		if old := sub.replaces; old != nil {
			sub.view.version, sub.replaces = old.view.version, nil
		}
		if sub.anew {
			sub.view, sub.anew = view{version: sub.view.version}, false
		}
		o.tasks = append(o.tasks, task{sub, sub.watch, sub.ending, sub.reason})
		sub, sub.nextDue = sub.nextDue, nil
	}
	s.firstDue, s.lastDue = nil, nil
	return true
}

// written puts the socket into the queue again if more has become due.
func (s *socket) written() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.firstDue == nil || s.closed {
		s.writing = false
		return
	}
	s.p.writers.add(s)
}
