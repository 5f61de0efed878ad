package passthrough

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"sync"
	"time"
)

// A pace ends an exchange in which nothing moves any more (see Options.Answer and Options.Idle): it has whatever waits
// give up, by deadlines that are over. That takes a timer, which looks when it fires how long ago something has moved,
// and no goroutine. The zero value ends nothing.
type pace struct {
	ctx     context.Context // of the request to the upstream; nil: there are no limits
	cancel  context.CancelFunc
	control *http.ResponseController // of the client's side
	limits  [3]time.Duration         // of the phases

	// mu guards the fields below.
	mu     sync.Mutex
	timer  *time.Timer
	phase  phase
	moved  time.Time // when something has
	few    int       // bytes since then that are not enough to count
	body   bool      // the client's has not ended
	reads  bool      // and is waited for
	turned time.Time // since when it is, or is not
	tunnel net.Conn  // to the client; nil: there is none
	late   error     // nothing has moved for too long
	client bool      // and it was for the client to send
	over   bool      // the exchange has ended, and nothing of it may be touched any more
}

// A phase is what an exchange is in, one after the other.
type phase int

const (
	asking    phase = iota // the request
	waiting                // for the answer to begin
	answering              // or tunnelling
)

// enough is how many bytes of a body of known length have to move, or its rest: who sends or takes less in all that
// time holds a connection and does not mean to end. Where the length is unknown the body may be a stream, and a byte is enough.
const enough = bufferSize

// longAgo is a deadline that is over.
var longAgo = time.Unix(1, 0)

func (p *pace) begin(ctx context.Context, control *http.ResponseController, answer, idle time.Duration) {
	if answer <= 0 && idle <= 0 {
		return
	}
	for phase, limit := range [...]time.Duration{asking: idle, waiting: answer, answering: idle} {
		if p.limits[phase] = limit; limit <= 0 {
			p.limits[phase] = math.MaxInt64
		}
	}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.control, p.moved = control, time.Now()
	p.mu.Lock() // look is not to find half of this
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(p.limits[p.phase], p.look)
}

// end is called when the exchange has ended.
func (p *pace) end() {
	if p.ctx == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
	p.cancel()
}

// enter goes on to a phase, unless a later one has begun.
func (p *pace) enter(next phase) {
	if p.ctx == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved, p.few = time.Now(), 0
	p.body = p.body && next != waiting
	if next > p.phase && !p.over {
		p.phase = next
		p.timer.Reset(p.limits[next])
	}
}

// took counts n bytes that have moved, of a stream or of a body of known length.
func (p *pace) took(n int, stream bool) {
	if p.ctx == nil || n <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.few += n; stream || p.few >= enough {
		p.moved, p.few = time.Now(), 0
	}
}

// reading says whether the client's body is waited for.
func (p *pace) reading(reads bool) {
	if p.ctx == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body, p.reads, p.turned = true, reads, time.Now()
}

// tunnels says that the exchange has become a tunnel to the client.
func (p *pace) tunnels(client net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tunnel = client
}

// tooLate says why the exchange is being ended, and whether it was for the client to go on; nil: it is not.
func (p *pace) tooLate() (why error, client bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.late, p.client
}

// look ends the exchange if nothing has moved for too long, and in any case looks again: who is told of the end can be
// one who takes nothing.
func (p *pace) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	if left := p.limits[p.phase] - time.Since(p.moved); left > 0 {
		p.timer.Reset(left)
		return
	}
	again := p.late != nil
	if limit := p.limits[p.phase]; !again {
		p.late = fmt.Errorf("nothing has moved for %v", limit)
		p.client = p.phase == asking && p.body && (p.reads || time.Since(p.turned) < limit/2) // else the upstream does not take it
	}
	p.cancel()
	switch {
	case p.tunnel != nil:
		p.tunnel.SetDeadline(longAgo)
	case p.phase == answering || again:
		p.control.SetWriteDeadline(longAgo)
	}
	if p.tunnel == nil && p.body {
		p.control.SetReadDeadline(longAgo) // what waits for a body that has ended is net/http, for the client to go
	}
	p.moved = time.Now()
	p.timer.Reset(p.limits[p.phase])
}
