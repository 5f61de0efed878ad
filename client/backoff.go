package client

import (
	"errors"
	"math/rand/v2"
	"time"
)

const (
	minDelay = time.Second
	maxDelay = 30 * time.Second
)

// A backoff spreads attempts with full jitter: each wait is random, between
// nothing and a bound that doubles. Clients that were cut off together come
// back apart (Brooker, "Exponential Backoff And Jitter", AWS, 2015).
type backoff struct{ bound time.Duration }

// next returns how long to wait after err, at least what the server asked for.
func (b *backoff) next(err error) time.Duration {
	b.bound = min(max(2*b.bound, minDelay), maxDelay)
	wait := rand.N(b.bound)
	var h *HandshakeError
	if errors.As(err, &h) {
		wait += h.RetryAfter
	}
	return wait
}

func (b *backoff) reset() { b.bound = 0 }
