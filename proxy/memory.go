package proxy

import (
	"runtime/debug"
	"sync"
	"time"
)

// A tidy gives memory back after many have joined. A handshake leaves some
// kilobytes of garbage behind, twice as much as the connection needs; who is
// idle from then on causes no collection that would return them. The zero
// value works.
type tidy struct {
	mu     sync.Mutex // guards the fields below
	open   int        // connections
	tidied int        // how many there were the last time
	timer  *time.Timer
}

const (
	tidyGrowth = 256         // connections, and an eighth of those there were
	tidyAfter  = time.Second // without a new one
)

func (t *tidy) joined() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open++
	switch {
	case t.open < t.tidied+t.tidied/8+tidyGrowth:
	case t.timer == nil:
		t.timer = time.AfterFunc(tidyAfter, t.run)
	default:
		t.timer.Reset(tidyAfter)
	}
}

func (t *tidy) left() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	t.tidied = min(t.tidied, t.open)
}

func (t *tidy) run() {
	t.mu.Lock()
	t.tidied = t.open
	t.mu.Unlock()
	debug.FreeOSMemory()
}
