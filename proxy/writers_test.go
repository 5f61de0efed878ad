package proxy

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestQueue: whatever order sockets come and are taken in, each is taken once,
// first come, first served, and the queue keeps none of those that were taken
// and no more room than they need.
func TestQueue(t *testing.T) {
	w := &writers{running: math.MaxInt} // and none is begun
	var b batch
	var waiting []*socket
	longest := 1
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		for range r.IntN(20) {
			s := new(socket)
			w.add(s)
			waiting = append(waiting, s)
		}
		longest = max(longest, len(waiting))
		for range r.IntN(4) {
			taken := w.take(&b)
			for i, s := range taken {
				if s != waiting[i] {
					t.Fatalf("socket %d of %d was not its turn", i, len(taken))
				}
			}
			if len(taken) < min(len(b), len(waiting)) {
				t.Fatalf("%d taken of %d", len(taken), len(waiting))
			}
			waiting = waiting[len(taken):]
		}
		for i, s := range w.queue[:cap(w.queue)] {
			if s != nil && (i < w.first || i >= len(w.queue)) {
				t.Fatal("it keeps a socket that was taken")
			}
		}
		if cap(w.queue) > 4*longest+len(b) {
			t.Fatalf("room for %d, and never were there more than %d", cap(w.queue), longest)
		}
	}
}
